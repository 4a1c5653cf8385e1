internal import Glibc

/// One launch under a local emergency stop: asked through its shim, then struck through pidfds.
///
/// Errors are kept in words: none may end the stop of the others.
final class EmergencyTarget {
    let launch: LaunchDirectory
    private(set) var pid: Int32?
    /// It had ended before this stop.
    private(set) var isOver = false
    private(set) var isAsked = false
    private(set) var wasStruck = false
    private var connection: ShimConnection?
    private var shimSaidGone = false
    private var lastProblem: String?

    init(_ launch: LaunchDirectory) { self.launch = launch }

    /// To wait on; nil: the shim has closed or was never reached.
    var descriptor: Int32? { connection?.descriptor }

    /// Sends the kill.
    ///
    /// False: nothing of this launch runs.
    func ask(_ latch: String) -> Bool {
        do {
            if let exit = try launch.exit, exit.treeEmpty {
                isOver = true
                return false
            }
        } catch {
            lastProblem = error.description  // unreadable: then as if it ran
        }
        do throws(LinuxError) {
            let connection = try ShimConnection(to: launch)
            // First the deed; hello makes it tell when all are gone. Version 1 is what every shim speaks.
            try connection.send(.kill(id: "emergency-\(latch)".prefixBytes(64), latch: latch), .hello(version: 1))
            self.connection = connection
            isAsked = true
            return true
        } catch {
            if error.errno != ENOENT, error.errno != ECONNREFUSED { lastProblem = error.description }
        }
        do throws(LinuxError) {
            let shim = try launch.identity
            let worker = try launch.worker
            guard shim != nil || worker != nil else { return false }  // no process yet; without `go` there will be none
            let bootID = try BootID.read()
            let candidates = [shim, worker].compactMap { $0 }
            guard candidates.contains(where: { $0.bootID == bootID }) else {
                isOver = true
                return false
            }
            pid = worker?.pid
            var alive = false
            for identity in candidates {
                if try identity.isAlive() { alive = true }
            }
            if !alive { alive = try !orphans().isEmpty }
            if alive {
                isAsked = true
                return true
            }
            isOver = true
            return false
        } catch {
            lastProblem = error.description
            isAsked = true
            return true
        }
    }

    /// Takes what the shim has said; true: all are gone.
    func hear() -> Bool {
        guard let connection else { return false }
        do {
            for message in try connection.arrived() {
                switch message {
                case .running(let pid, _): self.pid = pid
                case .gone: shimSaidGone = true
                default: break
                }
            }
            if connection.ended { self.connection = nil }
        } catch {
            lastProblem = error.description
            self.connection = nil
        }
        return shimSaidGone
    }

    /// One round of SIGKILL to everything of the tree that can be found; true: none was.
    func strike() -> Bool {
        wasStruck = true
        do {
            let shim = try launch.identity
            let worker = try launch.worker
            if let worker { pid = worker.pid }
            let cgroup = try launch.cgroup
            if let cgroup { try Cgroup.kill(cgroup) }
            var alive = 0
            if let worker, try kill(worker, when: { true }) { alive += 1 }
            if let shim, let shimFD = try open(shim), try !shimFD.isGone(within: .zero) {
                var tree = Set(try Processes.descendants(of: shim.pid))
                tree.insert(shim.pid)
                for pid in tree where pid != shim.pid && pid != worker?.pid {
                    guard let identity = try present(pid) else { continue }
                    if try kill(identity, when: { () throws(LinuxError) in try belongs(pid, to: tree) }) { alive += 1 }
                }
                if alive > 0 { return false }
                try settle(shimFD, worker: worker)
                return try launch.worker == worker  // forked in this very moment: another round
            }
            for identity in try orphans() {
                if try kill(identity, when: { true }) { alive += 1 }
            }
            if let cgroup, try !Cgroup.isEmpty(cgroup) { return false }
            return alive == 0
        } catch let error as PIDFD.Failure {
            lastProblem = error.description
        } catch {
            lastProblem = "\(error)"
        }
        return false
    }

    func words(gone: Bool) -> String {
        if gone { return wasStruck ? "killed past its shim, which did not answer" : "killed by its shim" }
        let who = pid.map { "process \($0)" } ?? "its shim"
        return "not confirmed: \(who) is still there" + (lastProblem.map { " (\($0))" } ?? "")
            + "; look at it with: ps -o pid,stat,wchan \(pid.map { "\($0)" } ?? "-e")"
    }

    /// The tree is dead but the shim doesn't do its part.
    private func settle(_ shim: PIDFD, worker: ProcessIdentity?) throws {
        if worker == nil {
            // It waits for `go` and would obey one that is already in its socket: nothing runs, so nothing is lost with it.
            try signal(shim, SIGKILL)
        } else if try ProcessStat.read(pid: shim.identity.pid)?.state == "T" {
            // Stopped by somebody: it may go on now, to keep the exit status and read which latch it was.
            try signal(shim, SIGCONT)
        }
    }

    /// SIGKILL through a checked pidfd; false: it was gone, or not one of the tree.
    private func kill(_ identity: ProcessIdentity, when belongs: () throws(LinuxError) -> Bool) throws -> Bool {
        guard let process = try open(identity), try !process.isGone(within: .zero), try belongs() else { return false }
        try signal(process, SIGKILL)
        return true
    }

    private func signal(_ process: PIDFD, _ number: Int32) throws {
        do { try process.signal(number) } catch PIDFD.Failure.gone { return }
    }

    private func open(_ identity: ProcessIdentity) throws -> PIDFD? {
        do { return try PIDFD(opening: identity) } catch {
            switch error {
            case .gone, .otherProcess: return nil
            case .system: throw error
            }
        }
    }

    private func present(_ pid: Int32) throws(LinuxError) -> ProcessIdentity? {
        do { return try ProcessIdentity.read(pid: pid) } catch  where error.errno == ESRCH { return nil }
    }

    /// With its pidfd open: a number that was reused between the listing and the opening has another parent.
    private func belongs(_ pid: Int32, to tree: Set<Int32>) throws(LinuxError) -> Bool {
        guard let stat = try ProcessStat.read(pid: pid) else { return false }
        return tree.contains(stat.parent)
    }

    /// Processes of this launch whose shim is dead: known by the slot that they hold, and by their cgroup.
    private func orphans() throws(LinuxError) -> Set<ProcessIdentity> {
        var found = Set(try Processes.holding(slot: launch.slot))
        if let cgroup = try launch.cgroup { found.formUnion(try Cgroup.processes(cgroup)) }
        return found
    }
}

extension String {
    /// The longest prefix of whole ASCII characters within a number of bytes.
    fileprivate func prefixBytes(_ count: Int) -> String { String(decoding: utf8.prefix(count), as: UTF8.self) }
}
