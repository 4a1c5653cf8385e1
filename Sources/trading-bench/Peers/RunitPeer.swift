import FleetCore
import Foundation
import Glibc
import LinuxHost

/// runit: one runsv per worker below a runsvdir, ordered through each one's control pipe as sv(8) does.
final class RunitPeer: BenchPeer {
    static let name = "runit"
    static let package = "runit"
    private static let program = "/usr/bin/runsvdir"
    static var isInstalled: Bool { Program.isInstalled(program) }

    private let directory: String
    private let names: [String]
    private var process: Process?

    init(directory: String, floor: String, started: String, workers: Int) throws {
        self.directory = directory
        names = (1...workers).map { "w\($0)" }
        for name in names + ["r"] {
            let path = "\(directory)/sv/\(name)"
            try Files.makeDirectory(path, mode: 0o755)
            let command = "\(floor) worker --exit-after-term-ms 50 --started \(started)\(name == "r" ? " --restarted" : "")"
            try Files.writeAtomically("\(path)/run", Array("#!/bin/sh\nexec \(command)\n".utf8), mode: 0o755, sync: false)
        }
    }

    func begin() throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Self.program)
        process.arguments = ["\(directory)/sv"]
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.start()
        self.process = process
    }

    /// Letters as in runsv(8): u up, o once, d down, k SIGKILL.
    private func control(_ letters: String, _ names: [String]) throws {
        for name in names {
            let path = "\(directory)/sv/\(name)/supervise/control"
            let descriptor = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC)
            guard descriptor >= 0 else { throw BenchHost.Failure(description: "cannot open \(path): \(String(cString: strerror(errno)))") }
            defer { close(descriptor) }
            guard write(descriptor, letters, letters.utf8.count) == letters.utf8.count else {
                throw BenchHost.Failure(description: "cannot write \(path): \(String(cString: strerror(errno)))")
            }
        }
    }

    func startAll() throws { try control("o", names) }
    /// Started with `o` they stay down; the first ones were started by runsv itself.
    func killAll() throws { try control("ok", names) }
    func stopAll() throws { try control("d", names) }

    func processes() throws -> [Int32] {
        guard let pid = process?.processIdentifier else { return [] }
        return [pid] + (try Processes.children(of: pid))
    }

    func end() {
        // SIGHUP: sends SIGTERM to every runsv, which stop their workers, and exits (runsvdir(8)).
        guard let process else { return }
        let runsvs = (try? processes().dropFirst().map { try PIDFD(opening: ProcessIdentity.read(pid: $0)) }) ?? []
        kill(process.processIdentifier, SIGHUP)
        process.waitUntilExit()
        for runsv in runsvs { _ = try? runsv.isGone(within: .seconds(5)) }
    }
}
