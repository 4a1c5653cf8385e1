/// A measured flow between services.
package struct StreamSpec: Equatable, Sendable {
    /// What carries it.
    package enum Via: Equatable, Sendable {
        /// A Redis stream `key`, in the Redis that the inventory declares on `host` and that answers at `address`.
        case redis(host: HostName, address: String, key: String)
        /// Nothing that can be measured between the two ends.
        case direct
    }

    package var name: StreamName
    package var from: [ServiceName]
    package var via: Via
    /// The producers' own counter; nil: the hop is proven "from the buffer on" only.
    package var produced: String?
    package var to: [ConsumerSpec]

    package init(name: StreamName, from: [ServiceName], via: Via = .direct, produced: String? = nil, to: [ConsumerSpec]) {
        self.name = name
        self.from = from
        self.via = via
        self.produced = produced
        self.to = to
    }

    /// At either end.
    package var services: [ServiceName] { from + to.map(\.service) }
}

package struct ConsumerSpec: Equatable, Sendable {
    package enum Policy: String, Sendable, CaseIterable {
        /// Consumer first; the rest stays in the durable buffer.
        case buffer
        /// The consumer stops when nothing is left, measured after the producer is verified gone.
        case drain
        /// Leftovers are dropped by policy, counted, still proven.
        case discard
    }

    package enum Applied: Equatable, Sendable {
        /// The consumer's own counter.
        case counter(String)
        case sqlite(path: String, table: String, column: String)
        case questdb(url: String, table: String, column: String)
    }

    package var service: ServiceName
    package var policy: Policy
    /// The Redis consumer group.
    package var group: String?
    /// nil: the hop proves only `acknowledged`.
    package var applied: Applied?

    package init(service: ServiceName, policy: Policy, group: String? = nil, applied: Applied? = nil) {
        self.service = service
        self.policy = policy
        self.group = group
        self.applied = applied
    }
}
