import FleetCore
import Glibc
import LinuxHost
import Testing

/// A run directory of its own with real shims and workers in it; whatever still runs at its end is killed.
final class ShimFixture {
    let runDirectory: String
    private var launches: [LaunchDirectory] = []
    private var next = 0

    static let patience = Duration.seconds(20)

    static let shim = program("trading-shim")
    /// Frozen; see Tests/TradingShimVersion1.
    static let shimVersion1 = program("trading-shim-version-1")

    /// Beside the test bundle, or where TRADING_BIN points.
    private static func program(_ name: String) -> String {
        if let directory = getenv("TRADING_BIN") {
            let path = String(cString: directory) + "/" + name
            if Files.isExecutable(path) { return path }
        }
        var buffer = [CChar](repeating: 0, count: 4_096)
        let length = readlink("/proc/self/exe", &buffer, buffer.count)
        let executable = String(decoding: buffer.prefix(max(0, length)).map(UInt8.init(bitPattern:)), as: UTF8.self)
        let candidates = [executable, CommandLine.arguments[0]].map { path in
            String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]) + "/" + name
        }
        return candidates.first(where: Files.isExecutable) ?? candidates[0]
    }

    init() throws {
        var template = Array("/tmp/shim-test-XXXXXX".utf8CString)
        let made = try #require(mkdtemp(&template))
        runDirectory = String(cString: made)
    }

    deinit {
        for launch in launches { finish(launch) }
        do { try Files.removeTree(runDirectory) } catch { Issue.record(error) }
    }

    /// A shell script as the worker, or a whole argv.
    func configuration(_ script: String, _ change: (inout LaunchConfiguration) -> Void = { _ in }) -> LaunchConfiguration {
        var configuration = LaunchConfiguration(
            service: "", launch: "", argv: ["/bin/sh", "-c", script], env: ["PATH": "/usr/bin:/bin", "OUT": runDirectory])
        change(&configuration)
        return configuration
    }

    /// Up to a shim that waits for `go`.
    func spawn(
        _ service: String, _ script: String, cpus: CPUList? = nil, change: (inout LaunchConfiguration) -> Void = { _ in }
    ) throws -> (directory: LaunchDirectory, connection: ShimConnection) {
        let directory = try create(service, configuration(script, change))
        try ShimLauncher.spawn(shim: Self.shim, directory: directory, cpus: cpus)
        let connection = try ShimConnection(to: directory)
        try connection.send(.hello(version: ShimRequest.version))
        let first = try expect(connection, "shim") { if case .shim = $0 { true } else { false } }
        #expect(first.first == .shim(version: ShimRequest.version, launch: directory.launch, phase: .waiting))
        return (directory, connection)
    }

    func create(_ service: String, _ configuration: LaunchConfiguration) throws -> LaunchDirectory {
        next += 1
        let directory = try LaunchDirectory.create(
            runDirectory: runDirectory, service: service, launch: "t\(getpid())-\(runDirectory.utf8.suffix(6).map { "\($0)" }.joined())-\(next)",
            configuration: configuration)
        launches.append(directory)
        return directory
    }

    /// Up to a worker that runs.
    func launch(
        _ service: String, _ script: String, cpus: CPUList? = nil, change: (inout LaunchConfiguration) -> Void = { _ in }
    ) throws -> (directory: LaunchDirectory, connection: ShimConnection, worker: ProcessIdentity) {
        let (directory, connection) = try spawn(service, script, cpus: cpus, change: change)
        try connection.send(.go(id: "go-1"))
        let messages = try expect(connection, "running") { if case .running = $0 { true } else { false } }
        let worker = try #require(try directory.worker)
        #expect(messages.contains(.ok(id: "go-1", text: "running \(worker.pid) \(worker.startTime)")))
        return (directory, connection, worker)
    }

    /// The messages up to one; fails the test, saying which was missed, when it doesn't come.
    @discardableResult
    func expect(
        _ connection: ShimConnection, _ what: String, _ wanted: (ShimMessage) -> Bool, at location: SourceLocation = #_sourceLocation
    ) throws -> [ShimMessage] {
        let messages = try connection.messages(until: wanted, within: Self.patience)
        return try #require(messages, "no \(what) within \(Self.patience)", sourceLocation: location)
    }

    @discardableResult
    func expectGone(_ connection: ShimConnection, at location: SourceLocation = #_sourceLocation) throws -> [ShimMessage] {
        try expect(connection, "gone", { $0 == .gone }, at: location)
    }

    /// Waits until a file that a worker writes is there.
    func expectFile(_ name: String, at location: SourceLocation = #_sourceLocation) throws {
        let deadline = Clock.boottime() + Self.patience
        while !Files.exists("\(runDirectory)/\(name)") {
            try #require(Clock.boottime() < deadline, "no file \(name)", sourceLocation: location)
            poll(nil, 0, 2)
        }
    }

    func text(_ name: String) throws -> String {
        String(decoding: try Files.read("\(runDirectory)/\(name)", limit: 1 << 20), as: UTF8.self)
    }

    /// Every process that still carries the launch's environment: another way of looking than the shim's.
    func left(of directory: LaunchDirectory) throws -> [Int32] {
        let entry = Array("TRADING_LAUNCH=\(directory.launch)".utf8)
        return try Files.list("/proc").compactMap { Int32($0) }.filter { pid in
            guard let stat = try ProcessStat.read(pid: pid), !stat.isZombie else { return false }
            do {
                return try Files.read("/proc/\(pid)/environ", limit: 4 << 20).split(separator: 0).contains { $0.elementsEqual(entry) }
            } catch is LinuxError { return false }
        }
    }

    /// Waits for something to come true; fails the test, saying what, when it doesn't.
    func expectSoon(_ what: String, within: Duration = patience, at location: SourceLocation = #_sourceLocation, _ condition: () throws -> Bool) throws {
        let deadline = Clock.boottime() + within
        while try !condition() {
            try #require(Clock.boottime() < deadline, "not within \(within): \(what)", sourceLocation: location)
            poll(nil, 0, 2)
        }
    }

    /// A cgroup of version 2 for launches; nil where this user may not make one.
    static let cgroups: Cgroup.Place? = { do { return try Cgroup.place() } catch { return nil } }()

    static let isRoot = geteuid() == 0

    private func finish(_ launch: LaunchDirectory) {
        do {
            if try launch.exit?.treeEmpty == true { return }
            if let shim = try launch.identity, try shim.isAlive() {
                try PIDFD(opening: shim).signal(SIGCONT)
                let connection = try ShimConnection(to: launch)
                try connection.send(.kill(id: "end", latch: nil), .hello(version: ShimRequest.version))
                _ = try connection.messages(until: { $0 == .gone }, within: Self.patience)
            }
            for pid in try left(of: launch) { try PIDFD(opening: .read(pid: pid)).signal(SIGKILL) }
        } catch {
            // It may have ended between two of these steps: then nothing is left to kill.
        }
    }
}
