import FleetCore

/// The rules between declarations: orders that contradict each other, aliases that clash, and what one host can't hold.
struct InventoryRules {
    private let faults: Faults
    /// In stop order.
    private let tiers: [TierName]
    private let hosts: [LocatedHost]
    private let services: [LocatedService]
    private let streams: [LocatedStream]
    /// Each service's tier, as its place in the stop order.
    private let ranks: [ServiceName: Int]

    init(faults: Faults, tiers: [TierName], hosts: [LocatedHost], services: [LocatedService], streams: [LocatedStream]) {
        self.faults = faults
        self.tiers = tiers
        self.hosts = hosts
        self.services = services
        self.streams = streams
        var ranks: [ServiceName: Int] = [:]
        for service in services {
            guard let tier = service.tier, let rank = tiers.firstIndex(of: tier), ranks[service.spec.name] == nil else { continue }
            ranks[service.spec.name] = rank
        }
        self.ranks = ranks
    }

    func check() {
        checkAliases()
        let placement = PlacementRules(faults: faults, services: services)
        for host in hosts { placement.check(host) }
        checkNeedsAcrossTiers()
        checkStreamsAcrossTiers()
        checkCycles()
    }

    private func rank(_ service: ServiceName) -> Int? { ranks[service] }

    // MARK: Aliases

    private func checkAliases() {
        var owners = Dictionary(services.map { ($0.spec.name.raw, $0.spec.name.raw) }, uniquingKeysWith: { first, _ in first })
        for service in services {
            if service.spec.name.raw == "all" {
                faults.add(service.position, "a service called all, which stands for every service", "write another name")
            }
            for alias in service.aliases {
                if alias.text == "all" {
                    faults.add(alias.position, "the alias all stands for every service", "write another one")
                } else if !isValidName(alias.text) {
                    faults.add(alias.position, "the alias '\(alias.text)' is not a name", "write letters, digits, -, _ or .")
                } else if let owner = owners[alias.text] {
                    faults.add(alias.position, "the alias \(alias.text) already stands for \(owner)", "write another one")
                } else {
                    owners[alias.text] = service.spec.name.raw
                }
            }
        }
    }

    // MARK: Order

    /// What is needed runs before and stops after: it can't be in a tier that stops earlier.
    private func checkNeedsAcrossTiers() {
        for service in services {
            guard let own = rank(service.spec.name) else { continue }
            for need in service.needs {
                guard let needed = rank(need.service), needed < own else { continue }
                faults.add(
                    need.position,
                    "\(service.spec.name) needs \(need.service), whose tier \(tiers[needed]) stops before \(tiers[own]) and starts after it",
                    "remove it: the tiers already order the two")
            }
        }
    }

    /// Across tiers the tiers' order wins: a consumer that stops before its producer can only leave the rest in a buffer.
    private func checkStreamsAcrossTiers() {
        for stream in streams {
            for (consumer, place) in zip(stream.spec.to, stream.consumers) where consumer.policy != .buffer {
                guard let consumerRank = rank(consumer.service) else { continue }
                for producer in stream.spec.from {
                    guard let producerRank = rank(producer), producerRank > consumerRank else { continue }
                    let instead =
                        stream.spec.via == .direct
                        ? "write via: {redis: HOST/KEY} and on_stop: buffer, or move one of them to another tier" : "write buffer"
                    faults.add(
                        place.position,
                        "\(consumer.service) can't \(consumer.policy.rawValue) \(stream.spec.name): its tier \(tiers[consumerRank]) stops before "
                            + "\(producer)'s tier \(tiers[producerRank])",
                        instead)
                    break
                }
            }
        }
    }

    /// Within a tier `buffer`, `drain` and `needs` say which of two services stops first; together they must not go in a circle.
    private func checkCycles() {
        struct Edge {
            var before: ServiceName
            var after: ServiceName
            var why: String
            var position: SourcePosition
        }
        var edges: [Edge] = []
        func add(_ before: ServiceName, _ after: ServiceName, _ why: String, _ position: SourcePosition) {
            guard let rank = rank(before), rank == self.rank(after) else { return }
            edges.append(Edge(before: before, after: after, why: why, position: position))
        }
        for service in services {
            for need in service.needs {
                add(service.spec.name, need.service, "\(service.spec.name) needs \(need.service)", need.position)
            }
        }
        for stream in streams {
            for (consumer, place) in zip(stream.spec.to, stream.consumers) {
                for producer in stream.spec.from {
                    if producer == consumer.service {
                        faults.add(place.position, "\(producer) consumes its own stream \(stream.spec.name)", "remove it from one side")
                        continue
                    }
                    switch consumer.policy {
                    case .buffer: add(consumer.service, producer, "\(consumer.service) buffers \(stream.spec.name)", place.position)
                    case .drain: add(producer, consumer.service, "\(consumer.service) drains \(stream.spec.name)", place.position)
                    case .discard: break
                    }
                }
            }
        }
        let edgesFrom = Dictionary(grouping: edges, by: \.before)
        /// The shortest way from one service to another along the edges.
        func path(from start: ServiceName, to end: ServiceName) -> [Edge]? {
            var reached: [ServiceName: [Edge]] = [start: []]
            var queue = [start]
            while !queue.isEmpty {
                let service = queue.removeFirst()
                let soFar = reached[service] ?? []
                if service == end { return soFar }
                for edge in edgesFrom[service] ?? [] where reached[edge.after] == nil {
                    reached[edge.after] = soFar + [edge]
                    queue.append(edge.after)
                }
            }
            return nil
        }
        var reported: Set<Set<ServiceName>> = []
        for edge in edges {
            guard let back = path(from: edge.after, to: edge.before) else { continue }
            let cycle = [edge] + back
            guard reported.insert(Set(cycle.map(\.before))).inserted else { continue }
            let last = cycle.map(\.position).max() ?? edge.position
            faults.add(
                last, "the stop order goes in a circle: \(cycle.map(\.why).joined(separator: ", "))",
                "remove one of the needs, or write another on_stop")
        }
    }
}
