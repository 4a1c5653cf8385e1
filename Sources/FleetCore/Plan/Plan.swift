/// The steps of one fleet operation with nothing left to choose (DESIGN: "Operations are plans").
package struct Plan: Equatable, Sendable {
    package var kind: RunKind
    package var steps: [PlanStep]
    /// Every worker that the plan acts on, in inventory order.
    package var workers: [WorkerName]
    /// What a person should know before: what is left alone, what depends on what stops.
    package var notes: [String]
    package var inventoryDigest: String
    /// Workers that the scope covers and the plan leaves alone, for a person has locked them.
    package var locked: [WorkerName: ObservedWorker.Lock]
    /// What an operator has excluded by name, in inventory order, one sentence each; none of it stands in `notes`.
    package var notCovered: [String]
    /// Workers in scope that are stopped already or locked: the plan doesn't act on them, and looks whether it is so.
    package var stoppedBefore: [WorkerName]
    /// Stopped workers outside the scope at the other end of a stream that ends here: looked at for the stream's ledger.
    package var otherEnds: [WorkerName]
    /// What is or may be in scope and can't be covered, one sentence each: it makes a stop at most unproven (law 6).
    package var unseen: [String]
    /// The whole fleet was named, but for what was excluded by name.
    package var isOfEverything: Bool
    /// Hosts on which it covers a worker of any name; nil: all.
    package var cutHosts: Set<HostName>?
    package var excluded: [WorkerName]
    package var excludedHosts: Set<HostName>
    /// Workers that ran beside the inventory when the plan was made.
    package var beside: Set<WorkerName>
    /// Workers of a stop or restart that were quiesced before it: by an order of their own, which an abort does not take back.
    package var quiescedBefore: Set<WorkerName> = []
    /// Why the plan would do nothing of what was meant. An order is refused with it; nil: it does something, or there is nothing to do.
    package var refusal: PlanRefusal?

    package init(
        kind: RunKind, steps: [PlanStep], workers: [WorkerName], notes: [String], inventoryDigest: String,
        locked: [WorkerName: ObservedWorker.Lock] = [:], notCovered: [String] = [], stoppedBefore: [WorkerName] = [], otherEnds: [WorkerName] = [],
        unseen: [String] = [], isOfEverything: Bool = false, excluded: [WorkerName] = [], excludedHosts: Set<HostName> = [],
        beside: Set<WorkerName> = [], refusal: PlanRefusal? = nil
    ) {
        self.kind = kind
        self.steps = steps
        self.workers = workers
        self.notes = notes
        self.inventoryDigest = inventoryDigest
        self.locked = locked
        self.notCovered = notCovered
        self.stoppedBefore = stoppedBefore
        self.otherEnds = otherEnds
        self.unseen = unseen
        self.isOfEverything = isOfEverything
        self.excluded = excluded
        self.excludedHosts = excludedHosts
        self.beside = beside
        self.refusal = refusal
    }

    /// What a stop's verdict speaks of: whatever it acts on, and whatever in scope it leaves as it is.
    package var covered: [WorkerName] { workers + stoppedBefore }

    /// What it starts: a restart also starts what was stopped before.
    package var starting: [WorkerName] { steps.flatMap { step -> [WorkerName] in if case .start(_, let workers) = step.what { workers } else { [] } } }

    /// Their services: a stream with an end among these needs a line in the ledger.
    package var ending: Set<ServiceName> { Set(covered.map(\.service)) }

    /// Workers that the plan only looks at.
    package var looked: [WorkerName] { stoppedBefore + otherEnds }

    /// The text that the plan's digest covers: inventory, set, locks and steps, not measurements.
    package var canonical: String {
        (["plan \(kind.rawValue)", "inventory \(inventoryDigest)"] + locked.sorted { $0.key < $1.key }.map { "locked \($0.key) \($0.value)" }
            + steps.map { "\($0.number) \($0.label): \($0.what)" }).joined(separator: "\n")
    }
}

extension TierName {
    /// Where workers stop that run and that the inventory no longer declares: last, for nobody has said what needs them.
    package static let undeclared: TierName = "undeclared"
}

package enum RunKind: String, Sendable, CaseIterable {
    case stop, start, restart, quiesce, resume
}

package struct PlanStep: Equatable, Sendable {
    /// From 1.
    package var number: Int
    /// check, capture, quiesce, gate, a tier's name, verify, …
    package var label: String
    /// For people.
    package var text: String
    package var what: What

    package enum What: Equatable, Sendable {
        /// Every host of the plan answers.
        case check
        /// Read what flows before anything changes.
        case capture
        case quiesce([WorkerName])
        case gate([GateQuestion])
        /// First signals of these go out together; the step ends when every one is proven gone.
        case stop(TierName, [WorkerName])
        /// Nothing is left of the stream for this consumer; its producers are gone.
        case drained(StreamName, ServiceName)
        /// Ask again: is every process of these gone?
        case verify([WorkerName])
        /// Two equal readings of every stream, then the balance.
        case ledger
        case snapshot([WorkerName])
        /// Read the streams that stand still; the counts of the coming run are deltas from here.
        case baseline
        case start(TierName, [WorkerName])
        case resume([WorkerName])
    }

    package init(number: Int, label: String, text: String, what: What) {
        self.number = number
        self.label = label
        self.text = text
        self.what = what
    }
}

/// A gate and where to ask for it.
package struct GateQuestion: Hashable, Sendable, CustomStringConvertible {
    package var owner: ServiceName
    package var gate: String
    package var host: HostName
    package var wait: Duration
    /// JSON text the value must equal, for people.
    package var wants: String

    package init(owner: ServiceName, gate: String, host: HostName, wait: Duration, wants: String) {
        self.owner = owner
        self.gate = gate
        self.host = host
        self.wait = wait
        self.wants = wants
    }

    package var description: String { "\(gate) of \(owner) asked on \(host)" }
}

/// Why a plan could not be made.
package struct PlanRefusal: Error, Equatable, Sendable {
    package let slug: String
    package let what: String
    package let why: String
    package let then: String

    package init(slug: String, what: String, why: String, then: String) {
        self.slug = slug
        self.what = what
        self.why = why
        self.then = then
    }
}
