/// From the stop signal to the word that nothing is left.
extension WorkerMachine {
    mutating func stop(_ order: Order, killNow: Bool, _ now: BootTime) -> [Effect] {
        if let refused = refusal(order, superseding: true, locked: launch != nil) { return refused }
        if let slot, slot.verb == .stop, !killNow || killedThisStop {
            let then: String =
                if case .held = phase { "It is held: trading hold wait \(worker), or trading hold release \(worker)" } else { "It goes on by itself" }
            return [.answer(order, .refused(slug: "busy", text: "\(worker) is busy: stop by \(slot.by). \(then)"))]
        }
        let isOwnStop = slot?.verb != .stop
        var effects = accept(order)
        wanted = Wanted(isUp: false, by: order.by, reason: order.reason, since: now)
        ownStop = nil
        switch phase {
        case .stopped, .backoff, .failed: return effects + stopStopped(order, now)
        case .launching:
            // The stop begins as soon as the shim says what runs, or ends with the launch.
            guard killNow else { return effects }
            doomed = true
            killedThisStop = true
            return effects + [.record(.workerKill, order: order, fields: [Field("why", "ordered"), Field("level", "warning")]), .killTree(latch: nil)]
        case .starting(let launch, let pid, _), .running(let launch, let pid), .held(let launch, let pid):
            return effects + (killNow ? kill(launch, pid, "ordered", now) : beginStop(launch, pid, now))
        case .stopping(let launch, let pid, _, _):
            if killNow { return effects + kill(launch, pid, "ordered", now) }
            // Signalled already, by the agent before or for its health: the record that it is this order's stop now.
            if isOwnStop { effects.append(.record(.workerSignal, order: order, fields: [Field("pid", pid), Field("already", "signalled")])) }
            return effects
        case .dumping(let launch, let pid): return effects + stopDumping(launch, pid, killNow: killNow, now)
        case .killing(let launch, let pid, _): return effects + kill(launch, pid, "still there", now)
        case .verifying: return effects
        }
    }

    /// Nothing runs. What is known to be left, or not known at all, is looked at again.
    private mutating func stopStopped(_ order: Order, _ now: BootTime) -> [Effect] {
        killedThisStop = false
        heldThisStop = false
        let record = Effect.record(.workerStop, order: order, fields: [Field("already", "stopped")])
        let isKnown = verification.map { $0.left.isEmpty && $0.unknown.isEmpty } ?? false
        guard let lastLaunch, !isKnown else {
            enter(.stopped, now)
            return [record] + finish(.done(killed: false, held: false))
        }
        let isUnderWay = verifying == lastLaunch && verification == nil
        let look = isUnderWay ? [] : look(at: lastLaunch)
        enter(.verifying(lastLaunch, by: now + Self.verifyBound), now)
        return look + [record]
    }

    mutating func beginStop(_ launch: LaunchID, _ pid: Int32, _ now: BootTime) -> [Effect] {
        killedThisStop = false
        heldThisStop = false
        enter(.stopping(launch, pid: pid, graceEnds: now + policy.stop.grace, limit: now + max(policy.stop.grace, policy.stop.extendTo)), now)
        return [
            .record(
                .workerSignal, order: slot,
                fields: [Field("signal", policy.stop.signal), Field("pid", pid), Field("grace", policy.stop.grace.words)] + lockPassed),
            .signal(policy.stop.signal),
        ]
    }

    /// Whose lock this stop goes through, for its record.
    private var lockPassed: [Field] {
        guard let lock, slot?.throughLock == true else { return [] }
        return [Field("through_lock_of", lock.by), Field("lock", lock.text), Field("level", "warning")]
    }

    mutating func kill(_ launch: LaunchID, _ pid: Int32, _ why: String, _ now: BootTime) -> [Effect] {
        killedThisStop = true
        enter(.killing(launch, pid: pid, lateAt: now + Self.killLateAfter), now)
        return [.record(.workerKill, order: slot, fields: [Field("pid", pid), Field("why", why), Field("level", "warning")]), .killTree(latch: nil)]
    }

    // MARK: More time

    mutating func extend(_ time: Duration, _ words: String, _ now: BootTime) -> [Effect] {
        switch phase {
        case .stopping(let launch, let pid, let graceEnds, let limit):
            let ends = max(graceEnds, min(now + max(.zero, time), limit))
            guard ends > graceEnds else { return [] }
            phase = .stopping(launch, pid: pid, graceEnds: ends, limit: limit)
            return extended(to: ends, words, now)
        case .starting(let launch, let pid, let by):
            guard !readyByDelay, !lateSaid else { return [] }
            let ends = max(by, min(now + max(.zero, time), since + policy.readyWithin + policy.stop.extendTo))
            guard ends > by else { return [] }
            phase = .starting(launch, pid: pid, by: ends)
            return extended(to: ends, words, now)
        case .stopped, .launching, .running, .dumping, .held, .killing, .verifying, .backoff, .failed: return []
        }
    }

    /// One record at the first extension of a phase and then one in a while: the bound on a phase bounds them all.
    private mutating func extended(to ends: BootTime, _ words: String, _ now: BootTime) -> [Effect] {
        if let extendedAt, now - extendedAt < Self.extendedRecordEvery { return [] }
        extendedAt = now
        return [
            .record(.workerExtended, order: slot, fields: [Field("for", (ends - now).words)] + (words.isEmpty ? [] : [Field("in_flight", words)]))
        ]
    }

    /// `1,234 in flight, flushing`: what a worker says of itself while it takes its time.
    package static func flightWords(inFlight: Int64?, status: String) -> String {
        var words: [String] = []
        if let inFlight {
            var digits = ""
            for (place, digit) in String(inFlight.magnitude).reversed().enumerated() {
                if place > 0, place % 3 == 0 { digits = "," + digits }
                digits = String(digit) + digits
            }
            words.append("\(inFlight < 0 ? "-" : "")\(digits) in flight")
        }
        if !status.isEmpty { words.append(status) }
        return words.joined(separator: ", ")
    }

    // MARK: Hold

    var heldProgress: Answer {
        .progress(
            slug: "hold",
            text:
                "\(worker) still runs after its grace and is held, not killed. trading hold wait \(worker) --for 60s, or trading hold release \(worker) --kill --reason …"
        )
    }

    mutating func graceOver(_ launch: LaunchID, _ pid: Int32, _ now: BootTime) -> [Effect] {
        guard policy.stop.then == .hold else { return kill(launch, pid, "still there at the end of its grace", now) }
        heldThisStop = true
        enter(.held(launch, pid: pid), now)
        return [.record(.workerHold, order: slot, fields: [Field("pid", pid)])] + (slot.map { [.answer($0, heldProgress)] } ?? [])
    }

    /// Held, or given more time after it was: a person may think again in between.
    private var heldLaunch: (LaunchID, Int32)? {
        switch phase {
        case .held(let launch, let pid): (launch, pid)
        case .stopping(let launch, let pid, _, _) where heldThisStop: (launch, pid)
        case .dumping(let launch, let pid) where heldThisStop && !killedThisStop: (launch, pid)
        default: nil
        }
    }

    private func holdRefusal(_ order: Order) -> [Effect]? {
        if let lockedRefusal { return [.answer(order, lockedRefusal)] }
        return heldLaunch == nil ? [.answer(order, .refused(slug: "not-held", text: "\(worker) is \(phaseWord), not held"))] : nil
    }

    mutating func holdWait(_ order: Order, _ time: Duration, _ now: BootTime) -> [Effect] {
        if let refused = holdRefusal(order) { return refused }
        guard let (launch, pid) = heldLaunch else { return [] }
        let ends = now + max(.zero, time)
        let waiting = Phase.stopping(launch, pid: pid, graceEnds: ends, limit: ends)
        if case .dumping = phase {
            dumpedFrom = waiting
            dumpLateAt = ends
        } else {
            enter(waiting, now)
        }
        return [.record(.holdWait, order: order, fields: [Field("for", time.words)]), .answer(order, .done(killed: false, held: true))]
    }

    mutating func holdRelease(_ order: Order, kill killIt: Bool, _ now: BootTime) -> [Effect] {
        if let refused = holdRefusal(order) { return refused }
        guard let (launch, pid) = heldLaunch else { return [] }
        generation += 1
        var effects: [Effect] = [.record(.holdRelease, order: order, fields: [Field("kill", killIt)])]
        if killIt {
            effects += kill(launch, pid, "hold released by \(order.by)", now)
        } else {
            heldThisStop = false
            wanted = Wanted(isUp: true, by: order.by, reason: order.reason, since: now)
            ownStop = nil
            checks.isPardoned = true
            if case .dumping = phase {
                dumpedFrom = .running(launch, pid: pid)
                dumpLateAt = nil
            } else {
                enter(.running(launch, pid: pid), now)
            }
            effects += [.callOffStop]
            effects += finish(.failed(slug: "hold-released", text: "\(worker) was released from its hold by \(order.by) and left running"))
        }
        return effects + [.answer(order, .done(killed: killIt, held: true))]
    }

    // MARK: The end

    mutating func gone(_ exit: WorkerExit, _ now: BootTime) -> [Effect] {
        if case .verifying = phase { return [] }  // repeated
        guard let launch else { return [] }  // repeated
        let wasUnderStop = isUnderStop
        let wasQuiesced = quiesced
        lastExit = exit
        // A SIGKILL that met it ended has killed nothing.
        if case .exited = exit.how { killedThisStop = false }
        wantDown(by: exit, now)
        lastLaunch = launch
        if exit.isTreeInDoubt { strayed = strayed ?? launch }
        history.end(launch, .ended(exit))
        launchBy = nil
        actionBy = nil
        quiesced = false
        reloading = false
        guard wasUnderStop else { return goOn(after: launch, exit, nil, wasQuiesced: wasQuiesced, ended: now, [], now) }
        if let unhealthy = ownStop {
            ownStop = nil
            return goOn(after: launch, exit, unhealthy, wasQuiesced: wasQuiesced, ended: now, [], now)
        }
        let record = Effect.record(.workerStop, order: slot, fields: exit.fields + [Field("killed", killedThisStop), Field("held", heldThisStop)])
        let look = look(at: launch)
        if slot?.verb == .stop { enter(.verifying(launch, by: now + Self.verifyBound), now) } else { enter(.stopped, now) }
        return look + [record]
    }

    /// An emergency stop that this agent did not see wants it down all the same.
    mutating func wantDown(by exit: WorkerExit, _ now: BootTime) {
        guard let latch = exit.killedByLatch, wanted?.isUp == true else { return }
        wanted = Wanted(isUp: false, by: "emergency stop \(latch)", reason: "", since: now)
    }

    // MARK: Verification

    /// A look changes nothing, so it goes ahead of the records.
    mutating func look(at launch: LaunchID) -> [Effect] {
        verifying = launch
        return [.verify(launch)]
    }

    mutating func verified(_ launch: LaunchID, _ result: Verification, _ now: BootTime) -> [Effect] {
        guard verifying == launch else { return [] }  // repeated, or of a launch before
        verifying = nil
        return settle(launch, result, now)
    }

    /// Nothing has answered. An answer that comes later is recorded still.
    mutating func verificationLate(_ launch: LaunchID, _ now: BootTime) -> [Effect] {
        settle(launch, .unanswered(policy.release, "not looked at within \(Self.verifyBound.words)", at: now), now)
    }

    private mutating func settle(_ launch: LaunchID, _ result: Verification, _ now: BootTime) -> [Effect] {
        let result = result.doubting(strayed)
        verification = result
        let level = result.left.isEmpty && result.unknown.isEmpty ? [] : [Field("level", "warning")]
        let record = Effect.record(.workerVerified, order: slot, fields: [Field("launch", launch)] + result.fields + level)
        guard case .verifying = phase else { return [record] }
        enter(.stopped, now)
        guard !result.left.isEmpty else { return [record] + finish(.done(killed: killedThisStop, held: heldThisStop)) }
        let left = result.left.map { $0.text.isEmpty ? $0.what.rawValue : $0.text }.joined(separator: "; ")
        return [record]
            + finish(.failed(slug: "left-behind", text: "\(worker) is gone and has left something behind: \(left). Clear it, then stop it again to be checked"))
    }
}
