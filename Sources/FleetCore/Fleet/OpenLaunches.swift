/// The workers of which something may run by their hosts' last words: what a coordinator keeps beyond sessions, its own end, and a change
/// of the inventory. What was once seen to run is not gone because nobody declares it any more (law 6).
///
/// Holds no more than what inventories have declared, and of each host `undeclaredMax` others.
package struct OpenLaunches: Equatable, Sendable {
    /// By host, so that a host's report is compared with its own alone.
    package private(set) var services: [HostName: Set<ServiceName>] = [:]
    /// What a start was ordered of and its host has not spoken of since: it may run there.
    private var ordered: [HostName: Set<ServiceName>] = [:]
    /// What has run there, by its host's own word, since a stop of it was proven last, with the agent's journal of then, which knows of it. Of each
    /// host `everRanMax` at most, for it may say ever new names.
    private var everRan: [HostName: [ServiceName: String]] = [:]
    /// What a person has attested gone of hosts that were silent. It may run there all the same: an agent that dials in again shows that
    /// its host is not gone.
    private var attested: [HostName: Set<ServiceName>] = [:]

    /// How a host's word differs from what is on record.
    package struct Change: Equatable, Sendable {
        package let host: HostName
        package let begun: [ServiceName]
        package let ended: [ServiceName]
        /// A person's word, while the host was silent; else it is the host's own.
        package let isAttested: Bool

        package init(host: HostName, begun: [ServiceName], ended: [ServiceName], isAttested: Bool = false) {
            self.host = host
            self.begun = begun
            self.ended = ended
            self.isAttested = isAttested
        }

        /// Without what ended: that may wait for a later word, what began may not. Nil: nothing began.
        package var begunAlone: Change? { begun.isEmpty ? nil : Change(host: host, begun: begun, ended: []) }
    }

    /// More services than a host ever has.
    private static let everRanMax = 1_024

    package init() {}

    /// The difference between what is on record of a host and `running`, the services of which something may run there by its own word; nil:
    /// there is none. Of those that `declared` doesn't have no more than `undeclaredMax` are taken in.
    ///
    /// `pending`: of which a start may still be carried out there. That they do not run yet is no end.
    package func change(
        by host: HostName, running: Set<ServiceName>, declared: Set<ServiceName>, undeclaredMax: Int, pending: Set<ServiceName> = []
    ) -> Change? {
        let known = services[host] ?? []
        let wanted = ordered[host] ?? []
        guard known != running || attested[host] != nil || !wanted.isEmpty else { return nil }
        let new = running.subtracting(known)
        let room = max(0, undeclaredMax - known.subtracting(declared).count)
        let begun = new.intersection(declared).union(new.subtracting(declared).sorted().prefix(room))
        let ended = known.union(wanted).subtracting(running).subtracting(pending)
        // An empty one is the host's own word that nothing runs, where a person's stood.
        return begun.isEmpty && ended.isEmpty && attested[host] == nil ? nil : Change(host: host, begun: begun.sorted(), ended: ended.sorted())
    }

    /// `journal`: of the agent whose word it is; empty: not known.
    package mutating func apply(_ change: Change, journal: String = "") {
        let left = (services[change.host] ?? []).union(change.begun).subtracting(change.ended)
        services[change.host] = left.isEmpty ? nil : left
        let wanted = (ordered[change.host] ?? []).subtracting(change.begun).subtracting(change.ended)
        ordered[change.host] = wanted.isEmpty ? nil : wanted
        for service in change.begun where everRan[change.host, default: [:]].count < Self.everRanMax {
            everRan[change.host, default: [:]][service] = journal
        }
        attested[change.host] = change.isAttested ? (attested[change.host] ?? []).union(change.ended) : nil
    }

    /// A start of these is on record: until their hosts' later words they may run, whatever becomes of the order and of whoever gave it.
    package mutating func order(_ workers: some Sequence<WorkerName>) {
        for worker in workers where services[worker.host]?.contains(worker.service) != true { ordered[worker.host, default: []].insert(worker.service) }
    }

    /// The journal of the agent that said that this worker runs, or was being started; nil: none has since a stop of it was proven last.
    package func ranUnder(_ worker: WorkerName) -> String? { everRan[worker.host]?[worker.service] }

    /// A stop of these was proven: they were shown gone.
    package mutating func proven(_ workers: some Sequence<WorkerName>) {
        for worker in workers {
            everRan[worker.host]?[worker.service] = nil
            services[worker.host]?.remove(worker.service)
            ordered[worker.host]?.remove(worker.service)
            if services[worker.host]?.isEmpty == true { services[worker.host] = nil }
            if ordered[worker.host]?.isEmpty == true { ordered[worker.host] = nil }
        }
    }

    /// What may run on a host.
    package func open(on host: HostName) -> Set<ServiceName> { (services[host] ?? []).union(ordered[host] ?? []) }

    /// The hosts on which something may run, in order.
    package var hosts: [HostName] { Set(services.keys).union(ordered.keys).sorted() }

    /// What a person has attested gone of a host that has not spoken since.
    package func attestedGone(on host: HostName) -> Set<ServiceName> { attested[host] ?? [] }

    /// What counts as running again since a host outside the inventory, of which it was attested gone, has dialled in; nil: nothing does.
    package func returned(_ host: HostName) -> Change? {
        attested[host].map { Change(host: host, begun: $0.sorted(), ended: []) }
    }

    /// What becomes of a person's word that nothing runs on a host that the inventory doesn't place there.
    package enum Settling: Equatable, Sendable {
        case change(Change)
        /// Nothing of the kind is on record.
        case nothing
        /// The host answers: its own word counts. Names what runs there by it.
        case refused([WorkerName])
    }

    /// `isHeard`: the host reports.
    package func settling(_ host: HostName, declared: Set<ServiceName>, isHeard: Bool) -> Settling {
        let gone = unplaced(on: host, declared: declared)
        guard !gone.isEmpty else { return .nothing }
        return isHeard ? .refused(gone) : .change(Change(host: host, begun: [], ended: gone.map(\.service), isAttested: true))
    }

    /// Those of a host that the inventory, which has `declared` there, doesn't place there, in order.
    package func unplaced(on host: HostName, declared: Set<ServiceName>) -> [WorkerName] {
        open(on: host).subtracting(declared).sorted().map { WorkerName($0, on: host) }
    }
}
