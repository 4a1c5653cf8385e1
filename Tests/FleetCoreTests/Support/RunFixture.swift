import FleetCore

/// A small fleet with one of everything, and a run over it that a test answers by hand.
struct RunFixture {
    static let inventory: Inventory = {
        let quiesce = ActionSpec(how: .signal("USR1"), done: .notify("X_QUIESCED=1"), within: .seconds(5))
        let gate = GateSpec(name: "open-orders", probe: HTTPProbeSpec(url: "http://127.0.0.1:1/", pointer: "/open", equals: "0"), wait: .seconds(30))
        return Inventory(
            fleet: "demo", tiers: [TierSpec(name: "market-data"), TierSpec(name: "strategies"), TierSpec(name: "execution")],
            hosts: ["md-1", "st-1", "ex-1"].map { HostSpec(name: $0) },
            services: [
                ServiceSpec(
                    name: "feed", tier: "market-data", run: ["/feed"], hosts: ["md-1"], counters: [CounterSpec(name: "produced", how: .notify("X_PRODUCED"))]),
                ServiceSpec(name: "recorder", tier: "market-data", run: ["/rec"], hosts: ["md-1"]),
                ServiceSpec(name: "strategy", tier: "strategies", run: ["/strat"], hosts: ["st-1"], quiesce: quiesce, resume: quiesce),
                ServiceSpec(name: "gateway", tier: "execution", run: ["/gw"], hosts: ["ex-1"], gates: [gate]),
            ],
            streams: [
                StreamSpec(
                    name: "ticks", from: ["feed"], via: .redis(host: "md-1", address: "127.0.0.1:6379", key: "ticks"), produced: "produced",
                    to: [
                        ConsumerSpec(service: "recorder", policy: .buffer, group: "recorder"),
                        ConsumerSpec(service: "strategy", policy: .discard, group: "strategy"),
                    ])
            ])
    }()

    var machine: RunMachine
    var now = Moment(boot: BootTime(nanoseconds: 1), unixMicroseconds: 0)
    private(set) var sends: [(id: CommandID, host: HostName, ask: RunMachine.Ask)] = []
    private(set) var last: [RunMachine.Effect] = []

    init(
        _ kind: RunKind = .stop, _ scope: OperationScope = OperationScope(all: true), inventory: Inventory = RunFixture.inventory,
        stopped: Set<WorkerName> = []
    ) throws {
        let workers = Dictionary(
            uniqueKeysWithValues: inventory.workers.map {
                ($0, ObservedWorker(state: kind == .start || stopped.contains($0) ? .stopped : .running))
            })
        let fleet = ObservedFleet(workers: workers, reporting: Set(inventory.hosts.map(\.name)))
        machine = RunMachine(
            id: 9, plan: try Planner(inventory: inventory, fleet: fleet).plan(kind, scope), inventory: inventory, book: Self.book(inventory), by: "ops-1",
            reason: "test")
    }

    mutating func tell(_ event: RunMachine.Event, after: Duration = .milliseconds(10)) {
        now.boot = now.boot + after
        last = machine.handle(event, now: now)
        for case .send(let id, let host, let ask) in last { sends.append((id, host, ask)) }
    }

    /// The newest command that asks this; a test without one answers nobody.
    func id(of ask: RunMachine.Ask) -> CommandID { sends.last { $0.ask == ask }?.id ?? "none" }

    mutating func answer(_ ask: RunMachine.Ask, _ reply: RunReply) { tell(.answered(id(of: ask), reply)) }

    static let gone = RunReply.done(.gone())

    /// Opened when nothing had been launched, and nothing read since.
    static func book(_ inventory: Inventory) -> LedgerBook {
        var book = LedgerBook()
        for stream in inventory.streams {
            let marks = Dictionary(stream.services.flatMap(inventory.workers(of:)).map { ($0, LaunchMark()) }) { $1 }
            book.keep(LedgerBook.Opening(readings: readings(inventory).filter { $0.stream == stream.name }, marks: marks), of: stream.name)
        }
        return book
    }

    static func readings(_ inventory: Inventory) -> [StreamReading] {
        inventory.streams.flatMap { stream -> [StreamReading] in
            guard case .redis(let host, _, _) = stream.via else { return [] }
            return stream.to.flatMap { consumer -> [StreamReading] in
                let sinks = if case .sqlite? = consumer.applied { inventory.service(consumer.service)?.hosts ?? [] } else { [HostName]() }
                func reading(_ at: HostName, known: Bool) -> StreamReading {
                    StreamReading(
                        stream: stream.name, consumer: consumer.service, host: at, known: known, lag: 0, applied: sinks.contains(at) ? 0 : nil)
                }
                return [reading(host, known: true)] + sinks.filter { $0 != host }.map { reading($0, known: false) }
            }
        }
    }

    /// How workers end, where not well.
    var ends: [ServiceName: WorkerExit] = [:]
    var signalled: UInt64 = 0

    /// What looks after ends find, where not everything is in order.
    var checks: [ServiceName: [Verification.Check]] = [:]
    /// What snapshots find of state files.
    var stateFiles: [ServiceName: [String: String]] = [:]
    /// Agents of these tell nothing of launches.
    var untold: Set<ServiceName> = []

    private func end(of service: ServiceName) -> RunReply.Done {
        var done = RunReply.Done.gone(ends[service] ?? WorkerExit(how: .exited(0), notified: ["X_PRODUCED": "0"], tree: TreeEnd(), at: .zero))
        done.checks = checks[service] ?? done.checks
        if untold.contains(service) { done.launches = nil }
        return done
    }

    /// Answers well whatever is asked, until nothing is asked or a step with this label begins.
    mutating func goOn(until label: String? = nil) {
        for _ in 0..<200 where !machine.state.isEnded {
            if let label, machine.current?.label == label { return }
            let owed = sends.filter { machine.wants($0.id) }
            if owed.isEmpty {
                guard machine.deadline != nil else { return }
                tell(.timeReached, after: .seconds(1))
            }
            for (id, _, ask) in owed where machine.wants(id) {
                if let label, machine.current?.label == label { return }
                switch ask {
                case .stop(let service):
                    var done = end(of: service)
                    done.signalledUnixMicroseconds = signalled
                    tell(.answered(id, .done(done)))
                case .verify(let service):
                    let isLooked = machine.plan.looked.contains { $0.service == service }
                    tell(.answered(id, .done(isLooked ? end(of: service) : RunReply.Done(treeEmpty: true))))
                case .gate: tell(.answered(id, .done(RunReply.Done(gateHolds: true, gateValue: "0"))))
                case .readStreams: tell(.answered(id, .done(RunReply.Done(streams: Self.readings(machine.inventory)))))
                case .snapshot(let service): tell(.answered(id, .done(RunReply.Done(stateFiles: stateFiles[service] ?? [:]))))
                case .quiesce, .resume, .start: tell(.answered(id, .done(RunReply.Done())))
                }
            }
        }
    }

    var gateQuestion: RunMachine.Ask {
        .gate(GateQuestion(owner: "gateway", gate: "open-orders", host: "ex-1", wait: .seconds(30), wants: "0"))
    }
}
