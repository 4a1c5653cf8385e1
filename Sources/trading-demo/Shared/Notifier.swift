import FleetProbes
import Glibc

/// Tells the supervisor by sd_notify(3) what the worker is and has counted. Without NOTIFY_SOCKET it does nothing.
///
/// The socket never blocks the worker: a datagram that finds the queue full is dropped, and the next one carries
/// everything again. Only what may not be lost (`ready`, `changed`, `final`) waits, for at most a second.
///
/// Where the supervisor wants a watchdog (sd_watchdog_enabled(3)), what `tell` says carries WATCHDOG=1: a worker's loop calls
/// it once a turn and nothing else does, so a loop that hangs falls silent.
final class Notifier {
    /// Half of what the contract demands, so one lost datagram doesn't break it.
    static let interval = Duration.milliseconds(500)
    static let waitLimit = Duration.seconds(1)
    /// sun_path, unix(7).
    static let pathLimit = MemoryLayout.size(ofValue: sockaddr_un().sun_path)

    var status = "starting"

    private let path: String?
    private let watchdog: Bool
    private let interval: Duration
    private var descriptor: Int32 = -1
    private var values: [(key: String, value: String)] = []
    private var isReady = false
    private var nextDue = Deadline.now

    init() {
        let named = getenv("NOTIFY_SOCKET").map { String(cString: $0) } ?? ""
        if named.utf8.count >= Self.pathLimit {
            WorkerLog.line(
                "NOTIFY_SOCKET is longer than \(Self.pathLimit - 1) bytes: the supervisor can't be told anything")
        }
        path = named.isEmpty || named.utf8.count >= Self.pathLimit ? nil : named
        let within = Self.watchdogMicroseconds()
        watchdog = within != nil
        // Three in each period: two may be lost.
        interval = min(Self.interval, within.map { .microseconds($0 / 3) } ?? Self.interval)
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// When `tell` wants to be called next.
    var due: Deadline { Deadline(nanoseconds: nextDue) }

    func set(_ key: String, _ value: some CustomStringConvertible) {
        let text = value.description
        if let index = values.firstIndex(where: { $0.key == key }) {
            values[index].value = text
        } else {
            values.append((key, text))
        }
    }

    /// Says everything once its interval is over.
    func tell() {
        guard Deadline.now >= nextDue else { return }
        send(watchdog && isReady ? ["WATCHDOG=1"] : [], waiting: false)
    }

    /// WATCHDOG_USEC, where it is meant for this process; a child that inherited it is not meant.
    private static func watchdogMicroseconds() -> Int64? {
        guard let value = getenv("WATCHDOG_USEC").flatMap({ Int64(String(cString: $0)) }), value > 0 else { return nil }
        let process = getenv("WATCHDOG_PID").map { String(cString: $0) } ?? ""
        return process.isEmpty || process == "\(getpid())" ? value : nil
    }

    /// Says READY=1, once.
    func ready(_ status: String) {
        self.status = status
        if !isReady { WorkerLog.line("ready: \(status)") }
        isReady = true
        send(["READY=1"], waiting: true)
    }

    /// Says everything now: a value has changed that someone waits for.
    func changed() { send([], waiting: true) }

    /// Says STOPPING=1 and everything for the last time.
    func final(_ status: String) {
        self.status = status
        WorkerLog.line("stopping: \(status) \(values.map { "\($0.key)=\($0.value)" }.joined(separator: " "))")
        send(["STOPPING=1"], waiting: true)
    }

    private func send(_ first: [String], waiting: Bool) {
        nextDue = Deadline(in: interval).nanoseconds
        guard path != nil else { return }
        // A line break would start another assignment.
        let words = String(status.map { $0.isNewline ? " " : $0 })
        let lines = first + ["STATUS=\(words)"] + values.map { "\($0.key)=\($0.value)" }
        let bytes = Array(lines.joined(separator: "\n").utf8)
        let deadline = Deadline(in: waiting ? Self.waitLimit : .zero)
        while true {
            if descriptor < 0, !connectSocket() { return }
            let count = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
            if count >= 0 { return }
            switch errno {
            case EINTR: continue
            case EAGAIN where !deadline.isPast:
                var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                poll(&entry, 1, deadline.pollMilliseconds)
            case EAGAIN: return
            default:
                // The supervisor's socket is gone or was replaced: the next datagram connects anew.
                close(descriptor)
                descriptor = -1
                return
            }
        }
    }

    /// Connected, so that poll(2) knows when the reader's queue has room (unix(7)).
    private func connectSocket() -> Bool {
        guard let path else { return false }
        let type = Int32(SOCK_DGRAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let file = socket(AF_UNIX, type, 0)
        guard file >= 0 else { return false }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var name = Array(path.utf8)
        let isAbstract = name.first == UInt8(ascii: "@")
        if isAbstract { name[0] = 0 }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
        // An abstract name is as long as it is given; a path ends with its zero.
        let length = MemoryLayout<sa_family_t>.size + name.count + (isAbstract ? 0 : 1)
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(file, $0, socklen_t(length)) }
        }
        guard connected == 0 else {
            close(file)
            return false
        }
        descriptor = file
        return true
    }
}
