package import FleetCore
package import Glibc

/// Waiting on file descriptors (poll(2)).
package enum Descriptors {
    /// True once one of `events` (or an error or hang-up) is there.
    ///
    /// Signals don't shorten the wait.
    package static func wait(_ descriptor: Int32, for events: Int16, within: Duration) throws(LinuxError) -> Bool {
        var polled = [pollfd(fd: descriptor, events: events, revents: 0)]
        return try wait(&polled, until: Clock.boottime() + within) > 0
    }

    /// Lets this process open as many files as the system allows it, at most `countMax`; returns how many that are.
    ///
    /// Only for a process that calls no select(2) and starts no other: what it starts would inherit the limit.
    @discardableResult package static func raiseLimit(countMax: UInt64 = 1 << 20) -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1_024 }
        let wanted = min(limit.rlim_max, rlim_t(countMax))
        if limit.rlim_cur < wanted {
            limit.rlim_cur = wanted
            guard setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1_024 }
        }
        return Int(clamping: min(limit.rlim_cur, rlim_t(countMax)))
    }

    /// How many are ready; 0 at the deadline.
    package static func wait(_ polled: inout [pollfd], until deadline: BootTime) throws(LinuxError) -> Int {
        while true {
            let left = (deadline - Clock.boottime()).nanoseconds
            let milliseconds = Int32(clamping: left <= 0 ? 0 : (left + 999_999) / 1_000_000)
            let ready = poll(&polled, nfds_t(polled.count), milliseconds)
            if ready > 0 { return Int(ready) }
            if ready < 0, errno != EINTR { throw .last("wait on", "\(polled.count) descriptors") }
            if ready == 0, left <= 0 { return 0 }
        }
    }
}
