import FleetCore
import Foundation
import LinuxHost

/// A program that is run to its end.
enum Program {
    @discardableResult
    static func run(_ path: String, _ arguments: [String]) throws -> (status: Int32, text: String) {
        let process = Process()
        let output = Pipe()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output
        process.standardError = output
        try process.start()
        let data = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: data, as: UTF8.self))
    }

    static func isInstalled(_ path: String) -> Bool { Files.isExecutable(path) }
}

extension Process {
    /// As `run`, with no signal blocked: the threads that async code runs on block all, and a child would inherit that.
    func start() throws {
        var none = sigset_t()
        var before = sigset_t()
        sigemptyset(&none)
        pthread_sigmask(SIG_SETMASK, &none, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        try run()
    }
}

/// Where workers say that they reached their main(), and when: lines "PID NANOSECONDS" of CLOCK_BOOTTIME.
struct StartedFile {
    struct Line {
        let pid: Int32
        let at: BootTime
    }

    let path: String

    init(path: String) throws {
        self.path = path
        try Files.writeAtomically(path, [], mode: 0o666, sync: false)
    }

    func lines() throws -> [Line] {
        String(decoding: try Files.read(path, limit: 64 << 20), as: UTF8.self).split(separator: "\n").compactMap { line in
            let parts = line.split(separator: " ")
            guard parts.count == 2, let pid = Int32(parts[0]), let at = UInt64(parts[1]) else { return nil }
            return Line(pid: pid, at: BootTime(nanoseconds: at))
        }
    }

    /// Waits for `count` lines beyond the first `known`, at most `within`; those.
    func more(than known: Int, count: Int, within: Duration) throws -> [Line] {
        let end = Clock.boottime() + within
        while true {
            let now = try lines()
            if now.count >= known + count { return Array(now[known...]) }
            guard Clock.boottime() < end else {
                throw BenchHost.Failure(description: "\(now.count - known) of \(count) workers started within \(within.words)")
            }
            poll(nil, 0, 2)
        }
    }
}

/// One HTTP request over a Unix socket, written in one go; what comes back is read only to its end.
final class OpenRequest {
    private let descriptor: Int32

    init(directory: String, socket: String, _ line: String, body: String, type: String) throws {
        descriptor = try UnixSocket.connect(in: directory, name: socket)
        let text = "\(line)\r\nHost: localhost\r\nContent-Type: \(type)\r\nContent-Length: \(body.utf8.count)\r\nConnection: close\r\n\r\n\(body)"
        guard UnixSocket.sendNow(descriptor, Array(text.utf8)) else {
            close(descriptor)
            throw BenchHost.Failure(description: "\(line): the request was not taken")
        }
    }

    deinit { close(descriptor) }

    /// Reads until the other side closes, at most ten seconds.
    func answer() -> String {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let end = Clock.boottime() + .seconds(10)
        while Clock.boottime() < end {
            let count = read(descriptor, &buffer, buffer.count)
            if count == 0 { break }
            if count > 0 {
                bytes += buffer[..<count]
            } else if errno == EAGAIN {
                var polled = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                poll(&polled, 1, 100)
            } else if errno != EINTR {
                break
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// What the kernel says of a process: memory, time, switches.
struct ProcessFigures {
    let pid: Int32

    /// A field of /proc/PID/status or smaps_rollup, in bytes.
    private func bytes(_ file: String, _ fields: [String]) -> Double {
        let text = (try? Files.read("/proc/\(pid)/\(file)", limit: 1 << 20)).map { String(decoding: $0, as: UTF8.self) } ?? ""
        var sum = 0.0
        for line in text.split(separator: "\n") {
            guard let colon = line.firstIndex(of: ":"), fields.contains(String(line[..<colon])) else { continue }
            sum += (line[line.index(after: colon)...].split(whereSeparator: \.isWhitespace).first.flatMap { Double($0) } ?? 0) * 1_024
        }
        return sum
    }

    var residentBytes: Double { bytes("status", ["VmRSS"]) }
    var anonymousBytes: Double { bytes("status", ["RssAnon"]) }
    var privateBytes: Double { bytes("smaps_rollup", ["Private_Clean", "Private_Dirty", "Private_Hugetlb"]) }
    var proportionalBytes: Double { bytes("smaps_rollup", ["Pss"]) }

    private func tasks() -> [String] { (try? Files.list("/proc/\(pid)/task")) ?? [] }

    /// Voluntary and not, of all threads.
    var switches: Double {
        var sum = 0.0
        for task in tasks() {
            let text = (try? Files.read("/proc/\(pid)/task/\(task)/status", limit: 1 << 16)).map { String(decoding: $0, as: UTF8.self) } ?? ""
            for line in text.split(separator: "\n") where line.contains("ctxt_switches") {
                sum += line.split(separator: "\t").last.flatMap { Double($0) } ?? 0
            }
        }
        return sum
    }

    /// Nanoseconds on a CPU, of all threads (/proc/PID/task/TID/schedstat, first field).
    var cpuNanoseconds: Double {
        var sum = 0.0
        for task in tasks() {
            let text = (try? Files.read("/proc/\(pid)/task/\(task)/schedstat", limit: 4_096)).map { String(decoding: $0, as: UTF8.self) } ?? ""
            sum += text.split(separator: " ").first.flatMap { Double($0) } ?? 0
        }
        return sum
    }
}

/// Waits for the end of processes.
enum Gone {
    static func handles(_ pids: [ProcessIdentity]) throws -> [PIDFD] { try pids.map { try PIDFD(opening: $0) } }

    /// Milliseconds from `start` until the last of them is gone.
    static func last(of handles: [PIDFD], since start: BootTime, within: Duration = .seconds(20)) throws -> Double {
        for handle in handles where try !handle.isGone(within: within) {
            throw BenchHost.Failure(description: "\(handle.identity) outlived the measurement by \(within.words)")
        }
        return (Clock.boottime() - start).milliseconds
    }
}
