/// One worker's life as its agent decides it: the operation slot, the generation, the launch, the stop, the restart policy.
///
/// Duties:
/// 1. At most one launch exists at a time, and none under a latch or a lock.
/// 2. At most one operation holds the slot; a stop supersedes everything but a stop, a resume supersedes a quiesce, and
///    only an order to kill supersedes a stop (one arbiter). A repeat of the order in the slot changes nothing.
/// 3. A stop by order ends in `stopped` only once the shim has said that the whole tree is gone and what the launch has
///    left was looked at, or could not be in time.
/// 4. Past its grace a worker is killed or held as declared, never anything else; one that writes its core is waited for
///    or cut short as declared.
/// 5. What ends by itself, or was stopped because it was unhealthy, restarts as its policy says and within its limit.
/// 6. A lock refuses every verb; only a latch goes through it.
///
/// Events go in with the agent's CLOCK_BOOTTIME, effects come out in order. **Effects after a `.record` wait until that
/// record is durable**, except `.killTree` with a latch, which waits for nothing (law 7).
///
/// By subject: stop, hold and verification in `+Stop`, core dumps in `+Dump`, restarts in `+Restart`, health in `+Health`,
/// locks and notes in `+Marks`, what an agent before left in `+Past`.
package struct WorkerMachine: Equatable, Sendable {
    package let worker: WorkerName
    package private(set) var policy: WorkerPolicy
    package internal(set) var phase: Phase = .stopped
    /// The latch that forbids this worker, if one is in force.
    package private(set) var latch: String?
    package internal(set) var lock: Mark?
    package internal(set) var remark: Mark?
    /// The last lock, unlock or note is not on record: the next one is recorded also where it changes nothing.
    var marksOwed = false
    package private(set) var slot: Order?
    /// Rises with every accepted order, local or remote.
    package internal(set) var generation: UInt64
    /// Starts by restart policy since the last start by an order.
    package internal(set) var restarts = 0
    package internal(set) var quiesced = false
    /// RELOADING=1 was said, and not READY=1 since.
    package internal(set) var reloading = false
    package internal(set) var lastExit: WorkerExit?
    /// The last launch that has ended.
    package internal(set) var lastLaunch: LaunchID?
    /// What the last order wanted; nil: none has come, as far as the journal reaches.
    package internal(set) var wanted: Wanted?
    /// Every launch of this worker on this host, as far as the journal reaches.
    package internal(set) var history = LaunchHistory()
    /// What that launch has left; nil while that is not known.
    package internal(set) var verification: Verification?
    /// The oldest launch of this boot of which it could not be told whether something of it lives. Later ones do not make up for it.
    package internal(set) var strayed: LaunchID?
    /// Of the core so far; 0 where it is unknown.
    package internal(set) var dumpedBytes: UInt64 = 0
    /// When the current phase began.
    package internal(set) var since: BootTime
    /// The launches that count against the restart policy's limit.
    package internal(set) var recentStarts: [BootTime] = []
    /// How often the restart delay has doubled since the budget was last whole.
    package internal(set) var backoffStep = 0

    package enum Phase: Equatable, Sendable {
        /// No launch exists. Next: launching.
        case stopped
        /// The intent is recorded, the shim has not yet said that the worker runs. Next: starting, failed, stopping.
        case launching(LaunchID)
        /// The process runs and is not ready; `by` is when its start is called late. Next: running, stopping, killing.
        case starting(LaunchID, pid: Int32, by: BootTime)
        case running(LaunchID, pid: Int32)
        /// Signalled. `graceEnds` may move up to `limit`. Next: verifying, killing, held.
        case stopping(LaunchID, pid: Int32, graceEnds: BootTime, limit: BootTime)
        /// It writes its core and still holds its sockets. Next: verifying, killing, or where it was before.
        case dumping(LaunchID, pid: Int32)
        /// Outlived its grace; a person decides. Next: stopping, killing, running (released), verifying (it ended by itself).
        case held(LaunchID, pid: Int32)
        /// SIGKILL went out; `lateAt` is when its absence is called late. Next: verifying.
        case killing(LaunchID, pid: Int32, lateAt: BootTime)
        /// The whole tree is gone and a stop in the slot waits to hear what it left, until `by`. Next: stopped.
        case verifying(LaunchID, by: BootTime)
        /// Ended by itself; restarts at `until`. Next: launching, stopped.
        case backoff(until: BootTime)
        /// Could not be launched or reached its start limit; only an order starts it again.
        case failed(String)
    }

    /// How long after SIGKILL a tree may linger before it is called late: uninterruptible sleep and core dumps take long.
    package static let killLateAfter: Duration = .seconds(10)
    /// How long a shim may take to say that the worker runs.
    package static let launchBound: Duration = .seconds(15)
    /// How long a stop waits to hear what was left.
    package static let verifyBound: Duration = .seconds(5)
    /// A worker may extend its time with every breath; its records may not fill the journal.
    static let extendedRecordEvery: Duration = .seconds(5)
    /// Changes of the main process that are recorded per launch; more than that is a worker gone wild.
    private static let mainPIDRecordsMax = 16

    // Of the stop under way, or the last one.
    var killedThisStop = false
    var heldThisStop = false
    /// Why it is being stopped without an order.
    var ownStop: String?

    var launchBy: BootTime?
    var actionBy: BootTime?
    var lateSaid = false
    /// A latch or an order has doomed the launch before its process was seen: it is killed as soon as it is.
    var doomed = false
    /// READY=1 came before the word that the process runs.
    private var readyEarly = false
    var readySince: BootTime?
    /// STOPPING=1: from then on its watchdog and its health don't count.
    private(set) var saidStopping = false
    private var mainPIDRecords = 0
    var extendedAt: BootTime?
    var checks = Health()

    // While it dumps core.
    var dumpedFrom: Phase = .stopped
    var dumpLateAt: BootTime?
    var dumpRecorded = false

    /// The launch that `verify` was asked for, until it is answered or the next launch begins.
    var verifying: LaunchID?

    package init(worker: WorkerName, policy: WorkerPolicy, generation: UInt64 = 0, restarts: Int = 0, lastExit: WorkerExit? = nil, now: BootTime) {
        self.worker = worker
        self.policy = policy
        self.generation = generation
        self.restarts = restarts
        self.lastExit = lastExit
        since = now
    }

    // MARK: Events

    package mutating func handle(_ event: Event, now: BootTime) -> [Effect] {
        switch event {
        case .startRequested(let order, let launch): start(order, launch, now)
        case .stopRequested(let order, let killNow): stop(order, killNow: killNow, now)
        case .quiesceRequested(let order): act(order, policy.quiesce, begin: .workerQuiesce, now)
        case .resumeRequested(let order): act(order, policy.resume, begin: .workerResume, now)
        case .holdWaitRequested(let order, let time): holdWait(order, time, now)
        case .holdReleaseRequested(let order, let kill): holdRelease(order, kill: kill, now)
        case .lockRequested(let order, let mark): lock(order, mark, now)
        case .unlockRequested(let order): unlock(order, now)
        case .remarkRequested(let order, let mark): remark(order, mark)
        case .marksUnrecorded: owe()
        case .processStarted(let pid, let trace): processStarted(pid, trace, now)
        case .launchFailed(let why): launchFailed(why, now)
        case .readySaid: ready(now)
        case .reloading(let isReloading): reloading(isReloading)
        case .extensionSaid(let time, let words): extend(time, words, now)
        case .notified(let text): notified(text, now)
        case .mainPIDChanged(let pid, let trace): mainPIDChanged(pid, trace)
        case .watchdogLate: watchdogLate(nil, now)
        case .watchdogBack: watchdogBack(now)
        case .healthRead(let index, let problem): healthRead(index, problem, now)
        case .dumping(let isDumping, let bytes): dumping(isDumping, bytes, now)
        case .actionSent(let problem): actionSent(problem, now)
        case .actionShown: actionShown(now)
        case .gone(let exit): gone(exit, now)
        case .verified(let launch, let verification): verified(launch, verification, now)
        case .adopted(let launch, let pid, let ready, let stopping, let quiesced, let trace):
            adopted(launch, pid, ready: ready, stopping: stopping, quiesced: quiesced, trace, now)
        case .foundGone(let launch, let exit, let wasStopping): foundGone(launch, exit, wasStopping: wasStopping, now)
        case .foundNever(let launch): foundNever(launch)
        case .foundInDoubt(let launch): foundInDoubt(launch)
        case .latched(let id): latched(id, now)
        case .unlatched: unlatched()
        case .timeReached(let launch): timeReached(launch, now)
        case .policyChanged(let policy): policyChanged(policy)
        }
    }

    // MARK: Queries

    /// When `timeReached` is wanted next.
    package var deadline: BootTime? {
        let phaseDeadline: BootTime? =
            switch phase {
            case .launching: launchBy
            case .starting(_, _, let by): lateSaid && !readyByDelay ? nil : by
            case .stopping(_, _, let graceEnds, _): graceEnds
            case .dumping: dumpLateAt
            case .killing(_, _, let lateAt): lateSaid ? nil : lateAt
            case .verifying(_, let by): by
            case .backoff(let until): until
            case .stopped, .running, .held, .failed: nil
            }
        return [phaseDeadline, actionBy].compactMap { $0 }.min()
    }

    package var launch: LaunchID? {
        switch phase {
        case .launching(let id), .starting(let id, _, _), .running(let id, _), .stopping(let id, _, _, _), .dumping(let id, _), .held(let id, _),
            .killing(let id, _, _), .verifying(let id, _):
            id
        case .stopped, .backoff, .failed: nil
        }
    }

    package var pid: Int32? {
        switch phase {
        case .starting(_, let pid, _), .running(_, let pid), .stopping(_, let pid, _, _), .dumping(_, let pid), .held(_, let pid),
            .killing(_, let pid, _):
            pid
        case .launching, .verifying, .stopped, .backoff, .failed: nil
        }
    }

    package var phaseWord: String {
        switch phase {
        case .stopped: "stopped"
        case .launching, .starting: "starting"
        case .running: "running"
        case .stopping: "stopping"
        case .dumping: "dumping core"
        case .held: "held"
        case .killing: "being killed"
        case .verifying: "being verified"
        case .backoff: "waiting to be restarted"
        case .failed: "failed"
        }
    }

    private var isWaitingToRestart: Bool { if case .backoff = phase { true } else { false } }

    var readyByDelay: Bool { if case .delay = policy.ready { true } else { false } }

    // MARK: The slot

    /// Checks repeats, lock, generation and slot for a mutating order; an effect list means that nothing is to be done.
    func refusal(_ order: Order, superseding: Bool = false, locked: Bool = true) -> [Effect]? {
        if let slot, !order.operation.isEmpty, slot.operation == order.operation {
            switch phase {
            case .held: return [.answer(slot, heldProgress)]
            case .dumping where slot.verb == .stop: return [.answer(slot, dumpingProgress)]
            default: return []
            }
        }
        if locked, !order.throughLock, let lockedRefusal { return [.answer(order, lockedRefusal)] }
        if let expected = order.expectedGeneration, expected != generation {
            return [
                .answer(
                    order,
                    .refused(
                        slug: "stale",
                        text:
                            "\(worker) is at generation \(generation), the order was made for \(expected): it was changed meanwhile. Look at trading status and order again"
                    ))
            ]
        }
        if let slot, !superseding {
            return [.answer(order, .refused(slug: "busy", text: "\(worker) is busy: \(slot.verb) by \(slot.by). Wait for it, or stop it"))]
        }
        return nil
    }

    mutating func accept(_ order: Order) -> [Effect] {
        var effects: [Effect] = []
        if let old = slot {
            effects.append(.answer(old, .refused(slug: "superseded", text: "\(old.verb) of \(worker) was superseded by \(order.verb), by \(order.by)")))
        }
        slot = order
        actionBy = nil
        generation += 1
        return effects
    }

    mutating func finish(_ answer: Answer) -> [Effect] {
        guard let order = slot else { return [] }
        slot = nil
        return [.answer(order, answer)]
    }

    mutating func enter(_ next: Phase, _ now: BootTime) {
        phase = next
        since = now
        lateSaid = false
        extendedAt = nil
    }

    // MARK: Start

    private mutating func start(_ order: Order, _ launch: LaunchID, _ now: BootTime) -> [Effect] {
        if let latch {
            return [
                .answer(
                    order,
                    .refused(slug: "latched", text: "\(worker) is under emergency stop \(latch). Release it first: trading emergency-stop release --reason …"))
            ]
        }
        if let refused = refusal(order) { return refused }
        switch phase {
        case .running:
            return [.answer(order, .done(killed: false, held: false))]
        case .starting, .launching, .stopping, .dumping, .held, .killing, .verifying:
            return [.answer(order, .refused(slug: "busy", text: "\(worker) is \(phaseWord). Wait until it is stopped, then start it"))]
        case .stopped, .backoff, .failed:
            let effects = accept(order)
            wanted = Wanted(isUp: true, by: order.by, reason: order.reason, since: now)
            restarts = 0
            recentStarts = []
            backoffStep = 0
            return effects + launchNow(launch, .workerStart, now)
        }
    }

    mutating func launchNow(_ launch: LaunchID, _ event: AuditEvent, _ now: BootTime) -> [Effect] {
        enter(.launching(launch), now)
        history.begin(launch)
        launchBy = now + Self.launchBound
        quiesced = false
        reloading = false
        saidStopping = false
        killedThisStop = false
        heldThisStop = false
        ownStop = nil
        doomed = false
        readyEarly = false
        readySince = nil
        mainPIDRecords = 0
        dumpedBytes = 0
        dumpLateAt = nil
        dumpRecorded = false
        verification = nil
        verifying = nil
        checks.begin()
        recentStarts.append(now)
        var fields = [Field("launch", launch), Field("generation", generation)]
        if event == .workerRestart { fields += [Field("step", backoffStep), Field("starts", recentStarts.count)] }
        return [.record(event, order: slot, fields: fields), .launch(launch)]
    }

    private mutating func processStarted(_ pid: Int32, _ trace: LaunchTrace?, _ now: BootTime) -> [Effect] {
        guard case .launching(let launch) = phase else { return [] }
        launchBy = nil
        var effects: [Effect] = [
            .record(.workerLaunched, order: slot, fields: [Field("pid", pid), Field("launch", launch)] + (trace?.fields ?? []))
        ]
        if latch != nil || doomed {
            killedThisStop = true
            enter(.killing(launch, pid: pid, lateAt: now + Self.killLateAfter), now)
            if let latch { return [.killTree(latch: latch)] + effects + [emergencyKill(pid, latch)] }
            return effects + [
                .record(.workerKill, order: slot, fields: [Field("pid", pid), Field("why", "ordered before it ran"), Field("level", "warning")]),
                .killTree(latch: nil),
            ]
        }
        enter(.starting(launch, pid: pid, by: now + policy.readyWithin), now)
        if slot?.verb == .stop { return effects + beginStop(launch, pid, now) }
        if readyEarly { effects += ready(now) }
        return effects
    }

    /// `isLate`: whether a process of it has run is not known.
    private mutating func launchFailed(_ why: String, isLate: Bool = false, _ now: BootTime) -> [Effect] {
        guard case .launching(let launch) = phase else { return [] }
        launchBy = nil
        history.end(launch, isLate ? .ended(WorkerExit(how: .unknown, at: now)) : .never)
        let isEnd = slot?.verb == .stop || latch != nil || doomed
        let late = isLate ? [Field(LaunchAccount.lateField, "unknown")] : []
        let effects: [Effect] = [.record(.workerLaunchFailed, order: slot, fields: [Field("why", why), Field("next", isEnd ? "stopped" : "failed")] + late)]
        if isEnd {
            enter(.stopped, now)
            return effects + finish(.done(killed: killedThisStop, held: false))
        }
        enter(.failed(why), now)
        return effects + finish(.failed(slug: "launch-failed", text: why))
    }

    // MARK: What the worker says

    private mutating func ready(_ now: BootTime) -> [Effect] {
        reloading = false
        if case .launching = phase { readyEarly = true }
        guard case .starting(let launch, let pid, _) = phase else { return [] }
        let took = now - since
        readySince = now
        history.ready(launch)
        enter(.running(launch, pid: pid), now)
        let effects: [Effect] = [.record(.workerReady, order: slot, fields: [Field("pid", pid), Field("took", took.words)])]
        return effects + (slot?.verb == .start ? finish(.done(killed: false, held: false)) : []) + judge(now)
    }

    private mutating func reloading(_ isReloading: Bool) -> [Effect] {
        guard case .running = phase else { return [] }
        reloading = isReloading
        return []
    }

    private mutating func notified(_ text: String, _ now: BootTime) -> [Effect] {
        switch text {
        case "READY=1": return ready(now)
        case "RELOADING=1": return reloading(true)
        case "WATCHDOG=trigger": return watchdogLate("WATCHDOG=trigger", now)
        case "STOPPING=1":
            if pid != nil { saidStopping = true }
            return []
        default: break
        }
        if let order = slot, let action = action(of: order) {
            if case .notify(text) = action.done { return actionShown(now) }
            return []
        }
        // Said late, or of its own accord: no operation ends by it, and yet it is so.
        guard case .running = phase else { return [] }
        if case .notify(text)? = policy.quiesce?.done { quiesced = true }
        if case .notify(text)? = policy.resume?.done { quiesced = false }
        return []
    }

    private mutating func mainPIDChanged(_ new: Int32, _ trace: LaunchTrace?) -> [Effect] {
        guard let old = pid, new > 0, new != old, let launch else { return [] }
        phase = phase.with(pid: new)
        dumpedFrom = dumpedFrom.with(pid: new)
        mainPIDRecords = min(mainPIDRecords + 1, Self.mainPIDRecordsMax + 1)
        if mainPIDRecords > Self.mainPIDRecordsMax { return [] }
        return [.record(.workerLaunched, order: nil, fields: [Field("pid", new), Field("launch", launch), Field("was", old)] + (trace?.fields ?? []))]
    }

    // MARK: Quiesce and resume

    private mutating func act(_ order: Order, _ action: ActionSpec?, begin: AuditEvent, _ now: BootTime) -> [Effect] {
        if let refused = refusal(order, superseding: order.verb == .resume && slot?.verb == .quiesce) { return refused }
        guard let action else {
            return [.answer(order, .refused(slug: "no-\(order.verb)", text: "\(worker) declares no \(order.verb) in the inventory"))]
        }
        guard case .running = phase else {
            return [.answer(order, .refused(slug: "not-running", text: "\(worker) is \(phaseWord), not running: nothing to \(order.verb)"))]
        }
        let effects = accept(order)
        actionBy = now + action.within
        return effects + [.record(begin, order: order, fields: []), .perform(action)]
    }

    private mutating func actionSent(_ problem: String?, _ now: BootTime) -> [Effect] {
        guard let order = slot, let action = action(of: order) else { return [] }
        if let problem {
            actionBy = nil
            return finish(.failed(slug: "\(order.verb)-failed", text: "\(order.verb) of \(worker) failed: \(problem)"))
        }
        return action.done == nil ? actionShown(now) : []
    }

    private mutating func actionShown(_ now: BootTime) -> [Effect] {
        guard let order = slot, action(of: order) != nil else { return [] }
        actionBy = nil
        quiesced = order.verb == .quiesce
        let event: AuditEvent = quiesced ? .workerQuiesced : .workerResumed
        return [.record(event, order: order, fields: [])] + finish(.done(killed: false, held: false))
    }

    private func action(of order: Order) -> ActionSpec? {
        switch order.verb {
        case .quiesce: policy.quiesce
        case .resume: policy.resume
        default: nil
        }
    }

    // MARK: Latches

    func emergencyKill(_ pid: Int32, _ latch: String) -> Effect {
        .record(.emergencyKill, order: nil, fields: [Field("pid", pid), Field("latch", latch)])
    }

    private mutating func latched(_ id: String, _ now: BootTime) -> [Effect] {
        if latch != nil {
            // Killed already; from now on it is this one that forbids.
            latch = id
            return []
        }
        latch = id
        actionBy = nil
        ownStop = nil
        var effects: [Effect] = []
        // Of what is down already the latch wants nothing new.
        if launch != nil || isWaitingToRestart { wanted = Wanted(isUp: false, by: "emergency stop \(id)", reason: "", since: now) }
        switch phase {
        case .starting(let launch, let pid, _), .running(let launch, let pid), .stopping(let launch, let pid, _, _), .dumping(let launch, let pid),
            .held(let launch, let pid):
            killedThisStop = true
            enter(.killing(launch, pid: pid, lateAt: now + Self.killLateAfter), now)
            effects = [.killTree(latch: id), emergencyKill(pid, id)]
        case .killing(_, let pid, _): effects = [.killTree(latch: id), emergencyKill(pid, id)]
        case .launching:
            // What the shim may have begun meanwhile dies even if the latch is released before it is heard of.
            doomed = true
            effects = [.killTree(latch: id)]
        case .backoff:
            enter(.stopped, now)
            // An agent that starts again must not find a restart still due.
            effects = [.record(.workerStop, order: nil, fields: [Field("already", "stopped"), Field("latch", id), Field("why", "not restarted")])]
        case .stopped, .verifying, .failed: break
        }
        if let order = slot, order.verb != .stop {
            slot = nil
            effects.append(.answer(order, .refused(slug: "latched", text: "\(worker) is under emergency stop \(id)")))
        }
        return effects
    }

    private mutating func unlatched() -> [Effect] {
        latch = nil
        return []
    }

    private mutating func owe() -> [Effect] {
        marksOwed = true
        return []
    }

    private mutating func policyChanged(_ new: WorkerPolicy) -> [Effect] {
        // What was read counts for the check that it was read of.
        if new.health != policy.health { checks.readings = [:] }
        policy = new
        return []
    }

    // MARK: Time

    private mutating func timeReached(_ launch: LaunchID, _ now: BootTime) -> [Effect] {
        var effects: [Effect] = []
        if let by = actionBy, now >= by, let order = slot {
            actionBy = nil
            effects += finish(
                .failed(
                    slug: "\(order.verb)-late",
                    text: "\(worker) has not shown that it did \(order.verb) in time. Look at trading status and trading logs \(worker.service)"))
        }
        guard let due = deadline, now >= due else { return effects }
        switch phase {
        case .launching(let id): return effects + launchLate(id, now)
        case .starting:
            if readyByDelay { return effects + ready(now) }
            lateSaid = true
            guard slot?.verb == .start else { return effects }
            return effects
                + finish(
                    .failed(
                        slug: "not-ready",
                        text: "\(worker) runs but has not said READY=1 in time. It was left running: trading logs \(worker.service), trading stop \(worker)"))
        case .stopping(let id, let pid, _, _): return effects + graceOver(id, pid, now)
        case .dumping: return effects + dumpLate(now)
        case .killing:
            lateSaid = true
            return effects
                + finish(
                    .failed(
                        slug: "kill-late",
                        text:
                            "\(worker) is still there \(Self.killLateAfter.words) after SIGKILL: it sleeps uninterruptibly or dumps core. It goes by itself or with the host"
                    ))
        case .verifying(let id, _): return effects + verificationLate(id, now)
        case .backoff: return effects + restart(launch, now)
        case .stopped, .running, .held, .failed: return effects
        }
    }

    private mutating func launchLate(_ launch: LaunchID, _ now: BootTime) -> [Effect] {
        var effects: [Effect] = [
            .record(.workerKill, order: slot, fields: [Field("why", "its launch is late"), Field("level", "warning")]), .killTree(latch: nil),
        ]
        let why = "the shim of \(worker) did not report within \(Self.launchBound.words)"
        if slot?.verb == .stop {
            // Nothing has shown that nothing runs: the stop has not succeeded, and the next one looks.
            effects += finish(.failed(slug: "launch-unresolved", text: "\(why): whether it runs is not known. Look at trading status and stop it again"))
        }
        lastLaunch = launch
        return effects + launchFailed(why, isLate: true, now)
    }
}

extension WorkerMachine.Phase {
    /// The same with another main process.
    func with(pid new: Int32) -> Self {
        switch self {
        case .starting(let launch, _, let by): .starting(launch, pid: new, by: by)
        case .running(let launch, _): .running(launch, pid: new)
        case .stopping(let launch, _, let graceEnds, let limit): .stopping(launch, pid: new, graceEnds: graceEnds, limit: limit)
        case .dumping(let launch, _): .dumping(launch, pid: new)
        case .held(let launch, _): .held(launch, pid: new)
        case .killing(let launch, _, let lateAt): .killing(launch, pid: new, lateAt: lateAt)
        case .stopped, .launching, .verifying, .backoff, .failed: self
        }
    }
}
