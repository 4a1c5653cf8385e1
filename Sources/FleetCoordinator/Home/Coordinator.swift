internal import FleetAPI
package import FleetCore
package import FleetJournal
package import FleetTrust
package import FleetWire
internal import LinuxHost
package import Logging
package import NIOCore

/// The coordinator: knows every host's last word, runs plans, answers the API.
///
/// All its state lives on one event loop of its own, `home`: events of sessions, of the API and of the journal come in
/// there. Emergency stops don't: they go from the caller's thread to the sessions through `SessionTable` (law 7).
///
/// `@unchecked Sendable`: every `var` is touched on `home` only, which `home.preconditionInEventLoop()` checks at the
/// entrances.
package final class Coordinator: @unchecked Sendable {
    package struct Settings: Sendable {
        package var name: CoordinatorName
        package var stateDirectory: String
        package var relay: Bool
        /// A host whose last report is older is unknown. Agents report once a second.
        package var reportBound: Duration
        /// How long a command may wait on its way to the effect.
        package var commandBound: Duration
        package var certificatePath: String
        package var keyPath: String

        package init(
            name: CoordinatorName, stateDirectory: String, relay: Bool, reportBound: Duration = .seconds(5),
            commandBound: Duration = .seconds(30), certificatePath: String, keyPath: String
        ) {
            self.name = name
            self.stateDirectory = stateDirectory
            self.relay = relay
            self.reportBound = reportBound
            self.commandBound = commandBound
            self.certificatePath = certificatePath
            self.keyPath = keyPath
        }
    }

    let settings: Settings
    let inventory: Inventory
    let home: any EventLoop
    let log: Logger
    let table: SessionTable
    let waiting = HomeQueue()
    /// nil in a relay, which keeps nothing.
    let journal: Journal?
    let storeID: String
    /// Proves `storeID` to agents; nil in a relay, which has no store.
    let storeKey: StoreKey?
    let epoch: UInt64
    let instance: String
    let parts: [HostName: WireHostPart]
    /// The services of each host's part, by name.
    let declared: [HostName: Set<ServiceName>]
    /// Judges signatures of latches; nil: none can be (a test's).
    let trust: TLSTrust?
    /// In which people's times are said.
    let zone: FleetZone
    /// nil: nobody is declared who could be told, or this is a relay.
    let alerts: AlertDesk?

    var hosts: [HostName: HostRecord]
    var runs: [UInt64: RunRecord] = [:]
    var lastRun: UInt64
    var book: LedgerBook
    private(set) var openLaunches: OpenLaunches
    /// The workers of each run under way that starts some.
    var starting: [UInt64: Set<WorkerName>] = [:]
    private let aliveMark: AliveMark
    private var marking: RepeatedTask?
    /// What could not be recorded of what runs on a host, in its order.
    var changesOwed: [HostName: [OpenLaunches.Change]] = [:]
    /// Starts that were sent and not answered.
    var startsOut = StartsOut()
    /// The last run that quiesced, resumed or stopped each worker, or was to.
    var lastActed: [WorkerName: UInt64]
    /// What persons have attested of hosts since the last certificate that says so.
    var settledByPersons: [HostName: String]
    var awaiting: [String: Awaited] = [:]
    /// Runs that have ended and whose certificate waits until it is known how many instances of a host live.
    var undecided: Set<UInt64> = []
    /// Released latches that a host has not been seen without yet, by host.
    var releasesOwed: [HostName: Set<String>] = [:]
    var logStreams: [String: LogStream] = [:]
    var nextOperation: UInt64 = 0
    var nextWatcher: UInt64 = 0

    /// Who waits for the result of a command, and from which host alone it counts (law 13).
    enum Awaited {
        case run(UInt64, CommandID, host: HostName)
        case caller(EventLoopPromise<WireCommandResult>, host: HostName)
        case audit(EventLoopPromise<[String]>, host: HostName, lines: [String])

        var host: HostName {
            switch self {
            case .run(_, _, let host), .caller(_, let host), .audit(_, let host, _): host
            }
        }
    }

    /// What became of a command on its way out.
    enum Sending {
        case sent
        /// The host has no session.
        case silent
        /// Its session does not carry this.
        case refused(slug: String, text: String)
    }

    /// `home` must be an event loop that nothing else uses.
    package init(
        settings: Settings, inventory: Inventory, journal: Journal?, fold: CoordinatorFold, storeKey: StoreKey? = nil, trust: TLSTrust? = nil,
        home: any EventLoop,
        log: Logger
    ) throws {
        self.settings = settings
        self.inventory = inventory
        self.journal = journal
        self.home = home
        self.log = log
        self.trust = trust
        self.storeKey = storeKey
        // One that was declared since is no outsider.
        table = SessionTable(book: fold.latches, outsiders: fold.outsiders.filter { inventory.host($0) == nil })
        if let signed = fold.succession, let statement = SuccessionStatement(document: signed.document),
            statement.names(coordinator: settings.name.raw, store: fold.storeID, key: storeKey?.publicText ?? "")
        {
            table.succession = signed
        }
        storeID = fold.storeID.isEmpty ? Random.hex(8) : fold.storeID
        epoch = fold.epoch + 1
        instance = Random.hex(8)
        zone = FleetZone(named: inventory.timezone)
        lastRun = settings.relay ? fold.lastRun : max(fold.lastRun, try CertificateFiles.lastRun(in: settings.stateDirectory))
        book = fold.book
        openLaunches = fold.openLaunches
        lastActed = fold.lastActed
        settledByPersons = fold.settledByPersons
        let builder = HostPartBuilder(inventory: inventory)
        parts = try Dictionary(uniqueKeysWithValues: inventory.hosts.map { ($0.name, try builder.part(for: $0)) })
        declared = parts.mapValues { Set($0.workers.map { ServiceName($0.service) }) }
        let (bootNow, unixNow) = (Clock.boottime(), Clock.unixMicroseconds())
        aliveMark = AliveMark(in: settings.stateDirectory)
        let aliveBefore = try aliveMark.read()
        hosts = Dictionary(
            uniqueKeysWithValues: inventory.hosts.map { spec in
                var before = fold.met[spec.name].map { $0.instance(bootNow: bootNow, unixNow: unixNow, heard: max(fold.aliveUnixMicroseconds, aliveBefore)) }
                before?.mayRun = !fold.openLaunches.open(on: spec.name).isEmpty
                return (spec.name, HostRecord(spec: spec, contest: fold.contested[spec.name], contestedAt: fold.contestedAt[spec.name] ?? 0, before: before))
            })
        alerts = AlertDesk(
            inventory: inventory, coordinator: settings.name, instance: instance, journal: journal, past: fold.alerts, home: home, log: log)
        for (name, host) in hosts where host.watch.hasUnheard { table.set(isDivided: true, name) }
        for host in openLaunches.hosts { table.set(unplaced: openLaunches.unplaced(on: host, declared: declared[host] ?? []), on: host) }
        for past in fold.runs.values { runs[past.id] = RunRecord(past) }
        for latch in fold.latches.all where latch.release != nil { owe(latch.id) }
    }

    /// Commits this start and what it found unfinished before anything listens. Throws what the journal says.
    package func begin(fold: CoordinatorFold) async throws {
        guard let journal else { return }
        var records = [
            AuditRecord(
                .coordinatorStart,
                fields: [
                    ("coordinator", settings.name.raw), ("store", storeID), ("epoch", "\(epoch)"), ("instance", instance), ("key", storeKey?.publicText ?? ""),
                ]),
            AuditRecord(.inventoryLoaded, fields: [("digest", inventory.digest), ("fleet", inventory.fleet.raw)]),
        ]
        for past in fold.unfinished {
            records.append(
                AuditRecord(
                    .runInterrupted, by: past.by, reason: past.reason, run: past.id,
                    fields: [("why", "the coordinator ended during it; order again")]))
        }
        let committed = records + AlertDesk.unfinished(fold.alerts)
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            journal.append(committed) { result in continuation.resume(with: result.map { _ in }.mapError { $0 as any Error }) }
        }
        alerts?.begin { [weak self] host in self?.hosts[host]?.whyUnknown ?? "" }
        home.execute { [self] in
            alertOwnExpiry()
            marking = home.scheduleRepeatedTask(initialDelay: AliveMark.first, delay: AliveMark.every) { [aliveMark] _ in aliveMark.touch() }
            for past in fold.unfinished {
                runs[past.id]?.api.state = .aborted
                runs[past.id]?.api.blocked = "the coordinator ended during it; order again"
            }
        }
    }

    /// Ends every stream to callers; workers and agents are left as they are (law 4).
    ///
    /// Not on `home`: it waits for what that has to record.
    package func close() {
        let told = home.submit { [self] in
            marking?.cancel()
            for (name, host) in hosts where host.connected && host.reportSession == table.session(name)?.id {
                if let report = host.report { recordOpenLaunches(of: name, report, isLast: true) }
            }
            for id in runs.keys {
                for watcher in runs[id]?.watchers.values ?? [:].values { watcher.finish() }
            }
            for stream in logStreams.values { stream.continuation.finish() }
        }
        do { try told.wait() } catch { log.error("not all was closed", metadata: ["why": "\(error)"]) }
        alerts?.close()
        journal?.close()
    }

    // MARK: What may run

    func apply(_ change: OpenLaunches.Change) {
        openLaunches.apply(change, journal: hosts[change.host]?.watch.newest?.journal ?? "")
        table.set(unplaced: openLaunches.unplaced(on: change.host, declared: declared[change.host] ?? []), on: change.host)
    }

    func provenStopped(_ workers: [WorkerName]) { openLaunches.proven(workers) }

    /// A run that starts `workers` begins; its first record names them. Until it has ended none of them counts as down by a report: the order
    /// may be on its way.
    func starts(_ workers: [WorkerName], run id: UInt64) {
        openLaunches.order(workers)
        starting[id] = Set(workers)
    }

    /// Services of which a start may still be carried out on `host`: by a run that is under way, or by a command that has not been answered by
    /// the instance that it was sent to, nor by one that answers for it.
    func startsPending(on host: HostName) -> Set<ServiceName> {
        if let session = table.session(host), let watch = hosts[host]?.watch {
            startsOut.forget(on: host) { sent in
                sent.instance == session.hello.agentInstance ? sent.session != session.id : watch.newestAnswers(for: sent.instance)
            }
        }
        let ofRuns = starting.values.joined().filter { $0.host == host }.map(\.service)
        return Set(ofRuns).union(startsOut.services(on: host))
    }

    // MARK: Clocks

    func now() -> Moment { Moment(boot: Clock.boottime(), unixMicroseconds: Clock.unixMicroseconds()) }

    /// Runs on `home` and hands back what it returns or throws.
    func onHome<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
        try await home.submit(body).get()
    }

    /// Can't be guessed by whoever was not told it, and never comes again.
    func operationID() -> String {
        nextOperation += 1
        return "\(instance)/\(nextOperation)/\(Random.hex(8))"
    }

    // MARK: Sending

    func send(_ command: WireCommand, to host: HostName) -> Sending {
        guard let session = table.session(host) else { return .silent }
        if let why = hosts[host]?.refuses, command.what?.isQuestion != true { return .refused(slug: SessionLimit.stranger.slug, text: "\(host): \(why)") }
        if let host = hosts[host], host.watch.contested != nil || host.watch.isDoubtful, case .start? = command.what {
            return .refused(slug: "host-contested", text: "\(host.spec.name): \(host.whyUnknown): nothing is started there")
        }
        var command = command
        command.session = session.id
        command.notAfterBoottimeNs = (session.peerBoottime() + settings.commandBound).nanoseconds
        var envelope = WireEnvelope()
        envelope.command = command
        if let (slug, text) = session.refusal(of: envelope) { return .refused(slug: slug, text: "\(host): \(text)") }
        if case .start? = command.what {
            startsOut.sent(
                StartsOut.Sent(
                    operation: command.operation, service: ServiceName(command.service), session: session.id, instance: session.hello.agentInstance),
                to: host)
            hosts[host]?.watch.reported(session: session.id, mayRun: true, now: now().boot)
        }
        session.send(envelope)
        return .sent
    }

    /// Sends a command of a caller's own and waits for its result, at most `bound`.
    func ask(_ host: HostName, _ command: WireCommand, bound: Duration) async throws -> WireCommandResult {
        let promise = home.makePromise(of: WireCommandResult.self)
        home.execute { [self] in
            awaiting[command.operation] = .caller(promise, host: host)
            switch send(command, to: host) {
            case .sent: break
            case .silent:
                awaiting[command.operation] = nil
                return promise.fail(Coordinator.silent(host))
            case .refused(let slug, let text):
                awaiting[command.operation] = nil
                return promise.fail(APIProblem(slug: slug, what: "REFUSED  \(text)", why: "Nothing was done there.", then: "trading status \(host)"))
            }
            home.scheduleTask(in: .nanoseconds(bound.nanoseconds)) { [self] in
                guard case .caller(let promise, _)? = awaiting.removeValue(forKey: command.operation) else { return }
                promise.fail(
                    APIProblem(
                        slug: "no-answer", what: "UNKNOWN  \(host) has not answered within \(bound.words)",
                        why: "The command may or may not have been carried out.", then: "trading status \(host)"))
            }
        }
        return try await promise.futureResult.get()
    }

    static func silent(_ host: HostName) -> APIProblem {
        APIProblem(
            slug: "host-unknown", what: "REFUSED  \(host) has no session with this coordinator", why: "Nothing was done there.",
            then: "On \(host) itself: trading --local status")
    }
}

extension RunRecord {
    /// A run of an earlier process, as the journal tells it.
    init(_ past: CoordinatorFold.Past) {
        var api = APIRun()
        api.id = past.id
        api.kind = past.kind
        api.origin = past.by
        api.reason = past.reason
        api.beganUnixUs = past.began
        api.endedUnixUs = past.ended ?? 0
        api.verdict = past.verdict
        api.state = past.failed == nil ? .completed : .aborted
        api.blocked = past.failed ?? ""
        machine = nil
        self.api = api
    }
}
