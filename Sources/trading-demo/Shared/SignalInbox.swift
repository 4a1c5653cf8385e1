import FleetProbes
import Glibc

/// Receives signals without a handler: they are blocked in every thread, one thread takes them by sigwait(3) and puts
/// each as a byte into a socket pair that the worker's loop polls.
///
/// Make it first of all: threads made before it would not have the signals blocked. SIGPIPE is ignored as well.
final class SignalInbox {
    /// For poll(2): readable when a signal waits.
    let descriptor: Int32

    private struct Context {
        var signals: sigset_t
        var descriptor: Int32
    }

    init(_ numbers: [Int32]) throws(ProbeError) {
        signal(SIGPIPE, SIG_IGN)
        var signals = sigset_t()
        sigemptyset(&signals)
        for number in numbers { sigaddset(&signals, number) }
        var code = pthread_sigmask(SIG_BLOCK, &signals, nil)
        guard code == 0 else { throw ProbeError("block", "signals", .system(code)) }
        var pair: [Int32] = [-1, -1]
        let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, type, 0, &pair) == 0 else {
            throw ProbeError("open", "a socket pair", .system(errno))
        }
        descriptor = pair[0]
        // Lives as long as the process, as its thread does.
        let context = UnsafeMutablePointer<Context>.allocate(capacity: 1)
        context.initialize(to: Context(signals: signals, descriptor: pair[1]))
        var thread = pthread_t()
        code = pthread_create(
            &thread, nil,
            { raw in
                guard let context = raw?.assumingMemoryBound(to: Context.self) else { return nil }
                while true {
                    var number: Int32 = 0
                    guard sigwait(&context.pointee.signals, &number) == 0 else { continue }
                    var byte = UInt8(truncatingIfNeeded: number)
                    // Full only when thousands are unread already; one more says nothing new.
                    _ = send(context.pointee.descriptor, &byte, 1, Int32(MSG_NOSIGNAL))
                }
            }, context)
        guard code == 0 else { throw ProbeError("start", "the signal thread", .system(code)) }
        pthread_detach(thread)
    }

    /// The signals that arrived since the last call, in the order they were taken. Never waits.
    func take() -> [Int32] {
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = recv(descriptor, &bytes, bytes.count, 0)
        return count > 0 ? bytes.prefix(count).map(Int32.init) : []
    }

    /// Waits until a signal is there or the deadline has passed; leaves the signal for `take`.
    func wait(until deadline: Deadline) {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        while poll(&entry, 1, deadline.pollMilliseconds) < 0, errno == EINTR, !deadline.isPast {}
    }
}
