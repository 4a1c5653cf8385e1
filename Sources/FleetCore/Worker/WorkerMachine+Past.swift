extension WorkerMachine {
    /// What the agent before knew, as its journal tells it. All times are of this boot.
    package struct Past: Equatable, Sendable {
        package var generation: UInt64 = 0
        package var restarts = 0
        package var lastExit: WorkerExit?
        /// The last launch that has ended.
        package var lastLaunch: LaunchID?
        package var history = LaunchHistory()
        package var wanted: Wanted?
        package var verification: Verification?
        package var strayed: LaunchID?
        /// Since when it is as it is, where no launch lives; nil: not known.
        package var downSince: BootTime?
        package var recentStarts: [BootTime] = []
        package var backoffStep = 0
        /// Since when the open launch, or the last one, was ready.
        package var readySince: BootTime?
        /// A stop of its own because of this was under way, and no order had taken it over.
        package var unhealthy: String?
        /// It had ended by itself and was waiting to be restarted.
        package var restartPending = false
        /// Since when its back-off runs; nil: not known, it begins anew.
        package var backoffSince: BootTime?
        /// Only an order starts it again.
        package var failed: String?
        package var lock: Mark?
        package var remark: Mark?

        package init() {}
    }

    package init(worker: WorkerName, policy: WorkerPolicy, past: Past, now: BootTime) {
        self.init(
            worker: worker, policy: policy, generation: past.generation, restarts: past.restarts, lastExit: past.lastExit, now: now)
        lastLaunch = past.lastLaunch
        history = past.history
        wanted = past.wanted
        verification = past.verification
        strayed = past.strayed
        recentStarts = past.recentStarts
        backoffStep = past.backoffStep
        readySince = past.readySince
        ownStop = past.unhealthy
        since = min(past.downSince ?? now, now)
        lock = past.lock
        remark = past.remark
        if let failed = past.failed {
            phase = .failed(failed)
        } else if past.restartPending {
            let began = min(past.backoffSince ?? now, now)
            phase = lock == nil ? .backoff(until: max(now, began + lastBackoff)) : .failed(lockedNotRestarted)
        }
    }

    /// The same for whoever goes on with this worker later.
    package var past: Past {
        var past = Past()
        past.generation = generation
        past.restarts = restarts
        past.lastExit = lastExit
        past.lastLaunch = lastLaunch
        past.history = history
        past.wanted = wanted
        past.verification = verification
        past.strayed = strayed
        past.recentStarts = recentStarts
        past.backoffStep = backoffStep
        past.readySince = readySince
        past.unhealthy = ownStop
        past.downSince = since
        if case .backoff(let until) = phase {
            past.restartPending = true
            past.backoffSince = until + (.zero - lastBackoff)
        }
        if case .failed(let why) = phase { past.failed = why }
        past.lock = lock
        past.remark = remark
        return past
    }

    /// The same however often it is asked: the jitter is the launch's.
    private var lastBackoff: Duration { backoff(step: max(0, backoffStep - 1), after: lastLaunch) }

    // MARK: Adoption

    mutating func adopted(
        _ launch: LaunchID, _ pid: Int32, ready: Bool, stopping: Bool, quiesced: Bool, _ trace: LaunchTrace?, _ now: BootTime
    ) -> [Effect] {
        guard self.launch == nil else { return [] }  // repeated
        self.quiesced = quiesced
        know(launch)
        if recentStarts.isEmpty { recentStarts = [now] }
        killedThisStop = false
        heldThisStop = false
        let record = Effect.record(.workerAdopted, order: nil, fields: [Field("pid", pid), Field("launch", launch)] + (trace?.fields ?? []))
        if let latch {
            ownStop = nil
            killedThisStop = true
            enter(.killing(launch, pid: pid, lateAt: now + Self.killLateAfter), now)
            return [.killTree(latch: latch), record, emergencyKill(pid, latch)]
        }
        if stopping {
            enter(.stopping(launch, pid: pid, graceEnds: now + policy.stop.grace, limit: now + max(policy.stop.grace, policy.stop.extendTo)), now)
            return [record]
        }
        ownStop = nil
        if ready {
            readySince = readySince ?? now
            history.ready(launch)
            enter(.running(launch, pid: pid), now)
        } else {
            readySince = nil
            enter(.starting(launch, pid: pid, by: now + policy.readyWithin), now)
        }
        return [record]
    }

    mutating func foundGone(_ launch: LaunchID, _ exit: WorkerExit, wasStopping: Bool, _ now: BootTime) -> [Effect] {
        switch phase {
        case .stopped: break
        // A restart that was intended, and did happen.
        case .backoff where lastLaunch != launch: break
        default: return []  // repeated
        }
        lastExit = exit
        wantDown(by: exit, now)
        lastLaunch = launch
        if exit.isTreeInDoubt { strayed = strayed ?? launch }
        know(launch)
        history.end(launch, .ended(exit))
        doomed = false
        killedThisStop = false
        heldThisStop = false
        if recentStarts.isEmpty { recentStarts = [exit.at] }
        let unhealthy = ownStop
        ownStop = nil
        let found = Field("found", "after the agent's restart")
        if exit.killedByLatch != nil || (wasStopping && unhealthy == nil) {
            enter(.stopped, now)
            return look(at: launch) + [.record(.workerStop, order: nil, fields: exit.fields + [found])]
        }
        return goOn(after: launch, exit, wasStopping ? unhealthy : nil, wasQuiesced: false, ended: exit.at, [found], now)
    }

    /// Its directory stays as long as it is in doubt: every agent finds it again, and no record is needed.
    mutating func foundInDoubt(_ launch: LaunchID) -> [Effect] {
        strayed = strayed ?? launch
        return []
    }

    /// The intent of an agent that ended before it let the launch go: every intent has its end on record.
    mutating func foundNever(_ launch: LaunchID) -> [Effect] {
        know(launch)
        history.end(launch, .never)
        var fields = [Field("launch", launch), Field("why", "the agent ended before it let it go; nothing ran")]
        // The restart that this launch was is still due, also to the agent after this one.
        if case .backoff = phase { fields += restartFields }
        return [.record(.workerLaunchFailed, order: nil, fields: fields)]
    }

    /// A launch that was found and that the journal doesn't have counts as any other.
    private mutating func know(_ launch: LaunchID) {
        if !history.launches.contains(where: { $0.launch == launch }) { history.begin(launch) }
    }
}
