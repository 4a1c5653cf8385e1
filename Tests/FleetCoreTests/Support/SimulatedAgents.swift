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
    private(set) var histories: [WorkerName: LaunchHistory] = [:]
    /// Whose last word, since the streams were opened, is not its last count: it crashed when it was ready.
    private(set) var crashed: Set<ServiceName> = []
    private var launchCount = 0
    // Of streams and their consumers, by `stream/consumer`: what lies unread, and what a sink holds.
    private var lag: [String: Int64] = [:]
    private var sunk: [String: Int64] = [:]
    private var added: [StreamName: Int64] = [:]
    /// Of the present launch, by worker and stream.
    private var made: [String: Int64] = [:]
    private var done: [String: Int64] = [:]

    private enum Operation { case going(HostName, RunMachine.Ask), answered(RunReply) }

    init(_ fleet: RandomFleet) {
        inventory = fleet.inventory
        alive = Set(fleet.inventory.workers.filter { fleet.observed.state($0).mayRun })
        connected = Set(fleet.inventory.hosts.map(\.name))
        for worker in alive.sorted() { launch(worker, ready: true) }
    }

    // MARK: Life

    private mutating func launch(_ worker: WorkerName, ready: Bool) {
        launchCount += 1
        let launch = LaunchID("l\(launchCount)")
        histories[worker, default: LaunchHistory()].begin(launch)
        if ready { histories[worker]?.ready(launch) }
        for stream in inventory.streams {
            made["\(worker)/\(stream.name)"] = 0
            done["\(worker)/\(stream.name)"] = 0
        }
        alive.insert(worker)
    }

    private mutating func end(_ worker: WorkerName, _ exit: WorkerExit) {
        alive.remove(worker)
        if let launch = histories[worker]?.launches.last?.launch { histories[worker]?.end(launch, .ended(exit)) }
    }

    /// Something that happens on a good day: restarts by order and by policy, crashes before readiness and, with `crashes`, after it.
    mutating func live(crashes: Bool, _ random: inout SplitMix64) {
        flow(&random)
        guard random.chance(25), let worker = random.pickAny(alive.sorted()) else { return }
        switch random.below(crashes ? 3 : 2) {
        case 0: end(worker, WorkerExit(how: .exited(0), notified: lastWords(worker), tree: TreeEnd(), at: .zero))
        case 1:
            end(worker, WorkerExit(how: .exited(0), notified: lastWords(worker), tree: TreeEnd(), at: .zero))
            for _ in 0...random.below(2) {
                launch(worker, ready: false)
                end(worker, WorkerExit(how: .exited(1), tree: TreeEnd(), at: .zero))
            }
        default:
            // It said its last word some time before.
            crashed.insert(worker.service)
            let words = random.chance(50) ? lastWords(worker).filter { $0.value == "0" || random.chance(50) } : [:]
            end(worker, WorkerExit(how: .signalled(11, core: false), notified: words, tree: TreeEnd(), at: .zero))
        }
        launch(worker, ready: true)
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
        if alive.contains(worker) {
            end(worker, WorkerExit(how: killed ? .signalled(9, core: false) : .exited(0), notified: lastWords(worker), tree: TreeEnd(), at: .zero))
        }
        var exit: WorkerExit?
        if case .ended(let last)? = histories[worker]?.launches.last?.end { exit = last }
        return RunReply.Done(
            killed: killed, treeEmpty: true, exit: exit, status: "bye", signalledUnixMicroseconds: 1, citations: ["\(worker.host):1:ab"],
            checks: Verification.Check.allClear, launches: histories[worker] ?? LaunchHistory())
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
            let worker = WorkerName(service, on: host)
            if !alive.contains(worker) { launch(worker, ready: true) }
            finish(command, host, .done(RunReply.Done()))
        case .verify(let service):
            let worker = WorkerName(service, on: host)
            let looked = RunReply.Done(treeEmpty: !alive.contains(worker), launches: histories[worker] ?? LaunchHistory())
            finish(command, host, fails ? .refused(slug: "busy", text: "busy") : .done(looked))
        case .snapshot(let service):
            let worker = WorkerName(service, on: host)
            finish(
                command, host,
                fails
                    ? .failed(slug: "disk-full", text: "no room")
                    : .done(RunReply.Done(counters: counters(worker), launches: histories[worker] ?? LaunchHistory())))
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
            // Without a buffer nothing is sent to a consumer that isn't there.
            let takes = stream.via != .direct || stream.to.allSatisfy { isAlive($0.service) }
            for producer in alive.sorted() where takes && stream.from.contains(producer.service) && random.chance(50) {
                made["\(producer)/\(stream.name)", default: 0] += 1
                added[stream.name, default: 0] += 1
                for consumer in stream.to { lag["\(stream.name)/\(consumer.service)", default: 0] += 1 }
            }
            for consumer in stream.to where isAlive(consumer.service) && (!faults || random.chance(60)) {
                let key = "\(stream.name)/\(consumer.service)"
                let taken = faults ? min(lag[key] ?? 0, Int64(random.below(3))) : lag[key] ?? 0
                lag[key, default: 0] -= taken
                sunk[key, default: 0] += taken
                if let worker = random.pickAny(alive.sorted().filter({ $0.service == consumer.service })) {
                    done["\(worker)/\(stream.name)", default: 0] += taken
                }
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

    private func counters(_ worker: WorkerName) -> [String: Int64] {
        var counters: [String: Int64] = [:]
        for stream in inventory.streams where stream.to.contains(where: { $0.service == worker.service }) {
            counters["done-\(stream.name.raw.suffix(1))"] = done["\(worker)/\(stream.name)"] ?? 0
        }
        return counters
    }

    /// Redis where it is declared, trimmed behind all groups; a sink on each host of its consumer, the first of which holds it all.
    private func readings(_ host: HostName) -> [StreamReading] {
        inventory.streams.flatMap { stream -> [StreamReading] in
            let kept = stream.to.map { lag["\(stream.name)/\($0.service)"] ?? 0 }.max() ?? 0
            return stream.to.compactMap { consumer in
                let key = "\(stream.name)/\(consumer.service)"
                let hosts = inventory.service(consumer.service)?.hosts ?? []
                var sink: Int64?
                if case .sqlite? = consumer.applied, hosts.contains(host) { sink = hosts.first == host ? sunk[key] ?? 0 : 0 }
                if case .redis(host, _, _) = stream.via {
                    return StreamReading(
                        stream: stream.name, consumer: consumer.service, host: host, known: true, runID: "r", length: kept,
                        entriesAdded: added[stream.name] ?? 0, lag: lag[key] ?? 0, applied: sink)
                }
                return sink.map { StreamReading(stream: stream.name, consumer: consumer.service, host: host, known: false, applied: $0) }
            }
        }
    }
}
