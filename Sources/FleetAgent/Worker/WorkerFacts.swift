internal import FleetCore
internal import LinuxHost

/// What the kernel says of one worker's process beside its state.
struct WorkerFacts: Equatable, Sendable {
    /// Of whom this is.
    let pid: Int32
    /// Its main thread's; empty: unknown.
    var cpus = ""
    /// nil: unknown.
    var openFiles: UInt32?
    /// Sockets with a peer that the kernel lists; nil: unknown.
    var connections: UInt32?
    /// A signal (SIGSTOP, SIGTSTP) has stopped its main process: it does nothing until SIGCONT.
    var isHalted = false
    /// Its launch's directory was removed while its shim lives.
    var isDirectoryRemoved = false
    /// The file that its output goes to, where somebody has removed that: what it writes is in no log.
    var removedLog: String?

    /// For people.
    static func words(removedLog log: String, of service: String) -> String {
        "LOG REMOVED: what \(service) writes is in no log until its next start (\(log))"
    }

    /// Only a file can be removed: what the kernel calls deleted and is none (an anonymous map, a pipe) is no log.
    static func removedLog(of pid: Int32) throws(LinuxError) -> String? {
        for descriptor in 1...2 {
            let target = try Files.link("/proc/\(pid)/fd/\(descriptor)")
            if target.hasPrefix("/"), target.hasSuffix(" (deleted)") { return String(target.dropLast(" (deleted)".count)) }
        }
        return nil
    }

    /// Blocking: lists descriptors of each, and the kernel's sockets once for all.
    static func read(_ workers: [(service: String, pid: Int32, directory: String?)]) -> [String: WorkerFacts] {
        var found: [String: WorkerFacts] = [:]
        var sockets: [String: Set<UInt64>] = [:]
        for (service, pid, directory) in workers {
            var facts = WorkerFacts(pid: pid)
            do throws(LinuxError) {
                if let directory { facts.isDirectoryRemoved = try FileStatus.read(directory) == nil }
                facts.cpus = try Processes.affinity(of: pid).description
                facts.isHalted = try ProcessStat.read(pid: pid)?.state == "T"
                facts.removedLog = try removedLog(of: pid)
                let open = try OpenFiles.read(pid: pid, limit: 0)
                facts.openFiles = UInt32(clamping: open.count)
                // In a network of its own its sockets can't be seen from here.
                let canBeSeen = open.socketInodes.isEmpty ? true : try ProcessSockets.isHere(pid)
                if canBeSeen { sockets[service] = open.socketInodes }
            } catch {
                // It has ended, or belongs to a user that this agent may not look at: unknown.
            }
            found[service] = facts
        }
        var table: [SocketTuple]?
        if sockets.values.contains(where: { !$0.isEmpty }) {
            do { table = try ProcessSockets.listed() } catch { table = nil }
        }
        for (service, inodes) in sockets {
            if inodes.isEmpty {
                found[service]?.connections = 0
            } else if let table {
                found[service]?.connections = UInt32(clamping: ProcessSockets.owned(inodes, in: table).count { !$0.isListening })
            }
        }
        return found
    }
}
