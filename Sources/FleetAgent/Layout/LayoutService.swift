internal import FleetCore
internal import FleetWire
internal import Glibc
internal import LinuxHost
internal import Logging
internal import NIOCore

/// This host's layout: what it is, what would have to change, the change, and what has drifted.
///
/// Observes by default; only an explicit apply changes anything, and nothing of a live worker without its name (law 9).
///
/// `@unchecked Sendable`: everything mutable is touched on the agent's loop only; looking and writing is done on a lane of its own.
final class LayoutService: @unchecked Sendable {
    typealias Finish = (WireCommandResult) -> Void

    /// More than this much has drifted at once on no host that is worth listing.
    static let driftMax = 64
    /// A machine has some hundreds of interrupt lines and a few pools.
    private static let changesMax = 2_048
    /// What comes and goes is recorded this often at most.
    private static let recordEvery: Duration = .seconds(600)
    private static let keysMax = 256
    /// How long an answer waits for the records of what was done.
    private static let recordBound: TimeAmount = .seconds(5)
    private static let lane = "layout"

    private unowned let agent: Agent
    private let work: LayoutWork

    /// What has drifted as last looked, and since when it was seen, in microseconds since 1970.
    private(set) var drift: [WireLayoutDrift] = []
    private(set) var lookedAt: BootTime?
    /// The clock's state as the inventory wants it read.
    private(set) var time: (reading: TimeReading, at: BootTime)?
    private var since: [String: UInt64] = [:]
    private var recordedAt: [String: BootTime] = [:]
    private var recorded: Set<String> = []
    private var unlisted = 0
    private var dueAt = BootTime.zero
    private var isLooking = false
    private var applying: (by: String, at: BootTime)?
    /// The agent's own CPUs as last set, and why they could not be.
    private var ownCPUs: CPUList?
    private var ownProblem: String?

    init(agent: Agent) {
        self.agent = agent
        work = LayoutWork(root: agent.settings.layoutRoot)
    }

    var warnings: [String] {
        var warnings = [ownProblem].compactMap { $0 }
        if unlisted > 0 {
            warnings.append("\(unlisted) more things of this host's layout have drifted than are listed: trading layout verify --host \(agent.host)")
        }
        return warnings
    }

    // MARK: What is wanted

    func demand() -> LayoutDemand {
        let spec = HostDeclaration(agent.part).spec
        var demand = LayoutDemand(housekeeping: spec.housekeeping, shared: spec.shared, hugepages: spec.hugepages, expect: spec.expect)
        demand.workers = agent.shells.map { shell in
            let placement = shell.declaration.placement
            let release = shell.declaration.release
            return LayoutDemand.Worker(
                service: shell.declaration.service, exclusive: placement.exclusive, helpers: placement.helpers, node: placement.node,
                threads: placement.threads, hugepages: release.hugepages, keepsHugepages: !release.hugepageKeeps.isEmpty, pid: shell.machine.pid)
        }
        demand.residents = [LayoutDemand.Resident(name: "trading-agent", pid: getpid())]
        for shell in agent.shells {
            guard let shim = agent.emergency.entry(shell.declaration.service)?.shimProcess else { continue }
            demand.residents.append(LayoutDemand.Resident(name: "shim of \(shell.service)", pid: shim.pid))
        }
        return demand
    }

    /// The agent stays where its host keeps house, and with it every shim that it launches.
    private func keepHouse(_ cpus: CPUList?) {
        guard let cpus, !cpus.isEmpty, cpus != ownCPUs else { return }
        ownCPUs = cpus
        do {
            try Processes.confine(to: cpus)
            ownProblem = nil
        } catch {
            ownProblem = "this agent can't stay on the housekeeping CPUs \(cpus): \(error)"
        }
    }

    // MARK: Drift

    /// Looks when it is time to.
    func tick(now: BootTime) {
        guard let every = agent.settings.driftEvery, !isLooking, applying == nil, now >= dueAt, !agent.part.digest.isEmpty else { return }
        dueAt = now + every
        look()
    }

    private func look() {
        let demand = demand()
        keepHouse(demand.housekeeping)
        isLooking = agent.housework.submit(lane: Self.lane) { [self] in
            let look = work.look(demand)
            agent.loop.execute { [self] in
                isLooking = false
                let now = Clock.boottime()
                if let reading = look.time { time = (reading, now) }
                take(look.verification.drift, now)
            }
        }
    }

    /// Records what has come and what has gone, and lists what is.
    private func take(_ found: [LayoutDrift], _ now: BootTime) {
        lookedAt = now
        let unix = Clock.unixMicroseconds()
        unlisted = max(0, found.count - Self.driftMax)
        let listed = found.prefix(Self.driftMax)
        let keys = Set(listed.map(\.key))
        for drift in listed where since[drift.key] == nil {
            since[drift.key] = unix
            guard recordedAt[drift.key].map({ now - $0 >= Self.recordEvery }) ?? true else { continue }
            if recordedAt.count >= Self.keysMax { recordedAt = recordedAt.filter { now - $0.value < Self.recordEvery } }
            recordedAt[drift.key] = now
            recorded.insert(drift.key)
            agent.log.warning("the layout has drifted", metadata: ["what": "\(drift)"])
            agent.journal.note(.layoutDrift, Self.fields(WireLayoutDrift(drift, sinceUnixMicroseconds: unix)))
        }
        for gone in drift where !keys.contains(Self.key(gone)) {
            since[Self.key(gone)] = nil
            // Only what was recorded as drifted is recorded as restored.
            guard recorded.remove(Self.key(gone)) != nil else { continue }
            agent.journal.note(.layoutRestored, Self.fields(gone))
        }
        let before = drift
        drift = listed.map { WireLayoutDrift($0, sinceUnixMicroseconds: since[$0.key] ?? unix) }
        if drift != before { agent.changed() }
    }

    private static func key(_ drift: WireLayoutDrift) -> String { "\(drift.slug)\n\(drift.subject)\n\(drift.service)" }

    private static func fields(_ drift: WireLayoutDrift) -> [WorkerMachine.Field] {
        var fields = [
            WorkerMachine.Field("slug", drift.slug), WorkerMachine.Field("subject", drift.subject), WorkerMachine.Field("wanted", drift.wanted),
            WorkerMachine.Field("found", drift.found),
        ]
        if !drift.service.isEmpty { fields.append(WorkerMachine.Field("service", drift.service)) }
        return fields
    }

    // MARK: Requests

    /// Answers on the loop, once.
    func handle(_ request: WireLayoutRequest, by: String, reason: String, run: UInt64?, operation: String, finish: @escaping Finish) {
        let overriding = Set(request.overrideWorkers.map { ServiceName(WorkerName($0)?.service.raw ?? $0) })
        if let unknown = overriding.subtracting(agent.shells.map(\.declaration.service)).sorted().first {
            return finish(Self.result(.refused, "unknown-service", "there is no \(unknown) on \(agent.host) to override. Nothing was changed"))
        }
        switch request.what {
        case .show, .plan, .verify:
            let demand = demand()
            let box = NIOLoopBound(finish, eventLoop: agent.loop)
            let accepted = agent.housework.submit(lane: Self.lane) { [self, since] in
                let answer = work.answer(request.what, demand, host: agent.host, overriding: overriding, since: since)
                agent.loop.execute {
                    var result = Self.result(.done, "", "")
                    result.layout = answer
                    box.value(result)
                }
            }
            if !accepted { finish(Self.result(.failedTo, "busy", "the agent has too much other work waiting. Ask again")) }
        case .apply: apply(Apply(overriding: overriding, by: by, reason: reason, run: run, operation: operation, finish: finish))
        case .UNRECOGNIZED: finish(Self.result(.failedTo, "unknown-command", "this agent does not know that question; it is older than who asks. Update it"))
        }
    }

    private static func result(_ outcome: WireCommandResult.Outcome, _ slug: String, _ text: String) -> WireCommandResult {
        var result = WireCommandResult()
        result.outcome = outcome
        result.slug = slug
        result.text = text
        return result
    }

    // MARK: Apply

    /// One apply and what has come of it so far.
    private final class Apply {
        let overriding: Set<ServiceName>
        let by: String
        let reason: String
        let run: UInt64?
        let operation: String
        let finish: Finish
        var tried: Set<String> = []
        var changes: [WireLayoutChange] = []
        var citations: [WireRecordCitation] = []
        /// Records that are not written yet.
        var pending = 0
        var answer: WireLayoutAnswer?
        var isFinished = false

        init(overriding: Set<ServiceName>, by: String, reason: String, run: UInt64?, operation: String, finish: @escaping Finish) {
            self.overriding = overriding
            self.by = by
            self.reason = reason
            self.run = run
            self.operation = operation
            self.finish = finish
        }
    }

    private func apply(_ apply: Apply) {
        if let applying {
            let since = (Clock.boottime() - applying.at).words
            return apply.finish(Self.result(.refused, "busy", "busy: layout apply, by \(applying.by), for \(since). Wait for it to end"))
        }
        guard !agent.part.digest.isEmpty else {
            return apply.finish(Self.result(.refused, "no-part", "this agent has no part of the inventory yet, so nothing is declared that could be applied"))
        }
        if let obstacle = work.obstacle { return apply.finish(Self.result(.refused, "not-permitted", obstacle + ". Nothing was changed")) }
        applying = (apply.by, Clock.boottime())
        step(NIOLoopBound(apply, eventLoop: agent.loop))
    }

    private func step(_ box: NIOLoopBound<Apply>) {
        // Who lives is asked anew before each change.
        let demand = demand()
        let (overriding, tried) = (box.value.overriding, box.value.tried)
        let accepted = agent.housework.submit(lane: Self.lane) { [self] in
            let step = tried.count < Self.changesMax ? work.step(demand, host: agent.host, overriding: overriding, tried: tried) : .end
            agent.loop.execute { self.took(step, box) }
        }
        if !accepted { end(box, nil) }
    }

    private func took(_ step: LayoutWork.Step, _ box: NIOLoopBound<Apply>) {
        let apply = box.value
        switch step {
        case .refused(let change, let why):
            apply.tried.insert(change.subject)
            apply.changes.append(WireLayoutChange(change, refused: why))
            record(.layoutRefused, change, [WorkerMachine.Field("why", why)], box)
        case .tried(let change, let outcome):
            apply.tried.insert(change.subject)
            apply.changes.append(WireLayoutChange(change, outcome))
            let overridden = change.workers.map(\.raw).joined(separator: ",")
            let touched = overridden.isEmpty ? [] : [WorkerMachine.Field("overridden", overridden)]
            switch outcome {
            case .done(let readBack): record(.layoutChanged, change, [WorkerMachine.Field("read_back", readBack)] + touched, box)
            case .short(let readBack, let text):
                record(.layoutChanged, change, [WorkerMachine.Field("read_back", readBack), WorkerMachine.Field("short", text)] + touched, box)
            case .failed(let error): record(.layoutRefused, change, [WorkerMachine.Field("why", error.description)] + touched, box)
            }
        case .end:
            let demand = demand()
            let overriding = apply.overriding
            let accepted = agent.housework.submit(lane: Self.lane) { [self, since] in
                let answer = work.answer(.show, demand, host: agent.host, overriding: overriding, since: since)
                agent.loop.execute { self.end(box, answer) }
            }
            if !accepted { end(box, nil) }
            return
        }
        self.step(box)
    }

    /// The change is there whether it is recorded or not: nothing waits for it but the answer.
    private func record(_ event: AuditEvent, _ change: LayoutChange, _ more: [WorkerMachine.Field], _ box: NIOLoopBound<Apply>) {
        let apply = box.value
        let fields = [
            WorkerMachine.Field("subject", change.subject), WorkerMachine.Field("from", change.from), WorkerMachine.Field("to", change.to),
            WorkerMachine.Field("op", apply.operation),
        ]
        apply.pending += 1
        let draft = AgentJournal.Draft(event: event.rawValue, by: apply.by, reason: apply.reason, run: apply.run, fields: fields + more)
        agent.journal.append([draft]) { [self] result in
            let apply = box.value
            apply.pending -= 1
            if case .success(let citations) = result { apply.citations += citations }
            if apply.pending == 0, apply.answer != nil { finish(apply) }
        }
    }

    private func end(_ box: NIOLoopBound<Apply>, _ answer: WireLayoutAnswer?) {
        let apply = box.value
        var answer = answer ?? WireLayoutAnswer()
        answer.changes = apply.changes
        apply.answer = answer
        guard apply.pending > 0 else { return finish(apply) }
        agent.loop.scheduleTask(in: Self.recordBound) { [self] in finish(box.value) }
    }

    private func finish(_ apply: Apply) {
        guard !apply.isFinished, let answer = apply.answer else { return }
        apply.isFinished = true
        applying = nil
        // What drifts now is looked at with the next tick.
        dueAt = .zero
        let done = apply.changes.count(where: \.done)
        let short = apply.changes.count { !$0.done && $0.refused.isEmpty }
        let refused = apply.changes.filter { !$0.refused.isEmpty }
        var result: WireCommandResult
        if apply.changes.isEmpty {
            result = Self.result(.done, "", "the layout of \(agent.host) is as declared; nothing was changed")
        } else if done == apply.changes.count {
            result = Self.result(.done, "", "\(done) of \(done) changes were made and read back")
        } else if done + short == 0, let first = refused.first {
            result = Self.result(.refused, "layout", "nothing was changed: \(first.subject): \(first.refused)")
        } else {
            let parts = [short > 0 ? "\(short) fell short" : "", refused.isEmpty ? "" : "\(refused.count) were left alone"].filter { !$0.isEmpty }
            result = Self.result(.failedTo, "layout", "\(done) of \(apply.changes.count) changes were made, \(parts.joined(separator: ", ")); each says why")
        }
        result.layout = answer
        result.records = apply.citations
        apply.finish(result)
    }
}
