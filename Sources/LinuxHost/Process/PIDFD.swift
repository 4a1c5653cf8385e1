internal import CLinux
internal import FleetCore
internal import Glibc

/// A process that is the right one for as long as this exists (pidfd_open(2)): the only way a signal goes out.
///
/// Never to be registered with an event loop (FACTS: NIO traps when the process ends).
package final class PIDFD: Sendable {
    package enum Failure: Error, Equatable, CustomStringConvertible {
        /// It has ended (and was reaped, or is of another boot).
        case gone(ProcessIdentity)
        /// Its number belongs to another process now.
        case otherProcess(wanted: ProcessIdentity, found: ProcessIdentity)
        case system(LinuxError)

        package var description: String {
            switch self {
            case .gone(let identity): "\(identity) has ended"
            case .otherProcess(let wanted, let found): "\(wanted) has ended; its number now belongs to another, started at tick \(found.startTime)"
            case .system(let error): error.description
            }
        }
    }

    package let identity: ProcessIdentity
    private let descriptor: Int32

    /// Opens, then checks start time and boot id: whoever has that start time now had the number when it was opened.
    package init(opening identity: ProcessIdentity) throws(Failure) {
        let bootID: String
        do { bootID = try BootID.read() } catch { throw .system(error) }
        guard bootID == identity.bootID else { throw .gone(identity) }
        let descriptor = clinux_pidfd_open(identity.pid)
        guard descriptor >= 0 else {
            throw errno == ESRCH ? .gone(identity) : .system(.last("open a pidfd of", "\(identity)"))
        }
        let stat: ProcessStat?
        do {
            stat = try ProcessStat.read(pid: identity.pid)
        } catch {
            close(descriptor)
            throw .system(error)
        }
        guard let stat, stat.startTime == identity.startTime else {
            close(descriptor)
            guard let stat else { throw .gone(identity) }
            let found = ProcessIdentity(pid: identity.pid, startTime: stat.startTime, bootID: bootID)
            throw .otherProcess(wanted: identity, found: found)
        }
        self.identity = identity
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// A zombie takes a signal without effect and without an error.
    package func signal(_ number: Int32) throws(Failure) {
        guard clinux_pidfd_send_signal(descriptor, number) == 0 else {
            throw errno == ESRCH
                ? .gone(identity) : .system(.last("send \(Signals.name(number)) to", "\(identity)"))
        }
    }

    /// Waits until one of these processes has ended, or `wake` was woken, at most `within`; tells nothing of which.
    ///
    /// Leave out those that are known to have ended: they end every wait at once.
    package static func waitForAny(_ handles: [PIDFD], or wake: WakePipe, within: Duration) throws(LinuxError) {
        var polled = [pollfd(fd: wake.descriptor, events: Int16(POLLIN), revents: 0)]
        for handle in handles { polled.append(pollfd(fd: handle.descriptor, events: Int16(POLLIN), revents: 0)) }
        _ = try Descriptors.wait(&polled, until: Clock.boottime() + within)
    }

    /// Waits for the end of all its threads, not for its parent to reap it; zero only looks.
    ///
    /// A process that dumps core is not gone.
    package func isGone(within: Duration) throws(LinuxError) -> Bool {
        try Descriptors.wait(descriptor, for: Int16(POLLIN), within: within)
    }
}
