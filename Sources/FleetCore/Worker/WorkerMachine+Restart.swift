/// What follows an end that nobody ordered: a restart after a while, or the end of trying.
extension WorkerMachine {
    private enum Next {
        case stopped
        case failed(String, slug: String)
        case restart
    }

    /// A launch ended by itself, or by its own stop because of `unhealthy`.
    mutating func goOn(
        after launch: LaunchID, _ exit: WorkerExit, _ unhealthy: String?, wasQuiesced: Bool, ended: BootTime, _ more: [Field], _ now: BootTime
    ) -> [Effect] {
        let next = next(after: exit, unhealthy, wasQuiesced: wasQuiesced, ended: ended, now)
        let event: AuditEvent = unhealthy == nil ? .workerExit : .workerStop
        var fields = exit.fields + more
        if let unhealthy { fields += [Field("killed", killedThisStop), Field("held", heldThisStop), Field("unhealthy", unhealthy)] }
        let order = slot
        let answer = finish(.failed(slug: "ended", text: "\(worker) ended by itself: \(exit.words). Look at trading logs \(worker.service)"))
        switch next {
        case .stopped:
            enter(.stopped, now)
            return look(at: launch) + [.record(event, order: order, fields: fields + [Field("next", "stopped")])] + answer
        case .failed(let why, let slug):
            enter(.failed(why), now)
            return look(at: launch) + [.record(event, order: order, fields: fields + [Field("next", "failed")])] + answer
                + [.record(.workerFailed, order: nil, fields: [Field("why", why), Field("slug", slug)])]
        case .restart:
            let delay = backoff(step: backoffStep, after: launch)
            backoffStep += 1
            enter(.backoff(until: now + delay), now)
            // Its next launch would be mistaken for what it left: that one's own checks look.
            let look = delay > .zero ? look(at: launch) : []
            fields += [Field("after", delay.words)] + restartFields
            return look + [.record(event, order: order, fields: fields)] + answer
        }
    }

    private mutating func next(after exit: WorkerExit, _ unhealthy: String?, wasQuiesced: Bool, ended: BootTime, _ now: BootTime) -> Next {
        if latch != nil || doomed { return .stopped }
        if let readySince, ended - readySince >= policy.restart.stableAfter {
            recentStarts = []
            backoffStep = 0
        }
        readySince = nil
        let isFailure = unhealthy != nil || !exit.isClean
        let wanted = policy.restart.policy == .always || (policy.restart.policy == .onFailure && isFailure)
        guard wanted, !wasQuiesced else {
            if let unhealthy { return .failed("unhealthy: \(unhealthy)", slug: "unhealthy") }
            return isFailure ? .failed("ended: \(exit.words)", slug: "ended") : .stopped
        }
        if lock != nil { return .failed(lockedNotRestarted, slug: "locked") }
        let windowStart = now + (.zero - policy.restart.limitWithin)
        recentStarts.removeAll { $0 < windowStart }
        guard recentStarts.count < max(1, policy.restart.limitStarts) else {
            let why = unhealthy.map { "unhealthy: \($0)" } ?? exit.words
            return .failed(
                "ended \(recentStarts.count) times in \(Self.seconds(policy.restart.limitWithin)) and will not be restarted; last: \(why)", slug: "start-limit")
        }
        return .restart
    }

    /// What an agent after this one must know of a restart that is due.
    var restartFields: [Field] { [Field("next", "restart"), Field("step", backoffStep), Field("starts", recentStarts.count)] }

    /// `delay` · 2^step up to `delayMax`, and ±20 % of it taken from the launch's random digits, so that workers that fell
    /// together don't come back together. A delay of zero stays zero.
    func backoff(step: Int, after launch: LaunchID?) -> Duration {
        // A month: more than anybody declares, and far from overflowing.
        let longest: Int64 = 30 * 86_400 * 1_000_000_000
        let delay = min(max(0, policy.restart.delay.nanoseconds), longest)
        let ceiling = min(max(delay, policy.restart.delayMax.nanoseconds), longest)
        var ns = delay
        for _ in 0..<max(0, step) where ns > 0 && ns < ceiling { ns *= 2 }
        ns = min(ns, ceiling)
        // FNV-1a
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in (launch?.raw ?? "").utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return .nanoseconds(min(ns / 1_000 * Int64(800 + hash % 401), ceiling))
    }

    var lockedNotRestarted: String { "locked: not restarted" + (lastExit.map { "; last: \($0.words)" } ?? "") }

    /// `60 s` as SCREENS writes a window, not `1 min`.
    private static func seconds(_ time: Duration) -> String {
        let ns = time.nanoseconds
        return ns % 1_000_000_000 == 0 && ns < 600_000_000_000 ? "\(ns / 1_000_000_000) s" : time.words
    }

    // MARK: Time for a restart

    mutating func restart(_ launch: LaunchID, _ now: BootTime) -> [Effect] {
        guard latch == nil, lock == nil else { return [] }
        restarts += 1
        return launchNow(launch, .workerRestart, now)
    }
}
