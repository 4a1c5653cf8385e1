internal import FleetCore
internal import FleetWire
internal import LinuxHost
internal import Logging
internal import NIOCore

/// A launch whose directory was removed while its processes live: it is known by what the journal keeps of it, signalled through its
/// pidfd, and over when nothing of it is found any more. How it ended, and its last words, are lost with the directory.
extension WorkerShell {
    /// How often it is looked whether it is over, while it is being stopped and otherwise.
    private static let lostLook: (ending: Duration, otherwise: Duration) = (.milliseconds(100), .seconds(1))

    func adoptLost(_ id: LaunchID, _ trace: LaunchTrace) {
        lost = (id, trace)
        let pid = trace.worker?.pid ?? 0
        var (shim, process): (ProcessIdentity?, PIDFD?)
        do {
            let boot = try BootID.read()
            shim = trace.shim.map { ProcessIdentity($0, boot) }
            worker = trace.worker.map { ProcessIdentity($0, boot) }
            if let worker {
                let up = try Processes.uptime(of: worker, now: Clock.boottime()) ?? .zero
                startedAt = Clock.boottime() + (.zero - up)
                process = try PIDFD(opening: worker)
            }
        } catch {
            log.warning("its main process is gone; others of the launch may live", metadata: ["pid": "\(pid)", "why": "\(error)"])
        }
        // An emergency stop counts also a launch of which others than the main process live.
        agent.emergency.put(
            EmergencyEntry(
                service: declaration.service, tier: declaration.tier, host: agent.host, emergencyKilled: declaration.spec.emergencyKilled,
                launch: id, pid: pid, process: process, shimProcess: shim, shimDescriptor: -1, lost: (trace, slotPath)))
        log.error("a launch's directory was removed; it is known by its processes alone", metadata: ["launch": "\(id)", "pid": "\(pid)"])
        if let adoption {
            handle(.adopted(id, pid: pid, ready: adoption.ready, stopping: adoption.stopping, quiesced: adoption.quiesced, trace: trace))
            endAdoption()
        }
        applyLatches()
        lookForLost()
    }

    /// One look at a time, and one chain of them.
    ///
    /// While it is being killed each look kills as well: what was forked in between, or refused, must not stay.
    private func lookForLost() {
        lostTask?.cancel()
        lostTask = nil
        guard let lost, !isLooking else { return }
        isLooking = true
        let isKilling = if case .killing = machine.phase { true } else { false }
        let accepted = agent.files.submit { [self, slotPath] in
            let left = Result { () throws(LinuxError) in
                if isKilling { try lost.trace.kill(slot: slotPath) }
                return try lost.trace.left(slot: slotPath)
            }
            agent.loop.execute {
                self.isLooking = false
                guard self.lost?.launch == lost.launch else { return self.lookForLost() }
                switch left {
                case .success(nil):
                    self.lost = nil
                    return self.finishUnknown(lost.launch, "its launch directory was removed")
                case .success: break
                case .failure(let error): self.log.warning("it can't be told what lives of a launch", metadata: ["why": "\(error)"])
                }
                self.lookAgain()
            }
        }
        if !accepted {
            isLooking = false
            lookAgain()
        }
    }

    private func lookAgain() {
        lostTask?.cancel()
        let wait = machine.isUnderStop ? Self.lostLook.ending : Self.lostLook.otherwise
        lostTask = agent.loop.scheduleTask(in: .nanoseconds(wait.nanoseconds)) { [weak self] in self?.lookForLost() }
    }

    /// Through the pidfd, whose identity was checked.
    func signalLost(_ number: Int32) -> ShimAnswer {
        guard lost != nil, let process = agent.emergency.entry(declaration.service)?.process else {
            return .refused("its shim can't be reached, and its main process has ended or is not known")
        }
        do throws(PIDFD.Failure) {
            try process.signal(number)
            // The look that is due may be a second away, and its grace over by then.
            lookAgain()
            return .ok
        } catch {
            return .refused("\(error)")
        }
    }

    /// By the look that is due at once; the emergency thread has its own (`EmergencyEntry.left`).
    func killLost() { lookForLost() }

    private var slotPath: String { LaunchDirectory.slot(runDirectory: agent.paths.run, service: service) }
}
