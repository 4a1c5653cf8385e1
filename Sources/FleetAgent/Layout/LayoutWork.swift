internal import FleetCore
internal import FleetWire
internal import LinuxHost
internal import NIOConcurrencyHelpers

/// Looks at a host's layout and carries out single changes of it.
///
/// Blocking, and one job at a time: what was read of the machine's making is kept from one to the next.
final class LayoutWork: Sendable {
    /// Where /sys and /proc are read; empty: this machine's.
    let root: String
    private let topology = NIOLockedValueBox<HostTopology?>(nil)

    init(root: String = "") { self.root = root }

    struct Look: Sendable {
        var verification: LayoutVerification
        /// As the inventory wants it read; nil: nothing of it is declared.
        var time: TimeReading?
    }

    private func read() -> HostTopology {
        let known = topology.withLockedValue { $0 }
        let now = known?.refreshed(root: root) ?? .read(root: root)
        topology.withLockedValue { $0 = now }
        return now
    }

    func look(_ demand: LayoutDemand) -> Look {
        let topology = read()
        let observation = LayoutObservation.read(demand, topology: topology, root: root)
        return Look(
            verification: LayoutVerifier.verify(demand, topology: topology, observation: observation),
            time: demand.expect.time == nil ? nil : observation.time)
    }

    /// What show, plan and verify answer. `since`: when a drift was first seen, in microseconds since 1970.
    func answer(_ what: WireLayoutRequest.What, _ demand: LayoutDemand, host: HostName, overriding: Set<ServiceName>, since: [String: UInt64])
        -> WireLayoutAnswer
    {
        let topology = read()
        let observation = LayoutObservation.read(demand, topology: topology, root: root)
        let verification = LayoutVerifier.verify(demand, topology: topology, observation: observation)
        let plan = LayoutPlanner.plan(demand, on: topology, seeing: observation)
        var answer = WireLayoutAnswer()
        let now = Clock.unixMicroseconds()
        if what != .verify {
            answer.topology = WireLayoutTopology(topology.table(demand))
            answer.placements = plan.placements.map { WireLayoutPlacement($0) }
            answer.problems = plan.problems.filter { $0.severity == .problem }.map(\.text)
        }
        if what == .plan || what == .apply {
            answer.changes = plan.changes.map { WireLayoutChange($0, refused: $0.refusal(overriding: overriding, host: host)) }
        }
        if what != .plan { answer.drift = verification.drift.map { WireLayoutDrift($0, sinceUnixMicroseconds: since[$0.key] ?? now) } }
        let asides = what == .verify ? [] : plan.problems.filter { $0.severity != .problem }.map(\.text)
        var notes = asides + (what == .plan ? topology.notes : verification.notes)
        if what == .plan, !plan.changes.isEmpty, let obstacle = LayoutWriter.obstacle(root: root) { notes.insert(obstacle, at: 0) }
        var seen: Set<String> = []
        answer.notes = notes.filter { seen.insert($0).inserted }
        return answer
    }

    /// One step of an apply.
    enum Step: Sendable {
        case refused(LayoutChange, String)
        case tried(LayoutChange, LayoutOutcome)
        /// Nothing is left that has not been tried.
        case end
    }

    /// Carries out the next change of the plan as it stands now: whoever started meanwhile is seen.
    ///
    /// Each stands for itself; nothing is half done when one fails.
    func step(_ demand: LayoutDemand, host: HostName, overriding: Set<ServiceName>, tried: Set<String>) -> Step {
        let plan = LayoutPlanner.plan(demand, on: read(), seeing: nil)
        guard let change = plan.changes.first(where: { !tried.contains($0.subject) }) else { return .end }
        if let why = change.refusal(overriding: overriding, host: host) { return .refused(change, why) }
        return .tried(change, LayoutWriter.apply(change, root: root))
    }

    /// Why nothing can be written here at all, in one sentence.
    var obstacle: String? { LayoutWriter.obstacle(root: root) }
}
