import FleetCore
import Glibc
import LinuxHost
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import FleetAgent

/// The agent's end of a shim's stream, with shims of both versions.
@Suite(.serialized) struct ShimLinkTests {
    private final class Heard: Sendable {
        private let messages = Mutex<[ShimMessage]>([])
        func add(_ message: ShimMessage) { messages.withLock { $0.append(message) } }
        var all: [ShimMessage] { messages.withLock { $0 } }
    }

    @Test(
        "the link speaks what the shim speaks, and adopts, signals and ends a launch of either version",
        arguments: [("trading-shim-version-1", 1), ("trading-shim", ShimRequest.version)])
    func versions(_ program: String, _ version: Int) throws {
        let scratch = try Scratch()
        let shim = String(AgentFixture.shim.dropLast("trading-shim".utf8.count)) + program
        let directory = try LaunchDirectory.create(
            runDirectory: scratch.path, service: "feed", launch: "link-\(version)-\(getpid())",
            configuration: LaunchConfiguration(service: "", launch: "", argv: ["/bin/sleep", "1000"]))
        let records = ["version=1", "launch=\(directory.launch)", "slot=../slot", "arg=/bin/sleep", "arg=1000", "notify=1"]
        try Files.writeAtomically("\(directory.path)/conf", records.flatMap { Array($0.utf8) + [0] }, mode: 0o600, sync: false)
        try ShimLauncher.spawn(shim: shim, directory: directory, cpus: nil)
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        // An instance of its own each, as two agents have: a repeated request id is answered from memory, not executed.
        func link(_ heard: Heard, instance: String) throws -> ShimLink {
            let link = ShimLink(
                launch: LaunchID(directory.launch), directory: directory, instance: instance, onMessage: { heard.add($0) }, onClosed: {})
            link.attach(try UnixSocket.connect(in: directory.socketDirectory, name: LaunchDirectory.socketName), on: loop)
            return link
        }
        func expect(_ heard: Heard, _ message: ShimMessage) throws {
            try #require(eventually { heard.all.contains(message) }, "no \(message) in \(heard.all)")
        }
        do {
            let heard = Heard()
            let first = try link(heard, instance: "first")
            try expect(heard, .shim(version: version, launch: directory.launch, phase: .waiting))
            try loop.submit { first.send(.go(id: first.requestID())) }.wait()
            try #require(eventually { heard.all.contains { if case .running = $0 { true } else { false } } })
            #expect(!heard.all.contains { if case .error = $0 { true } else { false } })
            try loop.submit { first.close() }.wait()
        }
        let heard = Heard()
        let adopted = try link(heard, instance: "second")
        try expect(heard, .shim(version: version, launch: directory.launch, phase: .running))
        try #expect(loop.submit { adopted.version }.wait() == version)
        try loop.submit { adopted.send(.signal(id: adopted.requestID(), number: SIGTERM)) }.wait()
        try expect(heard, .gone)
        #expect(try directory.exit?.how == .signalled(number: SIGTERM, core: false))
    }
}
