/// Starts that were sent and not answered, by host: what may be carried out yet, whatever became of the session, the order or the run.
///
/// Bounded by the workers that are declared: a worker's next start replaces the one before to the same instance.
package struct StartsOut: Equatable, Sendable {
    package struct Sent: Equatable, Sendable {
        package var operation: String
        package var service: ServiceName
        package var session: String
        /// The agent's, as its hello says.
        package var instance: String

        package init(operation: String, service: ServiceName, session: String, instance: String) {
            self.operation = operation
            self.service = service
            self.session = session
            self.instance = instance
        }
    }

    private var sent: [HostName: [Sent]] = [:]

    package init() {}

    package mutating func sent(_ start: Sent, to host: HostName) {
        sent[host, default: []].removeAll { $0.service == start.service && $0.instance == start.instance }
        sent[host, default: []].append(start)
    }

    /// An answer counts for the instance that gives it: another one has carried out nothing.
    package mutating func answered(_ operation: String, by instance: String, on host: HostName) {
        sent[host]?.removeAll { $0.operation == operation && $0.instance == instance }
    }

    /// Forgets those that can't be carried out any more.
    package mutating func forget(on host: HostName, where isOver: (Sent) -> Bool) { sent[host]?.removeAll(where: isOver) }

    package func services(on host: HostName) -> Set<ServiceName> { Set((sent[host] ?? []).map(\.service)) }

    package func isPending(on host: HostName, at instance: String) -> Bool { sent[host]?.contains { $0.instance == instance } ?? false }
}
