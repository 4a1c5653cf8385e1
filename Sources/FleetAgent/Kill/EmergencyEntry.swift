internal import FleetCore
internal import Glibc
internal import LinuxHost

/// What the emergency thread needs to kill one launch, opened beforehand: it must not open, look up or allocate then.
///
/// `@unchecked Sendable`: both descriptors are fixed at init, used with calls that any thread may make, and closed in
/// deinit when no one holds the entry any more.
final class EmergencyEntry: @unchecked Sendable {
    let service: ServiceName
    let tier: TierName
    let host: HostName
    let emergencyKilled: Bool
    let launch: LaunchID
    let pid: Int32
    /// Of the main process, identity checked; nil until it runs.
    let process: PIDFD?
    /// Whose children the whole tree is, once orphaned; nil: its record could not be read.
    let shimProcess: ProcessIdentity?
    /// Set where the launch's directory is gone: by what the rest of it is found, without a shim that could tell.
    let lost: (trace: LaunchTrace, slot: String)?
    /// Where its shim keeps how it ended; nil: not known.
    let directory: LaunchDirectory?
    /// An own duplicate of the connection to the shim; -1: none.
    private let shim: Int32

    /// Duplicates `shimDescriptor`; the caller keeps its own.
    init(
        service: ServiceName, tier: TierName, host: HostName, emergencyKilled: Bool, launch: LaunchID, pid: Int32, process: PIDFD?,
        shimProcess: ProcessIdentity?, shimDescriptor: Int32, directory: LaunchDirectory? = nil, lost: (trace: LaunchTrace, slot: String)? = nil
    ) {
        self.directory = directory
        self.service = service
        self.tier = tier
        self.host = host
        self.emergencyKilled = emergencyKilled
        self.launch = launch
        self.pid = pid
        self.process = process
        self.shimProcess = shimProcess
        self.lost = lost
        shim = shimDescriptor >= 0 ? fcntl(shimDescriptor, F_DUPFD_CLOEXEC, 0) : -1
    }

    deinit { if shim >= 0 { _ = Glibc.close(shim) } }

    /// The same launch under another declaration, or once its process is known.
    func with(tier: TierName, emergencyKilled: Bool, pid: Int32, process: PIDFD?) -> EmergencyEntry {
        EmergencyEntry(
            service: service, tier: tier, host: host, emergencyKilled: emergencyKilled, launch: launch, pid: pid, process: process,
            shimProcess: shimProcess, shimDescriptor: shim, directory: directory, lost: lost)
    }

    func isCovered(by scope: LatchScope) -> Bool {
        scope.covers(service: service, tier: tier, host: host, emergencyKilled: emergencyKilled)
    }

    /// SIGKILL to the main process alone, through the pidfd.
    ///
    /// Returns what the kernel refused; a process that is gone already is no refusal.
    func killProcess() -> String? {
        guard let process else { return nil }
        do throws(PIDFD.Failure) { try process.signal(SIGKILL) } catch {
            if case .gone = error {} else { return "\(error)" }
        }
        return nil
    }

    /// Gives the shim its line, so that it kills the rest of the tree and keeps the latch.
    func tellShim(_ line: [UInt8]) {
        // A full or dead stream must not hold anything up: the pidfd has killed the worker, the shim does the rest by itself.
        if shim >= 0 { _ = UnixSocket.sendNow(shim, line) }
    }

    /// The main process has ended.
    var isProcessGone: Bool {
        // Of a lost launch none may be known; then the rest of it is all there is.
        guard let process else { return lost != nil }
        do { return try process.isGone(within: .zero) } catch { return false }
    }

    /// What still lives of the tree, but for the main process; nil: it can't be told.
    func left() -> [ProcessIdentity]? {
        do {
            if let lost { return try lost.trace.living(slot: lost.slot) }
            // A shim that was lost has looked at nothing: where its launch has no cgroup either, it can't be told.
            guard let shimProcess, try shimProcess.isAlive() else { return try directory?.doubt(nil) == nil ? [] : nil }
            return try Processes.livingDescendants(of: shimProcess)
        } catch {
            return nil
        }
    }
}
