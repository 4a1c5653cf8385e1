internal import FleetCore
internal import FleetProbes
internal import FleetWire
internal import LinuxHost
internal import Logging
internal import NIOCore

/// What is looked at while the worker lives: its health checks, and whether it is writing its core.
extension WorkerShell {
    /// How often a worker that is dying, or may be, is asked whether it writes its core.
    static let dumpEvery: Duration = .milliseconds(250)

    /// Called after every event: what the machine wants looked at is scheduled, all else is not.
    func scheduleLooks() {
        if machine.wantsHealthReads {
            for index in machine.policy.health.indices where healthTasks[index] == nil {
                // Spread over the interval, so that many workers' checks don't come at once.
                let every = machine.policy.health[index].every
                scheduleHealth(index, in: .nanoseconds(Int64.random(in: 0...max(0, every.nanoseconds))))
            }
        } else if !healthTasks.isEmpty {
            for task in healthTasks.values { task.cancel() }
            healthTasks = [:]
        }
        if machine.wantsDumpLook {
            if dumpTask == nil { scheduleDumpLook() }
        } else {
            dumpTask?.cancel()
            dumpTask = nil
            dumpBase = nil
        }
    }

    // MARK: Health

    private func scheduleHealth(_ index: Int, in delay: Duration) {
        healthTasks[index] = agent.loop.scheduleTask(in: .nanoseconds(delay.nanoseconds)) { [weak self] in self?.readHealth(index) }
    }

    private func readHealth(_ index: Int) {
        guard machine.wantsHealthReads, machine.policy.health.indices.contains(index), let launch = machine.launch else {
            healthTasks[index] = nil
            return
        }
        let spec = machine.policy.health[index]
        let (declaration, programs) = (declaration, agent.programs)
        let accepted = agent.probing.submit(lane: "health \(service) \(index)") { [self] in
            let problem = HealthReader.problem(spec, declaration, programs)
            agent.loop.execute {
                guard self.machine.launch == launch else { return }
                if self.machine.wantsHealthReads { self.scheduleHealth(index, in: spec.every) } else { self.healthTasks[index] = nil }
                self.handle(.healthRead(index: index, problem: problem))
            }
        }
        // Not asked is not unhealthy.
        if !accepted { scheduleHealth(index, in: spec.every) }
    }

    // MARK: Core dumps

    private func scheduleDumpLook() {
        dumpTask = agent.loop.scheduleTask(in: .nanoseconds(Self.dumpEvery.nanoseconds)) { [weak self] in self?.lookForDump() }
    }

    private func lookForDump() {
        dumpTask = nil
        guard machine.wantsDumpLook, let pid = machine.pid, let launch = machine.launch else { return }
        let accepted = agent.files.submit { [self] in
            let seen = Result { () throws(LinuxError) in try CoreDump.read(pid: pid) }
            agent.loop.execute {
                guard self.machine.launch == launch else { return }
                if case .success(let dump?) = seen { self.take(dump) }
                if self.machine.wantsDumpLook, self.dumpTask == nil { self.scheduleDumpLook() }
            }
        }
        if !accepted { scheduleDumpLook() }
    }

    private func take(_ dump: CoreDump) {
        if dump.isDumping {
            let base = dumpBase ?? dump.written
            dumpBase = base
            handle(.dumping(true, bytes: dump.written > base ? dump.written - base : 0))
        } else if case .dumping = machine.phase {
            dumpBase = nil
            handle(.dumping(false, bytes: 0))
        }
    }

    /// Once a second, of a worker that runs as far as is known: its stat alone.
    func lookWhetherDying() {
        guard case .running = machine.phase, let worker else { return }
        do {
            guard let stat = try ProcessStat.read(pid: worker.pid), stat.startTime == worker.startTime, stat.isDumpingCore else { return }
            handle(.dumping(true, bytes: 0))
        } catch {
            log.debug("its stat can't be read", metadata: ["why": "\(error)"])
        }
    }
}
