import FleetWire
import LinuxHost
import SwiftProtobuf
import Testing

@testable import FleetAgent

struct PartStoreTests {
    private func part(_ change: (inout WireHostPart) -> Void = { _ in }) throws -> WireHostPart {
        var part = WireHostPart()
        part.fleet = "demo"
        part.host = "md-1"
        var worker = WireWorkerSpec()
        worker.service = "feed"
        worker.run = ["feed"]
        part.workers = [worker]
        change(&part)
        part.digest = try PartStore.digest(of: part)
        return part
    }

    private func slug(_ part: WireHostPart) -> String {
        do {
            try PartStore.check(part, fleet: "demo", host: "md-1")
            return "taken"
        } catch let fault as PartStore.Fault {
            return fault.slug
        } catch {
            return "\(error)"
        }
    }

    @Test("a part with its own digest is taken; changed by a single value it is not")
    func digest() throws {
        var part = try part()
        #expect(slug(part) == "taken")
        part.workers[0].run = ["other"]
        #expect(slug(part) == "bad-digest")
        part.digest = ""
        #expect(slug(part) == "bad-digest")
    }

    @Test("the digest is the same however its maps are ordered and whichever way they came")
    func deterministic() throws {
        let names = (0..<200).map { "NAME_\($0)" }
        let digests = try [names, names.reversed(), names.shuffled()].map { order in
            try part { part in for name in order { part.workers[0].env[name] = "v" } }.digest
        }
        #expect(Set(digests).count == 1)
        let sent = try part { part in for name in names { part.workers[0].env[name] = "v" } }
        for _ in 0..<10 {
            // Another process, another hash seed: the bytes differ, the digest does not.
            let bytes: [UInt8] = try sent.serializedBytes()
            #expect(slug(try WireHostPart(serializedBytes: bytes)) == "taken")
        }
    }

    @Test("a part of another fleet or host is refused")
    func foreign() throws {
        #expect(try slug(part { $0.fleet = "other" }) == "wrong-part")
        #expect(try slug(part { $0.host = "md-2" }) == "wrong-part")
    }

    @Test(
        "names that can't name a directory are refused",
        arguments: ["", ".", "..", "../x", "a/b", "-rf", ".hidden", "a b", "a\0", String(repeating: "x", count: 64)])
    func names(name: String) throws {
        #expect(try slug(part { $0.workers[0].service = name }) == "bad-part")
    }

    @Test("a worker twice, one with nothing to run, and one with an unknown signal are refused")
    func workers() throws {
        #expect(try slug(part { $0.workers.append($0.workers[0]) }) == "bad-part")
        #expect(try slug(part { $0.workers[0].run = [] }) == "bad-part")
        #expect(try slug(part { $0.workers[0].stop.signal = "BANANA" }) == "bad-part")
        #expect(try slug(part { $0.workers[0].stop.signal = "TERM" }) == "taken")
    }

    @Test("what was saved is loaded, nothing is nothing, and half a file is an error")
    func files() throws {
        let scratch = try Scratch()
        let path = scratch.path + "/part.pb"
        #expect(try PartStore.load(path) == nil)
        let part = try part { part in for index in 0..<50 { part.workers[0].env["E\(index)"] = "\(index)" } }
        try PartStore.save(part, to: path)
        #expect(try PartStore.load(path) == part)
        let bytes = try Files.read(path, limit: PartStore.bytesMax)
        try Files.writeAtomically(path, Array(bytes.dropLast(3)), mode: 0o600, sync: false)
        #expect(throws: (any Error).self) { try PartStore.load(path) }
    }
}
