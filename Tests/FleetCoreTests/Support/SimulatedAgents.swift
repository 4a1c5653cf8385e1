import FleetCore
import TestSupport

/// The agents of a fleet as a run sees them: they do what they are told in their own time, once per operation, and their
/// answers arrive late, repeatedly, out of order or not at all. A stand-in: nothing here is FleetAgent.
struct SimulatedAgents {
    let inventory: Inventory
    private(set) var alive: Set<WorkerName>
    private(set) var connected: Set<HostName>
    var faults = true
    private var operations: [CommandID: Operation] = [:]
    private var toAgents: [(CommandID, HostName, RunMachine.Ask)] = []
    private(set) var toRun: [(CommandID, HostName, RunReply)] = []
    private var held: [CommandID: WorkerName] = [:]
    private var lag: [String: Int64] = [:]
    private var added: [StreamName: Int64] = [:]
    /// By worker and stream.
    private var made: [String: Int64] = [:]

    private enum Operation { case going(HostName, RunMachine.Ask), answered(RunReply) }

    init(_ fleet: RandomFleet) {
        inventory = fleet.inventory
        alive = Set(fleet.inventory.workers.filter { fleet.observed.state($0).mayRun })
        connected = Set(fleet.inventory.hosts.map(\.name))
    }

    var hasWork: Bool { !toAgents.isEmpty || !toRun.isEmpty || operations.values.contains { if case .going = $0 { true } else { false } } }

    mutating func send(_ command: CommandID, _ host: HostName, _ ask: RunMachine.Ask) {
        if connected.contains(host) { toAgents.append((command, host, ask)) }
    }

    /// What was under way on the session is lost with it.
    mutating func lose(_ host: HostName) {
        connected.remove(host)
        toAgents.removeAll { $0.1 == host }
        toRun.removeAll { $0.1 == host }
    }

    mutating func connect(_ host: HostName) { connected.insert(host) }

    /// Something, anything, goes on.
    mutating func step(_ random: inout SplitMix64) {
        flow(&random)
        if !toAgents.isEmpty {
            let (command, host, ask) = toAgents.remove(at: random.below(toAgents.count))
            switch operations[command] {
            case .answered(let reply): toRun.append((command, host, reply))
            case .going: break
            case nil: operations[command] = .going(host, ask)
            }
            if faults, random.chance(10) { toAgents.append((command, host, ask)) }
        }
        let going = operations.compactMap { if case .going(let host, let ask) = $0.value { ($0.key, host, ask) } else { nil } }.sorted { $0.0 < $1.0 }
        for (command, host, ask) in random.some(going, percent: 50) { work(command, host, ask, &random) }
    }

    /// One answer that arrives; with faults perhaps to arrive again.
    mutating func deliver(_ random: inout SplitMix64) -> (CommandID, RunReply)? {
        guard !toRun.isEmpty else { return nil }
        let index = random.below(toRun.count)
        let (command, _, reply) = toRun[index]
        if !faults || !random.chance(15) { toRun.remove(at: index) }
        return (command, reply)
    }

    /// A person decides about everything held.
    mutating func releaseHolds(kill: Bool) {
        for (command, worker) in held.sorted(by: { $0.key < $1.key }) {
            if kill {
                finish(command, worker.host, .done(stopped(worker, killed: true)))
            } else {
                finish(command, worker.host, .failed(slug: "hold-released", text: "\(worker) was released from its hold and left running"))
            }
        }
        held = [:]
    }

    private mutating func finish(_ command: CommandID, _ host: HostName, _ reply: RunReply) {
        operations[command] = .answered(reply)
        if connected.contains(host) { toRun.append((command, host, reply)) }
    }

    private mutating func stopped(_ worker: WorkerName, killed: Bool) -> RunReply.Done {
        guard alive.remove(worker) != nil else { return RunReply.Done(treeEmpty: true) }
        let exit = WorkerExit(how: killed ? .signalled(9, core: false) : .exited(0), notified: lastWords(worker), at: .zero)
        return RunReply.Done(killed: killed, treeEmpty: true, exit: exit, status: "bye", citations: ["\(worker.host):1:ab"])
    }

    private mutating func work(_ command: CommandID, _ host: HostName, _ ask: RunMachine.Ask, _ random: inout SplitMix64) {
        let fails = faults && random.chance(12)
        switch ask {
        case .readStreams:
            finish(command, host, fails ? .failed(slug: "probe", text: "Redis does not answer") : .done(RunReply.Done(streams: readings(host))))
        case .gate:
            let holds = !faults || random.chance(40)
            finish(command, host, fails ? .failed(slug: "probe", text: "no answer") : .done(RunReply.Done(gateHolds: holds, gateValue: holds ? "0" : "3")))
        case .quiesce, .resume:
            finish(command, host, fails ? .failed(slug: "quiesce-late", text: "it has not shown it") : .done(RunReply.Done()))
        case .start(let service):
            if fails { return finish(command, host, .failed(slug: "launch-failed", text: "no such file")) }
            alive.insert(WorkerName(service, on: host))
            finish(command, host, .done(RunReply.Done()))
        case .verify(let service):
            finish(
                command, host, fails ? .refused(slug: "busy", text: "busy") : .done(RunReply.Done(treeEmpty: !alive.contains(WorkerName(service, on: host)))))
        case .snapshot(let service):
            let worker = WorkerName(service, on: host)
            finish(command, host, fails ? .failed(slug: "disk-full", text: "no room") : .done(RunReply.Done(counters: counters(worker))))
        case .stop(let service):
            let worker = WorkerName(service, on: host)
            guard held[command] == nil else { return }
            if faults, alive.contains(worker) {
                switch random.below(100) {
                case 0..<6:
                    held[command] = worker
                    if connected.contains(host) { toRun.append((command, host, .progress(slug: "hold", text: "\(worker) is held"))) }
                    return
                case 6..<10: return finish(command, host, .refused(slug: "busy", text: "\(worker) is busy"))
                case 10..<13: return finish(command, host, .failed(slug: "kill-late", text: "\(worker) is still there"))
                case 13..<16: return finish(command, host, .done(RunReply.Done(killed: true, treeEmpty: false, text: "one process is left")))
                default: break
                }
            }
            finish(command, host, .done(stopped(worker, killed: faults && random.chance(4))))
        }
    }

    // MARK: Streams

    private func isAlive(_ service: ServiceName) -> Bool { alive.contains { $0.service == service } }

    private mutating func flow(_ random: inout SplitMix64) {
        for stream in inventory.streams {
            for producer in alive.sorted() where stream.from.contains(producer.service) && random.chance(50) {
                made["\(producer)/\(stream.name)", default: 0] += 1
                added[stream.name, default: 0] += 1
                for consumer in stream.to { lag["\(stream.name)/\(consumer.service)", default: 0] += 1 }
            }
            for consumer in stream.to where isAlive(consumer.service) && (!faults || random.chance(60)) {
                let key = "\(stream.name)/\(consumer.service)"
                lag[key] = faults ? max(0, (lag[key] ?? 0) - Int64(random.below(3))) : 0
            }
        }
    }

    private func lastWords(_ worker: WorkerName) -> [String: String] {
        var words: [String: String] = [:]
        for stream in inventory.streams where stream.from.contains(worker.service) {
            words["X_MADE_\(stream.name.raw.suffix(1))"] = "\(made["\(worker)/\(stream.name)"] ?? 0)"
        }
        for (name, value) in counters(worker) { words["X_DONE_\(name.suffix(1))"] = "\(value)" }
        return words
    }

    /// What a consumer says it has done; the first of its hosts says all of it.
    private func counters(_ worker: WorkerName) -> [String: Int64] {
        let speaks = inventory.service(worker.service)?.hosts.first == worker.host
        var counters: [String: Int64] = [:]
        for stream in inventory.streams where stream.to.contains(where: { $0.service == worker.service }) {
            let sum = stream.from.flatMap { from in (inventory.service(from)?.hosts ?? []).map { made["\(WorkerName(from, on: $0))/\(stream.name)"] ?? 0 } }
                .reduce(
                    0, +)
            counters["done-\(stream.name.raw.suffix(1))"] = speaks ? sum - (lag["\(stream.name)/\(worker.service)"] ?? 0) : 0
        }
        return counters
    }

    private func readings(_ host: HostName) -> [StreamReading] {
        inventory.streams.flatMap { stream -> [StreamReading] in
            guard case .redis(host, _, _) = stream.via else { return [] }
            return stream.to.map {
                let left = lag["\(stream.name)/\($0.service)"] ?? 0
                return StreamReading(
                    stream: stream.name, consumer: $0.service, host: host, known: true, runID: "r", length: left, entriesAdded: added[stream.name] ?? 0,
                    lag: left)
            }
        }
    }
}
