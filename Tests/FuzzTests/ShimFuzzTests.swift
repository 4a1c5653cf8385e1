import FleetCore
import FleetWire
import Glibc
import LinuxHost
import NIOCore
import TestSupport
import Testing

@testable import FleetAgent

/// What a shim says to its agent, what anybody says to a shim, and what a worker tells through $NOTIFY_SOCKET.
@Suite(.serialized) struct ShimFuzzTests {
    /// Beside the test bundle.
    static func program(_ name: String) -> String {
        let beside = CommandLine.arguments[0]
        return String(beside[..<(beside.lastIndex(of: "/") ?? beside.startIndex)]) + "/" + name
    }

    private func spawn(_ run: String, _ number: UInt64, _ argv: [String]) throws -> (LaunchDirectory, ShimConnection) {
        let configuration = LaunchConfiguration(service: "feed", launch: "fuzz-\(number)", argv: argv)
        let directory = try LaunchDirectory.create(runDirectory: run, service: "feed", launch: "fuzz-\(number)", configuration: configuration)
        try ShimLauncher.spawn(shim: Self.program("trading-shim"), directory: directory, cpus: nil)
        let connection = try ShimConnection(to: directory)
        try connection.send(.hello(version: ShimRequest.version))
        try #require(try connection.messages(until: { if case .shim = $0 { true } else { false } }, within: .seconds(10)) != nil)
        return (directory, connection)
    }

    /// Nil: nobody listens there any more. A shim that is slow to accept, on a busy machine, is asked again.
    private func reconnect(_ directory: LaunchDirectory) throws -> ShimConnection? {
        let bound = Clock.boottime() + .seconds(20)
        while true {
            do throws(LinuxError) { return try ShimConnection(to: directory) } catch {
                if [ENOENT, ECONNREFUSED].contains(error.errno) { return nil }
                guard error.errno == EAGAIN, Clock.boottime() < bound else { throw error }
                poll(nil, 0, 1)
            }
        }
    }

    /// Touched on the agent's loop alone.
    private final class Kept: @unchecked Sendable {
        var shell: WorkerShell?
    }

    @Test("an agent lives through any lines of a shim")
    func messages() throws {
        let fleet = try FuzzFleet()
        let agent = try fleet.agent()
        let run = fleet.directory + "/launches"
        try Files.makeDirectory(run, mode: 0o750)
        let directory = try LaunchDirectory.create(
            runDirectory: run, service: "strategy", launch: "fuzz", configuration: LaunchConfiguration(service: "strategy", launch: "fuzz", argv: ["/none"]))
        let kept = Kept()
        let campaign = try Campaign("shim-messages", try Corpus.files("shim"))
        var descriptor: Int32 = -1
        defer { if descriptor >= 0 { close(descriptor) } }
        var spec = WireWorkerSpec()
        spec.service = "strategy"
        spec.tier = "strategies"
        spec.run = ["none"]
        spec.ready.notify = true
        let declaration = WorkerDeclaration(spec, paths: agent.paths)
        while var mutator = campaign.next() {
            if descriptor < 0 {
                var pair: [Int32] = [-1, -1]
                try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &pair) == 0)
                descriptor = pair[0]
                let theirs = pair[1]
                try agent.loop.submit {
                    let shell = WorkerShell(agent: agent, declaration: declaration, past: .init())
                    kept.shell = shell
                    shell.attach(directory, "fuzz", theirs)
                    shell.handle(.adopted("fuzz", pid: .max, ready: false, stopping: false, quiesced: false))
                }.wait()
            }
            let input = mutator.text(mutator.seed())
            let sent = input.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            for _ in 0..<2 { try agent.loop.submit {}.wait() }
            // It hung up, or this line is told to begin anew.
            if sent < 0 || mutator.chance(5) {
                close(descriptor)
                descriptor = -1
            }
            if campaign.count % 100 == 0 { _ = try agent.loop.submit { kept.shell.map { ReportBuilder.worker($0, now: Clock.boottime()) } }.wait() }
        }
        #expect(try agent.loop.submit { agent.report().host }.wait() == "st-1")
    }

    @Test("a shim lives through any lines of those who connect to it")
    func commands() throws {
        let run = try makeTestDirectory("fuzz-shim")
        defer { do { try Files.removeTree(run) } catch { Issue.record(error) } }
        let campaign = try Campaign("shim-commands", try Corpus.files("commands"))
        var (directory, connection) = try spawn(run, 0, ["/bin/sleep", "1000"])
        var shim = try #require(try directory.identity)
        defer { _ = kill(shim.pid, SIGKILL) }
        while var mutator = campaign.next() {
            do {
                try connection.send(bytes: mutator.text(mutator.seed(), bytesMax: 8_192) + [10])
                _ = try connection.arrived()
            } catch {
                // It hung up, as it does on a line without an end. It is there all the same, unless it was told to kill and go.
                if let next = try reconnect(directory) {
                    connection = next
                    continue
                }
            }
            if connection.ended || campaign.count % 500 == 0 {
                if let next = try reconnect(directory) {
                    connection = next
                } else {
                    #expect(try directory.exit != nil, "the shim ended without a record")
                    try directory.remove()
                    (directory, connection) = try spawn(run, campaign.count, ["/bin/sleep", "1000"])
                    shim = try #require(try directory.identity)
                }
            }
        }
        let last = try? ShimConnection(to: directory)
        try last?.send(.kill(id: "the-end", latch: nil))
    }

    @Test("a shim lives through any datagram of a worker, and says nothing that is no message")
    func datagrams() throws {
        let run = try makeTestDirectory("fuzz-notify")
        defer { do { try Files.removeTree(run) } catch { Issue.record(error) } }
        let campaign = try Campaign("notify", try Corpus.files("notify"))
        let fifo = run + "/fifo"
        let (directory, connection) = try spawn(run, 0, [Self.program("torture-worker"), "datagrams", fifo])
        try connection.send(.go(id: "go"))
        try #require(try connection.messages(until: { $0 == .notify(key: "READY", value: "1") }, within: .seconds(10)) != nil)
        let descriptor = open(fifo, O_WRONLY | O_CLOEXEC)
        try #require(descriptor >= 0, "\(LinuxError.text(errno))")
        var heard = 0
        while var mutator = campaign.next() {
            let input = mutator.text(mutator.seed(), bytesMax: 60_000)
            let framed = [UInt8(input.count & 0xFF), UInt8(input.count >> 8)] + input
            var rest = framed[...]
            while !rest.isEmpty {
                let put = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
                try #require(put > 0, "the worker ended: \(LinuxError.text(errno))")
                rest = rest.dropFirst(put)
            }
            for case .notify(let key, _) in try connection.arrived() {
                heard += 1
                #expect(!key.isEmpty && key.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }, "\(key)")
            }
            try #require(!connection.ended, "the shim hung up")
        }
        close(descriptor)
        try #require(try connection.messages(until: { $0 == .gone }, within: .seconds(20)) != nil, "the shim did not see its worker out")
        let how = try directory.exit?.how
        #expect(heard > 0 && how == .exited(code: 0))
    }
}
