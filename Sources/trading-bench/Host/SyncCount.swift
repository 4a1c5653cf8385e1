import FleetCore
import Foundation
import Glibc
import LinuxHost

/// How many syncs of storage lie on the way from a worker's end to its restart, as the kernel's own interface sees them.
struct SyncCount {
    static let tracer = "/usr/bin/strace"
    private static let restarts = 10

    private let host: BenchHost

    init(_ host: BenchHost) { self.host = host }

    /// Traces the agent while a few workers are restarted; nil without strace (Debian package strace).
    func perRestart(_ restart: (Int) throws -> Double) throws -> Double? {
        guard Program.isInstalled(Self.tracer) else { return nil }
        let path = "\(host.directory)/syncs"
        let tracer = Process()
        tracer.executableURL = URL(fileURLWithPath: Self.tracer)
        tracer.arguments = ["-f", "-p", "\(host.agentPID)", "-e", "trace=fdatasync,fsync", "-o", path]
        tracer.standardInput = FileHandle.nullDevice
        tracer.standardOutput = FileHandle.nullDevice
        tracer.standardError = FileHandle.nullDevice
        try tracer.start()
        defer {
            kill(tracer.processIdentifier, SIGKILL)
            tracer.waitUntilExit()
        }
        // It has no other sign of being ready than that the agent has a tracer.
        let end = Clock.boottime() + .seconds(5)
        while Clock.boottime() < end, try !isTraced() { poll(nil, 0, 20) }
        let before = try count(path)
        for number in 0..<Self.restarts { _ = try restart(number) }
        return Double(try count(path) - before) / Double(Self.restarts)
    }

    private func isTraced() throws -> Bool {
        let status = String(decoding: try Files.read("/proc/\(host.agentPID)/status", limit: 1 << 16), as: UTF8.self)
        return status.split(separator: "\n").contains { $0.hasPrefix("TracerPid:") && !$0.hasSuffix("\t0") }
    }

    /// Calls begun; one that is interrupted by another thread's line is listed twice, and counted once.
    private func count(_ path: String) throws -> Int {
        guard let bytes = try Files.readIfPresent(path, limit: 64 << 20) else { return 0 }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n")
            .count { ($0.contains("fdatasync(") || $0.contains("fsync(")) && !$0.contains("resumed") }
    }

    /// A record's worth of bytes appended and synced, a hundred times, on the disk that holds the agent's journal.
    static func fdatasyncMilliseconds(in directory: String) throws -> [Double] {
        let path = "\(directory)/bench-sync"
        let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw BenchHost.Failure(description: "cannot write \(path): \(String(cString: strerror(errno)))") }
        defer {
            close(descriptor)
            unlink(path)
        }
        let record = [UInt8](repeating: 120, count: 400)
        return try (0..<100).map { _ in
            let began = Clock.boottime()
            guard write(descriptor, record, record.count) == record.count, fdatasync(descriptor) == 0 else {
                throw BenchHost.Failure(description: "cannot sync \(path): \(String(cString: strerror(errno)))")
            }
            return (Clock.boottime() - began).milliseconds
        }
    }
}
