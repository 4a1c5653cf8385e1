import Foundation
import Glibc
import TestSupport
import Testing

/// A real child process of a test, ended by its own process id when the test is over.
final class TestProcess {
    let process = Process()
    let name: String
    let logPath: String

    init(_ name: String, _ executable: String, _ arguments: [String], log: String, environment: [String: String] = [:]) throws {
        self.name = name
        logPath = log
        try Data().write(to: URL(fileURLWithPath: log))
        let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: log))
        try handle.seekToEnd()
        process.executableURL = URL(fileURLWithPath: executable)
        process.arguments = arguments
        process.standardOutput = handle
        process.standardError = handle
        process.standardInput = FileHandle.nullDevice
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        try process.run()
    }

    var pid: Int32 { process.processIdentifier }

    func signal(_ number: Int32) { kill(pid, number) }

    /// SIGTERM, then SIGKILL after 5 s.
    func end() {
        guard process.isRunning else { return }
        kill(pid, SIGCONT)
        kill(pid, SIGTERM)
        if !eventually(within: 5, { !process.isRunning }) { kill(pid, SIGKILL) }
        process.waitUntilExit()
    }

    func killNow() {
        kill(pid, SIGKILL)
        process.waitUntilExit()
    }

    var log: String { (try? String(contentsOfFile: logPath, encoding: .utf8)) ?? "" }
}

/// Looks at a level every 20 ms until it holds; false when `within` seconds have passed.
func eventually(within seconds: Double, _ holds: () throws -> Bool) rethrows -> Bool {
    let end = DispatchTime.now() + seconds
    repeat {
        if try holds() { return true }
        poll(nil, 0, 20)
    } while DispatchTime.now() < end
    return try holds()
}

/// Whether a process exists and is not a zombie.
func isAlive(_ pid: Int32) -> Bool {
    guard let stat = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8), let close = stat.lastIndex(of: ")") else { return false }
    return !stat[close...].hasPrefix(") Z")
}
