import FleetProbes
import Glibc

/// A wait that nothing ends early.
enum Pause {
    static func wait(until deadline: Deadline) {
        while !deadline.isPast { poll(nil, 0, deadline.pollMilliseconds) }
    }
}
