import FleetCore
import FleetProbes
import FleetWire
import Glibc
import LinuxHost
import Synchronization
import TestSupport
import Testing

/// Whatever a dependency, a sink or a worker's own port answers: a figure, or unknown with the reason.
@Suite(.serialized) struct ProbeFuzzTests {
    @Test("no answer of a Redis ends anything, and a reading that is known is within bounds")
    func redis() throws {
        let server = try FalseServer()
        defer { server.end() }
        let campaign = try Campaign("redis", try Corpus.files("redis"))
        var known = 0
        while var mutator = campaign.next() {
            server.answer(mutator.chance(10) ? mutator.seed() : mutator.text(mutator.seed()))
            let reading = RedisProbe.read(address: server.address, key: "ticks", group: "strategy", timeout: .seconds(2))
            guard reading.known else {
                #expect(!reading.whyUnknown.isEmpty && Cleaned.text(reading.whyUnknown) == reading.whyUnknown)
                continue
            }
            known += 1
            for count in [reading.length, reading.entriesAdded, reading.pending, reading.lag, reading.entriesRead, reading.groupConsumers] {
                #expect((0...Bounded.value.upperBound).contains(count), "\(reading)")
            }
        }
        #expect(known > 0)
    }

    @Test("no answer over HTTP ends anything: state, QuestDB")
    func http() throws {
        let server = try FalseServer()
        defer { server.end() }
        let campaign = try Campaign("http", try Corpus.files("http"))
        var answered = 0
        while var mutator = campaign.next() {
            server.answer(mutator.chance(10) ? mutator.seed() : mutator.text(mutator.seed()))
            do throws(ProbeError) {
                switch mutator.below(3) {
                case 0: _ = try HTTPProbe.value("http://\(server.address)/state", pointer: "/open", timeout: .seconds(2))
                case 1: _ = try QuestDBProbe.countDistinct(url: "http://\(server.address)", table: "ticks", column: "id", timeout: .seconds(2))
                default: _ = try HTTPProbe.get("http://\(server.address)/", timeout: .seconds(2))
                }
                answered += 1
            } catch {
                #expect(!"\(error)".isEmpty)
            }
        }
        #expect(answered > 0)
    }
}

/// Listens on loopback, answers whatever it is asked with the same bytes, and hangs up.
private final class FalseServer: Sendable {
    let address: String
    private let listener: LoopbackListener
    private let bytes = Mutex<[UInt8]>([])

    init() throws {
        listener = try LoopbackListener()
        address = "127.0.0.1:\(listener.port)"
        var thread = pthread_t()
        let box = Unmanaged.passRetained(self)
        let failed = pthread_create(
            &thread, nil,
            { raw in
                if let raw { Unmanaged<FalseServer>.fromOpaque(raw).takeRetainedValue().serve() }
                return nil
            }, box.toOpaque())
        try #require(failed == 0)
        pthread_detach(thread)
    }

    func answer(_ new: [UInt8]) { bytes.withLock { $0 = new } }

    func end() { shutdown(listener.descriptor, Int32(SHUT_RDWR)) }

    private func serve() {
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let client = accept(listener.descriptor, nil, nil)
            if client < 0, errno == EINTR { continue }
            guard client >= 0 else { break }
            _ = recv(client, &chunk, chunk.count, 0)
            let answer = bytes.withLock { $0 }
            _ = send(client, answer, answer.count, Int32(MSG_NOSIGNAL))
            shutdown(client, Int32(SHUT_WR))
            // Until the other end hangs up: what it still sends must not reset what it has yet to read.
            while recv(client, &chunk, chunk.count, 0) > 0 {}
            close(client)
        }
        listener.close()
    }
}
