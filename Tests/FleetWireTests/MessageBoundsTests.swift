import FleetCore
import FleetWire
import NIOCore
import SwiftProtobuf
import Testing

/// Extreme values through every numeric field of every message that crosses the wire: in bounds or refused, and nothing behind
/// that point meets the rest.
@Suite struct MessageBoundsTests {
    private static let extremes: [String] = [
        "9223372036854775807", "-9223372036854775808", "18446744073709551615", "-1", "0", "1", "9007199254740992", "9007199254740993", "4611686018427387905",
    ]

    /// A message with every field set, as JSON, and the places of its numbers.
    private struct Sample {
        let name: String
        let body: (inout WireEnvelope) -> Void
    }

    private static var samples: [Sample] {
        [
            Sample(name: "hello") { envelope in
                envelope.hello.boottimeNs = 7
                envelope.hello.protocolMax = 7
                envelope.hello.journalHead.sequence = 7
                envelope.hello.coordinatorEpochs = ["s": 7]
                envelope.hello.pin.epoch = 7
                envelope.hello.latches.latches = [
                    .with {
                        $0.unixUs = 7; $0.releasedUnixUs = 7
                    }
                ]
            },
            Sample(name: "welcome") { envelope in
                envelope.welcome.epoch = 7
                envelope.welcome.heartbeatNs = 7
                envelope.welcome.timeoutNs = 7
            },
            Sample(name: "heartbeat") { $0.heartbeat.boottimeNs = 7 },
            Sample(name: "report") { envelope in
                envelope.report.boottimeNs = 7
                envelope.report.sequence = 7
                envelope.report.facts.load = [7]
                envelope.report.facts.memoryTotal = 7
                envelope.report.facts.certificateDaysLeft = 7
                envelope.report.facts.time.offsetNs = 7
                envelope.report.facts.hugepages = [
                    .with {
                        $0.total = 7; $0.node = 7
                    }
                ]
                envelope.report.workers = [
                    .with {
                        $0.pid = 7; $0.upNs = 7; $0.generation = 7; $0.dumpedBytes = 7; $0.restarts = 7; $0.sinceBoottimeNs = 7
                        $0.counters = [
                            "produced": .with {
                                $0.known = true; $0.value = 7; $0.atBoottimeNs = 7
                            }
                        ]
                        $0.inFlight.value = 7
                        $0.lastExit.code = 7
                        $0.lastExit.atBoottimeNs = 7
                        $0.lock.unixUs = 7
                    }
                ]
                envelope.report.streams = [
                    .with {
                        $0.length = 7; $0.entriesAdded = 7; $0.entriesRead = 7; $0.lag = 7; $0.pending = 7; $0.applied = 7; $0.groupConsumers = 7
                        $0.atBoottimeNs = 7
                    }
                ]
                envelope.report.dependencies = [
                    .with {
                        $0.atBoottimeNs = 7; $0.pid = 7
                    }
                ]
                envelope.report.drift = [.with { $0.sinceUnixUs = 7 }]
            },
            Sample(name: "result") { envelope in
                envelope.result.boottimeNs = 7
                envelope.result.signalledUnixUs = 7
                envelope.result.goneBoottimeNs = 7
                envelope.result.figure.value = 7
                envelope.result.streams = [.with { $0.entriesAdded = 7 }]
                envelope.result.snapshot.counters = ["a": .with { $0.value = 7 }]
                envelope.result.records = [.with { $0.sequence = 7 }]
                envelope.result.detail.threads = [
                    .with {
                        $0.cpuNs = 7; $0.tid = 7
                    }
                ]
                envelope.result.layout.changes = [.with { $0.subject = "7" }]
                envelope.result.layout.topology.nodes = [.with { $0.memoryBytes = 7 }]
            },
            Sample(name: "latches") {
                $0.latches.latches = [
                    .with {
                        $0.unixUs = 7; $0.releasedUnixUs = 7
                    }
                ]
            },
            Sample(name: "emergency result") {
                $0.emergencyResult.workers = [
                    .with {
                        $0.afterNs = 7; $0.pid = 7
                    }
                ]
            },
            Sample(name: "log chunk") { $0.logChunk.lines = [.with { $0.unixUs = 7 }] },
            Sample(name: "audit request") { $0.auditRequest.fromSequence = 7 },
            Sample(name: "command") { envelope in
                envelope.command.notAfterBoottimeNs = 7
                envelope.command.expectedGeneration = 7
                envelope.command.holdWait.forNs = 7
            },
        ]
    }

    @Test("every number of every message, at every extreme, is in bounds or refused with its place; none traps")
    func extremes() throws {
        var tried = 0
        var refused = 0
        for sample in Self.samples {
            var envelope = WireEnvelope()
            sample.body(&envelope)
            #expect(MessageBounds.wire.fault(in: envelope) == nil, "\(sample.name) as it is")
            let json = try envelope.jsonString()
            // Numbers stand as 7 or, of 64 bits, as "7".
            let parts = json.split(separator: "7", omittingEmptySubsequences: false)
            for place in 1..<parts.count {
                for extreme in Self.extremes + ["\"NaN\"", "\"Infinity\"", "\"-Infinity\"", "1e300"] {
                    let text =
                        parts[..<place].joined(separator: "7") + extreme.filter { $0 != "\"" || parts[place].first != "\"" }
                        + parts[place...].joined(separator: "7")
                    // What the field's own type can't hold is no message in the first place.
                    guard let changed = try? WireEnvelope(jsonString: text) else { continue }
                    tried += 1
                    if let fault = MessageBounds.wire.fault(in: changed) {
                        refused += 1
                        #expect(fault.hasPrefix("field "), "\(sample.name): \(fault)")
                    }
                    let bytes: [UInt8] = try changed.serializedBytes()
                    #expect(try WireEnvelope(serializedBytes: bytes) == changed || extreme.contains("NaN"))
                }
            }
        }
        #expect(tried > 400 && refused > 100, "\(tried) tried, \(refused) refused")
    }

    @Test("lists, maps and texts have bounds; an emergency stop has none, for it kills first")
    func sizes() {
        let long = String(repeating: "x", count: MessageBounds.wire.textBytesMax + 1)
        #expect(MessageBounds.wire.fault(in: .with { $0.report.host = long })?.contains("is a text of") == true)
        #expect(MessageBounds.wire.fault(in: .with { $0.report.workers = Array(repeating: WireWorkerReport(), count: 20_000) })?.contains("entries") == true)
        let many = Dictionary(uniqueKeysWithValues: (0..<20_000).map { ("k\($0)", UInt64(1)) })
        #expect(MessageBounds.wire.fault(in: .with { $0.hello.coordinatorEpochs = many })?.contains("entries") == true)
        #expect(MessageBounds.wire.fault(in: .with { $0.emergencyStop.latch.reason = long }) == nil)
        let latch = WireLatch.with {
            $0.id = "a"; $0.reason = long; $0.by = long; $0.signature = long
        }.core(word: .relay("r"))
        #expect(LatchBounds.fault(in: latch) == nil && latch.signature.isEmpty)
    }

    @Test("all that one side can have in force, at the bounds of every latch, fits a frame, and one emergency stop a TLS record")
    func latchSet() throws {
        let name = { (kind: String, number: Int) in kind + String(repeating: "n", count: 63 - kind.count - 3) + "\(100 + number)" }
        var latch = Latch(
            id: String(repeating: "i", count: LatchBounds.idBytesMax), by: String(repeating: "b", count: LatchBounds.byBytesMax),
            reason: String(repeating: "r", count: LatchBounds.reasonBytesMax), unixMicroseconds: .max >> 2,
            scope: LatchScope(everything: true, services: (0..<LatchBounds.namesMax).map { ServiceName(name("s", $0)) }),
            signature: String(repeating: "A", count: LatchBounds.signatureBytesMax))
        #expect(LatchBounds.fault(in: latch) == nil)
        let one: [UInt8] = try WireEnvelope.with { $0.emergencyStop.latch = WireLatch(latch) }.serializedBytes()
        #expect(one.count < 16 << 10, "\(one.count)")
        latch.word = .signed
        let count = LatchWord.signed.inForceMax + LatchWord.relaysInForceMax + LatchWord.host("h").inForceMax
        let hello: [UInt8] = try WireEnvelope.with { $0.hello.latches = WireLatchSet(Array(repeating: latch, count: count)) }.serializedBytes()
        #expect(hello.count < FrameDecoder.helloMax, "\(hello.count)")
    }

    @Test("a frame that would take many times its size in memory is refused before it is decoded")
    func manyFields() throws {
        let bytes: [UInt8] = try WireEnvelope.with { $0.report.workers = Array(repeating: WireWorkerReport(), count: 500_000) }.serializedBytes()
        // An empty group of a field that nobody knows, in front, hides none of them.
        for prefix in [[], [0xA3, 0x06, 0xA4, 0x06]] as [[UInt8]] {
            var decoder = FrameDecoder()
            var frame = TestFleet.allocator.buffer(capacity: bytes.count + 8)
            frame.writeInteger(UInt32(prefix.count + bytes.count))
            frame.writeBytes(prefix + bytes)
            #expect(throws: FrameError.tooManyFields(500_001)) { try decoder.decode(frame) { _, _ in } }
        }
    }
}
