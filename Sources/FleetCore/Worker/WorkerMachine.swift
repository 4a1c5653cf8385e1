/// One worker's life as its agent decides it: the operation slot, the generation, the launch, the stop, the restart policy.
///
/// Duties:
/// 1. At most one launch exists at a time, and none under a latch.
/// 2. At most one operation holds the slot; a stop supersedes everything but a stop, a resume supersedes a quiesce, and
///    only an order to kill supersedes a stop (one arbiter). A repeat of the order in the slot changes nothing.
/// 3. A stop ends in `stopped` only once the shim has said that the whole tree is gone.
/// 4. Past its grace a worker is killed or held as declared, never anything else.
///
/// Events go in with the agent's CLOCK_BOOTTIME, effects come out in order. **Effects after a `.record` wait until that
/// record is durable**, except `.killTree` with a latch, which waits for nothing (law 7).
package struct WorkerMachine: Equatable, Sendable {
    package let worker: WorkerName
    package private(set) var policy: WorkerPolicy
    package private(set) var phase: Phase = .stopped
    /// The latch that forbids this worker, if one is in force.
    package private(set) var latch: String?
    package private(set) var slot: Order?
    /// Rises with every accepted order, local or remote.
    package private(set) var generation: UInt64
    /// Starts by restart policy since the last start by an order.
    package private(set) var restarts = 0
    package private(set) var quiesced = false
    package private(set) var lastExit: WorkerExit?
    /// When the current phase began.
    package private(set) var since: BootTime
    /// The launches that count against the restart policy's limit.
    package private(set) var recentStarts: [BootTime] = []

    package enum Phase: Equatable, Sendable {
        /// No launch exists. Next: launching.
        case stopped
        /// The intent is recorded, the shim has not yet said that the worker runs. Next: starting, failed, stopping.
        case launching(LaunchID)
        /// The process runs and is not ready; `by` is when its start is called late. Next: running, stopping, killing.
        case starting(LaunchID, pid: Int32, by: BootTime)
        case running(LaunchID, pid: Int32)
        /// Signalled. `graceEnds` may move up to `limit`. Next: stopped, killing, held.
        case stopping(LaunchID, pid: Int32, graceEnds: BootTime, limit: BootTime)
        /// Outlived its grace; a person decides. Next: stopping, killing, running (released), stopped (it ended by itself).
        case held(LaunchID, pid: Int32)
        /// SIGKILL went out; `lateAt` is when its absence is called late. Next: stopped.
        case killing(LaunchID, pid: Int32, lateAt: BootTime)
        /// Ended by itself; restarts at `until`. Next: launching, stopped.
        case backoff(until: BootTime)
        /// Could not be launched or reached its start limit; only an order starts it again.
        case failed(String)
    }

    /// How long after SIGKILL a tree may linger before it is called late: uninterruptible sleep and core dumps take long.
    package static let killLateAfter: Duration = .seconds(10)
    /// How long a shim may take to say that the worker runs.
    package static let launchBound: Duration = .seconds(15)

    private var killedThisStop = false
    private var heldThisStop = false
    private var launchBy: BootTime?
    private var actionBy: BootTime?
    private var lateSaid = false
    /// A latch or an order has doomed the launch before its process was seen: it is killed as soon as it is.
    private var doomed = false
    /// READY=1 came before the word that the process runs.
    private var readyEarly = false

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
        case .processStarted(let pid): processStarted(pid, now)
        case .launchFailed(let why): launchFailed(why, now)
        case .readySaid: ready(now)
        case .extensionSaid(let time): extend(time, now)
        case .notified(let text): notified(text, now)
        case .actionSent(let problem): actionSent(problem, now)
        case .actionShown: actionShown(now)
        case .gone(let exit): gone(exit, now)
        case .adopted(let launch, let pid, let ready, let stopping, let quiesced):
            adopted(launch, pid, ready: ready, stopping: stopping, quiesced: quiesced, now)
        case .foundGone(let exit, let wasStopping): foundGone(exit, wasStopping: wasStopping, now)
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
            case .killing(_, _, let lateAt): lateSaid ? nil : lateAt
            case .backoff(let until): until
            case .stopped, .running, .held, .failed: nil
            }
        return [phaseDeadline, actionBy].compactMap { $0 }.min()
    }

    package var launch: LaunchID? {
        switch phase {
        case .launching(let id), .starting(let id, _, _), .running(let id, _), .stopping(let id, _, _, _), .held(let id, _),
            .killing(let id, _, _):
            id
        case .stopped, .backoff, .failed: nil
        }
    }

    package var pid: Int32? {
        switch phase {
        case .starting(_, let pid, _), .running(_, let pid), .stopping(_, let pid, _, _), .held(_, let pid), .killing(_, let pid, _): pid
        case .launching, .stopped, .backoff, .failed: nil
        }
    }

    private var readyByDelay: Bool { if case .delay = policy.ready { true } else { false } }

    // MARK: Orders

    /// Checks generation and slot for a mutating order; an effect list means it was refused.
    private func refusal(_ order: Order, superseding: Bool = false) -> [Effect]? {
        if let slot, !order.operation.isEmpty, slot.operation == order.operation {
            if case .held = phase { return [.answer(slot, heldProgress)] }
            return []
        }
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

    private mutating func accept(_ order: Order) -> [Effect] {
        var effects: [Effect] = []
        if let old = slot {
            effects.append(.answer(old, .refused(slug: "superseded", text: "\(old.verb) of \(worker) was superseded by \(order.verb), by \(order.by)")))
        }
        slot = order
        actionBy = nil
        generation += 1
        return effects
    }

    private mutating func finish(_ answer: Answer) -> [Effect] {
        guard let order = slot else { return [] }
        slot = nil
        return [.answer(order, answer)]
    }

    private mutating func enter(_ next: Phase, _ now: BootTime) {
        phase = next
        since = now
        lateSaid = false
    }

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
        case .starting, .launching, .stopping, .held, .killing:
            return [.answer(order, .refused(slug: "busy", text: "\(worker) is \(phaseWord). Wait until it is stopped, then start it"))]
        case .stopped, .backoff, .failed:
            let effects = accept(order)
            restarts = 0
            recentStarts = []
            return effects + launchNow(launch, .workerStart, now)
        }
    }

    private var heldProgress: Answer {
        .progress(
            slug: "hold",
            text:
                "\(worker) still runs after its grace and is held, not killed. trading hold wait \(worker) --for 60s, or trading hold release \(worker) --kill --reason …"
        )
    }

    private mutating func launchNow(_ launch: LaunchID, _ event: AuditEvent, _ now: BootTime) -> [Effect] {
        enter(.launching(launch), now)
        launchBy = now + Self.launchBound
        quiesced = false
        killedThisStop = false
        heldThisStop = false
        doomed = false
        readyEarly = false
        recentStarts.append(now)
        return [.record(event, order: slot, fields: [Field("launch", launch), Field("generation", generation)]), .launch(launch)]
    }

    private mutating func stop(_ order: Order, killNow: Bool, _ now: BootTime) -> [Effect] {
        if let refused = refusal(order, superseding: true) { return refused }
        if let slot, slot.verb == "stop", !killNow || killedThisStop {
            let then: String =
                if case .held = phase { "It is held: trading hold wait \(worker), or trading hold release \(worker)" } else { "It goes on by itself" }
            return [.answer(order, .refused(slug: "busy", text: "\(worker) is busy: stop by \(slot.by). \(then)"))]
        }
        var effects = accept(order)
        switch phase {
        case .stopped, .backoff, .failed:
            enter(.stopped, now)
            effects.append(.record(.workerStop, order: order, fields: [Field("already", "stopped")]))
            return effects + finish(.done(killed: false, held: false))
        case .launching:
            // The stop begins as soon as the shim says what runs, or ends with the launch.
            guard killNow else { return effects }
            doomed = true
            killedThisStop = true
            return effects + [.record(.workerKill, order: order, fields: [Field("why", "ordered"), Field("level", "warning")]), .killTree(latch: nil)]
        case .starting(let launch, let pid, _), .running(let launch, let pid), .held(let launch, let pid):
            return effects + (killNow ? kill(launch, pid, "ordered", now) : beginStop(launch, pid, now))
        case .stopping(let launch, let pid, _, _):
            return effects + (killNow ? kill(launch, pid, "ordered", now) : [])
        case .killing(let launch, let pid, _):
            return effects + kill(launch, pid, "still there", now)
        }
    }

    private mutating func beginStop(_ launch: LaunchID, _ pid: Int32, _ now: BootTime) -> [Effect] {
        killedThisStop = false
        heldThisStop = false
        enter(.stopping(launch, pid: pid, graceEnds: now + policy.stop.grace, limit: now + max(policy.stop.grace, policy.stop.extendTo)), now)
        return [
            .record(.workerSignal, order: slot, fields: [Field("signal", policy.stop.signal), Field("pid", pid), Field("grace", policy.stop.grace.words)]),
            .signal(policy.stop.signal),
        ]
    }

    private mutating func kill(_ launch: LaunchID, _ pid: Int32, _ why: String, _ now: BootTime) -> [Effect] {
        killedThisStop = true
        enter(.killing(launch, pid: pid, lateAt: now + Self.killLateAfter), now)
        return [.record(.workerKill, order: slot, fields: [Field("pid", pid), Field("why", why), Field("level", "warning")]), .killTree(latch: nil)]
    }

    private mutating func act(_ order: Order, _ action: ActionSpec?, begin: AuditEvent, _ now: BootTime) -> [Effect] {
        if let refused = refusal(order, superseding: order.verb == "resume" && slot?.verb == "quiesce") { return refused }
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

    /// Held, or given more time after it was: a person may think again in between.
    private var heldLaunch: (LaunchID, Int32)? {
        switch phase {
        case .held(let launch, let pid): (launch, pid)
        case .stopping(let launch, let pid, _, _) where heldThisStop: (launch, pid)
        default: nil
        }
    }

    private mutating func holdWait(_ order: Order, _ time: Duration, _ now: BootTime) -> [Effect] {
        guard let (launch, pid) = heldLaunch else {
            return [.answer(order, .refused(slug: "not-held", text: "\(worker) is \(phaseWord), not held"))]
        }
        let ends = now + max(.zero, time)
        enter(.stopping(launch, pid: pid, graceEnds: ends, limit: ends), now)
        return [.record(.holdWait, order: order, fields: [Field("for", time.words)]), .answer(order, .done(killed: false, held: true))]
    }

    private mutating func holdRelease(_ order: Order, kill killIt: Bool, _ now: BootTime) -> [Effect] {
        guard let (launch, pid) = heldLaunch else {
            return [.answer(order, .refused(slug: "not-held", text: "\(worker) is \(phaseWord), not held"))]
        }
        generation += 1
        var effects: [Effect] = [.record(.holdRelease, order: order, fields: [Field("kill", killIt)])]
        if killIt {
            effects += kill(launch, pid, "hold released by \(order.by)", now)
        } else {
            enter(.running(launch, pid: pid), now)
            effects += finish(.failed(slug: "hold-released", text: "\(worker) was released from its hold by \(order.by) and left running"))
        }
        return effects + [.answer(order, .done(killed: killIt, held: true))]
    }

    // MARK: What the worker does

    private mutating func processStarted(_ pid: Int32, _ now: BootTime) -> [Effect] {
        guard case .launching(let launch) = phase else { return [] }
        launchBy = nil
        var effects: [Effect] = [.record(.workerLaunched, order: slot, fields: [Field("pid", pid), Field("launch", launch)])]
        if latch != nil || doomed {
            killedThisStop = true
            enter(.killing(launch, pid: pid, lateAt: now + Self.killLateAfter), now)
            if let latch { return [.killTree(latch: latch)] + effects + [emergencyKill(pid, latch)] }
            return effects + [
                .record(.workerKill, order: slot, fields: [Field("pid", pid), Field("why", "ordered before it ran"), Field("level", "warning")]),
                .killTree(latch: nil),
            ]
        }
        let within: Duration =
            switch policy.ready {
            case .notify(let within): within;
            case .delay(let delay): delay
            }
        enter(.starting(launch, pid: pid, by: now + within), now)
        if slot?.verb == "stop" { return effects + beginStop(launch, pid, now) }
        if readyEarly { effects += ready(now) }
        return effects
    }

    private func emergencyKill(_ pid: Int32, _ latch: String) -> Effect {
        .record(.emergencyKill, order: nil, fields: [Field("pid", pid), Field("latch", latch)])
    }

    private mutating func launchFailed(_ why: String, _ now: BootTime) -> [Effect] {
        guard case .launching = phase else { return [] }
        launchBy = nil
        let effects: [Effect] = [.record(.workerLaunchFailed, order: slot, fields: [Field("why", why)])]
        if slot?.verb == "stop" || latch != nil || doomed {
            enter(.stopped, now)
            return effects + finish(.done(killed: killedThisStop, held: false))
        }
        enter(.failed(why), now)
        return effects + finish(.failed(slug: "launch-failed", text: why))
    }

    private mutating func ready(_ now: BootTime) -> [Effect] {
        if case .launching = phase { readyEarly = true }
        guard case .starting(let launch, let pid, _) = phase else { return [] }
        let took = now - since
        enter(.running(launch, pid: pid), now)
        let effects: [Effect] = [.record(.workerReady, order: slot, fields: [Field("pid", pid), Field("took", took.words)])]
        return slot?.verb == "start" ? effects + finish(.done(killed: false, held: false)) : effects
    }

    private mutating func extend(_ time: Duration, _ now: BootTime) -> [Effect] {
        guard case .stopping(let launch, let pid, let graceEnds, let limit) = phase else { return [] }
        phase = .stopping(launch, pid: pid, graceEnds: max(graceEnds, min(now + max(.zero, time), limit)), limit: limit)
        return []
    }

    private mutating func notified(_ text: String, _ now: BootTime) -> [Effect] {
        if text == "READY=1" { return ready(now) }
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
        quiesced = order.verb == "quiesce"
        let event: AuditEvent = quiesced ? .workerQuiesced : .workerResumed
        return [.record(event, order: order, fields: [])] + finish(.done(killed: false, held: false))
    }

    private func action(of order: Order) -> ActionSpec? {
        switch order.verb {
        case "quiesce": policy.quiesce
        case "resume": policy.resume
        default: nil
        }
    }

    private mutating func gone(_ exit: WorkerExit, _ now: BootTime) -> [Effect] {
        guard launch != nil else { return [] }  // repeated
        lastExit = exit
        actionBy = nil
        switch phase {
        case .stopping, .held, .killing:
            quiesced = false
            let held = heldThisStop
            let killed = killedThisStop
            enter(.stopped, now)
            let record = Effect.record(.workerStop, order: slot, fields: exit.fields + [Field("killed", killed), Field("held", held)])
            return [record] + finish(.done(killed: killed, held: held))
        case .launching, .starting, .running:
            return endedByItself(exit, now)
        case .stopped, .backoff, .failed:
            return []
        }
    }

    private mutating func endedByItself(_ exit: WorkerExit, _ now: BootTime) -> [Effect] {
        launchBy = nil
        var effects: [Effect] = [.record(.workerExit, order: slot, fields: exit.fields)]
        let wasQuiesced = quiesced
        quiesced = false
        if slot?.verb == "stop" {
            enter(.stopped, now)
            effects.append(.record(.workerStop, order: slot, fields: exit.fields + [Field("killed", killedThisStop)]))
            return effects + finish(.done(killed: killedThisStop, held: false))
        }
        effects += finish(.failed(slug: "ended", text: "\(worker) ended by itself: \(exit.words). Look at trading logs \(worker.service)"))
        let wanted = latch == nil && !doomed && !wasQuiesced && (policy.restart.policy == .always || (policy.restart.policy == .onFailure && !exit.isClean))
        guard wanted else {
            enter(exit.isClean || latch != nil || doomed ? .stopped : .failed("ended: \(exit.words)"), now)
            return effects
        }
        let windowStart = now + (.zero - policy.restart.limitWithin)
        recentStarts.removeAll { $0 < windowStart }
        guard recentStarts.count < max(1, policy.restart.limitStarts) else {
            let why = "ended \(recentStarts.count) times in \(policy.restart.limitWithin.words) and will not be restarted; last: \(exit.words)"
            enter(.failed(why), now)
            return effects + [.record(.workerFailed, order: nil, fields: [Field("why", why)])]
        }
        enter(.backoff(until: now + policy.restart.delay), now)
        return effects
    }

    // MARK: Adoption, latches, time

    private mutating func adopted(_ launch: LaunchID, _ pid: Int32, ready: Bool, stopping: Bool, quiesced: Bool, _ now: BootTime) -> [Effect] {
        guard self.launch == nil else { return [] }  // repeated
        self.quiesced = quiesced
        recentStarts = [now]
        killedThisStop = false
        heldThisStop = false
        let record = Effect.record(.workerAdopted, order: nil, fields: [Field("pid", pid), Field("launch", launch)])
        if let latch {
            killedThisStop = true
            enter(.killing(launch, pid: pid, lateAt: now + Self.killLateAfter), now)
            return [.killTree(latch: latch), record, emergencyKill(pid, latch)]
        }
        if stopping {
            enter(.stopping(launch, pid: pid, graceEnds: now + policy.stop.grace, limit: now + max(policy.stop.grace, policy.stop.extendTo)), now)
        } else if ready {
            enter(.running(launch, pid: pid), now)
        } else {
            let within: Duration =
                switch policy.ready {
                case .notify(let within): within;
                case .delay(let delay): delay
                }
            enter(.starting(launch, pid: pid, by: now + within), now)
        }
        return [record]
    }

    private mutating func foundGone(_ exit: WorkerExit, wasStopping: Bool, _ now: BootTime) -> [Effect] {
        guard case .stopped = phase else { return [] }  // repeated
        lastExit = exit
        if wasStopping || exit.killedByLatch != nil {
            enter(.stopped, now)
            return [.record(.workerStop, order: nil, fields: exit.fields + [Field("found", "after the agent's restart")])]
        }
        recentStarts = [now]
        doomed = false
        killedThisStop = false
        return endedByItself(exit, now)
    }

    private mutating func latched(_ id: String, _ now: BootTime) -> [Effect] {
        if latch != nil {
            // Killed already; from now on it is this one that forbids.
            latch = id
            return []
        }
        latch = id
        actionBy = nil
        var effects: [Effect] = []
        switch phase {
        case .starting(let launch, let pid, _), .running(let launch, let pid), .stopping(let launch, let pid, _, _), .held(let launch, let pid):
            killedThisStop = true
            enter(.killing(launch, pid: pid, lateAt: now + Self.killLateAfter), now)
            effects = [.killTree(latch: id), emergencyKill(pid, id)]
        case .killing(_, let pid, _): effects = [.killTree(latch: id), emergencyKill(pid, id)]
        case .launching:
            // What the shim may have begun meanwhile dies even if the latch is released before it is heard of.
            doomed = true
            effects = [.killTree(latch: id)]
        case .backoff: enter(.stopped, now)
        case .stopped, .failed: break
        }
        if let order = slot, order.verb != "stop" {
            slot = nil
            effects.append(.answer(order, .refused(slug: "latched", text: "\(worker) is under emergency stop \(id)")))
        }
        return effects
    }

    private mutating func unlatched() -> [Effect] {
        latch = nil
        return []
    }

    private mutating func policyChanged(_ new: WorkerPolicy) -> [Effect] {
        policy = new
        return []
    }

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
        case .launching:
            effects += [.record(.workerKill, order: slot, fields: [Field("why", "its launch is late"), Field("level", "warning")]), .killTree(latch: nil)]
            let why = "the shim of \(worker) did not report within \(Self.launchBound.words)"
            if slot?.verb == "stop" {
                // Nothing has shown that nothing runs: the stop has not succeeded.
                effects += finish(.failed(slug: "launch-unresolved", text: "\(why): whether it runs is not known. Look at trading status and stop it again"))
            }
            return effects + launchFailed(why, now)
        case .starting:
            if readyByDelay { return effects + ready(now) }
            lateSaid = true
            guard slot?.verb == "start" else { return effects }
            return effects
                + finish(
                    .failed(
                        slug: "not-ready",
                        text: "\(worker) runs but has not said READY=1 in time. It was left running: trading logs \(worker.service), trading stop \(worker)"))
        case .stopping(let id, let pid, _, _):
            guard policy.stop.then == .hold else { return effects + kill(id, pid, "still there at the end of its grace", now) }
            heldThisStop = true
            enter(.held(id, pid: pid), now)
            effects.append(.record(.workerHold, order: slot, fields: [Field("pid", pid)]))
            if let slot {
                effects.append(.answer(slot, heldProgress))
            }
            return effects
        case .killing:
            lateSaid = true
            return effects
                + finish(
                    .failed(
                        slug: "kill-late",
                        text:
                            "\(worker) is still there \(Self.killLateAfter.words) after SIGKILL: it sleeps uninterruptibly or dumps core. It goes by itself or with the host"
                    ))
        case .backoff:
            guard latch == nil else { return effects }
            restarts += 1
            return effects + launchNow(launch, .workerRestart, now)
        case .stopped, .running, .held, .failed: return effects
        }
    }

    private var phaseWord: String {
        switch phase {
        case .stopped: "stopped"
        case .launching, .starting: "starting"
        case .running: "running"
        case .stopping: "stopping"
        case .held: "held"
        case .killing: "being killed"
        case .backoff: "waiting to be restarted"
        case .failed: "failed"
        }
    }
}
