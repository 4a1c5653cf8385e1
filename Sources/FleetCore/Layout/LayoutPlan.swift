/// Who runs where on a host, what would have to be changed for it, and why it can't be had.
package struct LayoutPlan: Equatable, Sendable {
    package struct Placement: Equatable, Sendable {
        package var service: ServiceName
        package var exclusive: CPUList?
        package var helpers: CPUList?
        /// Where its exclusive CPUs lie; nil: unknown, none, or several.
        package var node: Int?
        /// `rx-xlon: 4`, by name, `*` last.
        package var threads: [String]
        package var pid: Int32?
        /// Of the plan's, those that are its own.
        package var problems: [String]
    }

    /// As demanded.
    package var placements: [Placement]
    /// In the order in which to carry them out.
    package var changes: [LayoutChange]
    package var problems: [LayoutProblem]

    /// Whether the declared layout can be had, as far as is known.
    package var isPossible: Bool { !problems.contains { $0.severity == .problem } }
}

/// One thing about a layout that somebody should know, in a sentence with what to do.
package struct LayoutProblem: Hashable, Sendable {
    package enum Severity: String, Sendable {
        /// The declared layout can't be had.
        case problem
        /// Not so yet; applying the plan makes it so.
        case fixable
        /// It can be had and will disappoint.
        case warning
        /// Can't be told, for want of a reading.
        case unknown
    }

    /// What it is about, for machines.
    package enum Slug: String, Sendable {
        case cpuAbsent = "cpu-absent"
        case cpuOffline = "cpu-offline"
        case cpuClaimed = "cpu-claimed"
        case housekeeping
        case shared
        case smtSibling = "smt-sibling"
        case notIsolated = "not-isolated"
        case nohzFull = "nohz-full"
        case wrongNode = "wrong-node"
        case nodeAbsent = "node-absent"
        case nodeMemory = "node-memory"
        case thread
        case hugepages
        case interrupt
        case irqbalance
        case topology
    }

    package var severity: Severity
    package var slug: Slug
    /// nil: the host's own.
    package var service: ServiceName?
    package var text: String

    package init(_ severity: Severity, _ slug: Slug, _ service: ServiceName?, _ text: String) {
        self.severity = severity
        self.slug = slug
        self.service = service
        self.text = text
    }
}

/// One setting of a host that isn't as declared, and to what it would be set.
package struct LayoutChange: Equatable, Sendable {
    package enum What: Hashable, Sendable {
        case hugepages(node: Int, pageBytes: UInt64, from: UInt64?, to: UInt64)
        case interrupt(number: Int, name: String, from: CPUList?, to: CPUList)
    }

    package var what: What
    /// Live workers that it would touch (law 9).
    package var workers: [ServiceName]
    /// Why it can't be done, whatever is overridden.
    package var refused: String?

    package init(_ what: What, workers: [ServiceName] = [], refused: String? = nil) {
        self.what = what
        self.workers = workers
        self.refused = refused
    }

    /// `node 0 2 MiB pages`, `IRQ 143 ens1f0-rx-2`
    package var subject: String {
        switch what {
        case .hugepages(let node, let pageBytes, _, _): "node \(node) \(LayoutText.size(pageBytes)) pages"
        case .interrupt(let number, let name, _, _): name.isEmpty ? "IRQ \(number)" : "IRQ \(number) \(name)"
        }
    }

    package var from: String {
        switch what {
        case .hugepages(_, _, let from, _): from.map(LayoutText.grouped) ?? "unknown"
        case .interrupt(_, _, let from, _): from?.description ?? "unknown"
        }
    }

    package var to: String {
        switch what {
        case .hugepages(_, _, _, let to): LayoutText.grouped(to)
        case .interrupt(_, _, _, let to): to.description
        }
    }

    /// Why an apply must leave it alone: `refused`, or law 9 in a sentence; nil: it may be done.
    package func refusal(overriding named: Set<ServiceName>, host: HostName) -> String? {
        if let refused { return refused }
        let untouchable = workers.filter { !named.contains($0) }
        guard !untouchable.isEmpty else { return nil }
        let one = untouchable.count == 1
        let flags = untouchable.map { "--override \($0)" }.joined(separator: " ")
        return "\(LayoutText.and(untouchable.map(\.raw))) \(one ? "runs" : "run") there: stop \(one ? "it" : "them") first, or name "
            + "\(one ? "it" : "them"): trading layout apply --host \(host) \(flags) --reason \"…\""
    }
}
