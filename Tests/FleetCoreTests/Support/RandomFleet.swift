import FleetCore
import TestSupport

/// A random inventory that keeps the rules the loader enforces: no cycles, stream policies that agree with the tiers.
struct RandomFleet {
    private static let streamsMax = 5
    let inventory: Inventory
    let observed: ObservedFleet

    /// A calm one has no worker in trouble: what has failed drains nothing and says nothing last.
    init(_ random: inout SplitMix64, calm: Bool = false) {
        let tiers = (0...random.below(4)).map { TierName("tier-\($0)") }
        let hosts = (0...random.below(4)).map { HostName("h\($0)") }
        var services: [ServiceSpec] = []
        // A service's place in this list is its place in the stop order wherever something orders it.
        for index in 0...random.below(10) {
            let name = ServiceName("s\(index)")
            var on = [random.pick(hosts)]
            if random.chance(25), let other = random.pickAny(hosts), !on.contains(other) { on.append(other) }
            let quiesce = ActionSpec(how: .signal("USR1"), done: .notify("X_QUIESCED=1"), within: .seconds(5))
            let canQuiesce = random.chance(35)
            services.append(
                ServiceSpec(
                    name: name, tier: random.pick(tiers), run: ["/bin/\(name)"], hosts: on, quiesce: canQuiesce ? quiesce : nil,
                    resume: canQuiesce && random.chance(70) ? quiesce : nil,
                    counters: (0..<Self.streamsMax).flatMap {
                        [CounterSpec(name: "made-\($0)", how: .notify("X_MADE_\($0)")), CounterSpec(name: "done-\($0)", how: .notify("X_DONE_\($0)"))]
                    }))
        }
        func rank(_ index: Int) -> Int { tiers.firstIndex(of: services[index].tier) ?? 0 }
        for index in services.indices {
            let candidates = services.indices.filter { $0 != index && (rank($0) > rank(index) || (rank($0) == rank(index) && $0 > index)) }
            services[index].needs = random.some(candidates, percent: 12).map { services[$0].name }
            if random.chance(25) {
                let at = random.chance(50) ? random.pickAny(services)?.name : nil
                services[index].gates = [
                    GateSpec(
                        name: random.chance(60) ? "open-orders" : "in-flight-\(index)",
                        probe: HTTPProbeSpec(url: "http://127.0.0.1:1/", pointer: "/open", equals: "0"),
                        at: at, wait: .seconds(random.below(30)))
                ]
            }
        }
        var streams: [StreamSpec] = []
        for index in 0..<random.below(Self.streamsMax + 1) {
            if let stream = Self.stream(index, services, hosts, rank, &random) { streams.append(stream) }
        }
        inventory = Inventory(
            fleet: "random", tiers: tiers.map { TierSpec(name: $0) }, hosts: hosts.map { HostSpec(name: $0) }, services: services, streams: streams)
        var workers: [WorkerName: ObservedWorker] = [:]
        for worker in inventory.workers {
            let state: ObservedWorker.State =
                random.chance(85) ? .running : random.pick(calm ? [.stopped, .starting] : [.stopped, .failed, .backoff, .starting])
            workers[worker] = ObservedWorker(state: state)
        }
        observed = ObservedFleet(workers: workers, reporting: Set(hosts))
    }

    private static func stream(
        _ index: Int, _ services: [ServiceSpec], _ hosts: [HostName], _ rank: (Int) -> Int, _ random: inout SplitMix64
    ) -> StreamSpec? {
        let producers = Set((0...random.below(2)).map { _ in random.below(services.count) })
        let isRedis = random.chance(65)
        var to: [ConsumerSpec] = []
        for consumer in random.some(services.indices.filter { !producers.contains($0) }, percent: 35).prefix(3) {
            var allowed = Set(ConsumerSpec.Policy.allCases)
            if !isRedis { allowed.remove(.buffer) }
            for producer in producers {
                if rank(producer) > rank(consumer) { allowed.formIntersection([.buffer]) }
                if rank(producer) == rank(consumer) { allowed.remove(producer > consumer ? .drain : .buffer) }
            }
            guard let policy = random.pickAny(allowed.sorted { $0.rawValue < $1.rawValue }) else { continue }
            let applied: ConsumerSpec.Applied? = random.chance(80) ? .counter("done-\(index)") : isRedis ? .sqlite(path: "/db", table: "t", column: "id") : nil
            to.append(ConsumerSpec(service: services[consumer].name, policy: policy, group: isRedis ? services[consumer].name.raw : nil, applied: applied))
        }
        guard !to.isEmpty else { return nil }
        return StreamSpec(
            name: StreamName("stream-\(index)"), from: producers.sorted().map { services[$0].name },
            via: isRedis ? .redis(host: random.pick(hosts), address: "127.0.0.1:6379", key: "k\(index)") : .direct,
            produced: random.chance(80) ? "made-\(index)" : nil, to: to)
    }

    /// What an operator might name.
    func scope(_ random: inout SplitMix64) -> OperationScope {
        switch random.below(10) {
        case 0: OperationScope(tiers: [random.pick(inventory.tiers).name])
        case 1: OperationScope(hosts: [random.pick(inventory.hosts).name])
        case 2: OperationScope(services: random.some(inventory.services, percent: 40).map(\.name.raw) + [inventory.services[0].name.raw])
        case 3: OperationScope(services: [random.pick(inventory.workers).description])
        default: OperationScope(all: true)
        }
    }
}
