import FleetProbes
import Glibc
import TestSupport
import Testing

/// A directory that is gone after the test.
final class ScratchDirectory {
    let path: String

    init() throws {
        var template = Array("/tmp/trading-probes-XXXXXX".utf8CString)
        path = try #require(mkdtemp(&template).map { String(cString: $0) })
    }

    deinit {
        guard let directory = opendir(path) else { return }
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { unlink("\(path)/\(name)") }
        }
        closedir(directory)
        rmdir(path)
    }
}

/// A real redis-server of the test's own on a free port, without persistence.
final class PrivateRedis {
    let port: UInt16
    let process: RunningProcess
    private let directory: ScratchDirectory

    init() throws {
        directory = try ScratchDirectory()
        let bound = try LoopbackListener()
        port = bound.port
        // The port is free again between here and the server's bind; another program could take it, and the start would
        // fail.
        bound.close()
        process = try RunningProcess(
            "/usr/bin/redis-server",
            ["--port", "\(port)", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", directory.path])
        let deadline = Deadline(in: .seconds(10))
        while true {
            do {
                if try connect().call("PING", by: deadline) == .simple("PONG") { return }
            } catch {
                try #require(!deadline.isPast, "redis-server on port \(port): \(error)")
            }
            poll(nil, 0, 10)
        }
    }

    var address: String { "127.0.0.1:\(port)" }

    func connect() throws -> RedisConnection {
        try RedisConnection(try Endpoint(address), by: Deadline(in: .seconds(5)))
    }

    @discardableResult
    func run(_ command: String...) throws -> RESPValue { try connect().call(command, by: Deadline(in: .seconds(10))) }
}

/// Stands in for a peer: sends each client the same bytes, in pieces, once it has said something, then closes or holds.
final class ScriptedPeer: Sendable {
    let port: UInt16
    private let thread: pthread_t

    private final class Script: Sendable {
        let descriptor: Int32
        let pieces: [[UInt8]]
        let closes: Bool
        init(descriptor: Int32, pieces: [[UInt8]], closes: Bool) {
            self.descriptor = descriptor
            self.pieces = pieces
            self.closes = closes
        }
    }

    /// Serves one client.
    init(_ pieces: [String], closes: Bool = true) throws {
        let listener = try LoopbackListener()
        port = listener.port
        let copy = dup(listener.descriptor)
        let script = Script(descriptor: copy, pieces: pieces.map { Array($0.utf8) }, closes: closes)
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { raw in
                guard let raw else { return nil }
                let script = Unmanaged<Script>.fromOpaque(raw).takeRetainedValue()
                let client = accept(script.descriptor, nil, nil)
                close(script.descriptor)
                guard client >= 0 else { return nil }
                var request = [UInt8](repeating: 0, count: 4_096)
                _ = recv(client, &request, request.count, 0)
                for piece in script.pieces {
                    _ = send(client, piece, piece.count, Int32(MSG_NOSIGNAL))
                    // Lets the piece arrive by itself; correctness does not depend on it.
                    poll(nil, 0, 1)
                }
                if !script.closes { _ = recv(client, &request, request.count, 0) }
                close(client)
                return nil
            }, Unmanaged.passRetained(script).toOpaque())
        try #require(code == 0)
        self.thread = thread
        pthread_detach(thread)
    }

    var url: String { "http://127.0.0.1:\(port)/x" }
}
