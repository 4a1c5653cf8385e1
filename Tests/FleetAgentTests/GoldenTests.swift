import FleetCore
import FleetJournal
import FleetWire
import LinuxHost
import NIOCore
import SwiftProtobuf
import TestSupport
import Testing

@testable import FleetAgent
@testable import FleetCoordinator

/// What earlier versions wrote and said, recorded by Tests/Fixtures/golden/record: journals are read for ever, agents and coordinators pair with
/// versions before them.
struct GoldenTests {
    /// By the commit that was recorded.
    static let versions = ["55b5850", "1e5fdd2"]
    static let hosts = ["md-1", "md-2", "st-1", "ex-1"]

    private static func path(_ version: String, _ file: String) -> String { "\(Program.root)/Tests/Fixtures/golden/\(version)/\(file)" }

    private static func bytes(_ version: String, _ file: String) throws -> [UInt8] { try Files.read(path(version, file), limit: 16 << 20) }

    /// Lines without their hashes.
    private static func payloads(_ version: String, _ name: String) throws -> [[UInt8]] {
        try bytes(version, "journals/\(name)").split(separator: 10).map { Array($0.dropFirst(65)) }
    }

    private static func records(_ version: String, _ name: String) throws -> [AuditRecord] {
        try payloads(version, name).map { try AuditRecord(json: $0) }
    }

    @Test("a journal of an earlier version is intact, and each of its records is known, read and written the same to the byte", arguments: versions)
    func journals(version: String) throws {
        for name in Self.hosts + ["ctl-1"] {
            let report = try JournalVerifier.verify(Self.path(version, "journals/\(name)"))
            #expect(report.isIntact, "\(report.text)")
            for payload in try Self.payloads(version, name) {
                let record = try AuditRecord(json: payload)
                #expect(record.json() == payload, "\(name): \(String(decoding: payload, as: UTF8.self))")
                #expect(record.known != nil, "\(name): \(record.event)")
            }
        }
    }

    @Test("an agent's journal of an earlier version says what became of its worker", arguments: versions)
    func agentsFold(version: String) throws {
        for (host, service, launches) in [
            ("md-1", "exchange-to-redis", 2), ("md-2", "redis-to-questdb", 1), ("st-1", "strategy", 1), ("ex-1", "order-gateway", 1),
        ] {
            let records = try Self.records(version, host)
            let fold = AgentJournalFold(records)
            #expect(fold.bootID == records.first?["boot_id"] && fold.partFrom == "ctl-1")
            let worker = try #require(fold.workers[service], "\(host): \(fold.workers.keys)")
            #expect(fold.workers.count == 1 && !worker.open && !worker.stopping && worker.failed == nil && worker.lock == nil)
            #expect(worker.exit?.how == .exited(0) && worker.wanted?.isUp == false && worker.wanted?.by == "operator/alice" && worker.wanted?.reason == "close")
            #expect(records.count { $0.known == .workerStart } == launches)
            #expect(worker.remark?.text == (host == "ex-1" ? "new line card on Monday" : nil))
            // The last stop's records are kept with its id: a repeated command is answered with them.
            let stop = try #require(records.last { $0.known == .workerSignal }?["op"])
            #expect(fold.operations[stop]?.contains { $0.event == AuditEvent.workerStop.rawValue } == true)
        }
    }

    @Test("a coordinator's journal of an earlier version says what its runs came to and which latches hold", arguments: versions)
    func coordinatorsFold(version: String) throws {
        let fold = CoordinatorFold(try Self.records(version, "ctl-1"))
        #expect(fold.epoch == 2 && fold.storeID.count == 16 && fold.latches.inForce.isEmpty)
        #expect(fold.lastRun == 5 && fold.runs.keys.sorted() == [1, 2, 3, 4, 5])
        #expect((1...5).map { fold.runs[$0]?.kind } == ["start", "quiesce", "resume", "start", "stop"])
        #expect(fold.runs.values.allSatisfy { $0.ended != nil && $0.failed == nil && $0.by == "operator/alice" })
        #expect(fold.runs[5]?.verdict == "proven" && fold.runs[5]?.reason == "close")
    }

    /// Every frame of one direction, in order.
    private static func frames(_ version: String, _ file: String) throws -> [WireEnvelope] {
        var decoder = FrameDecoder()
        var frames: [WireEnvelope] = []
        try decoder.decode(ByteBuffer(bytes: try bytes(version, "wire/\(file)"))) { envelope, _ in frames.append(envelope) }
        return frames
    }

    private static func connections(_ version: String) throws -> [String] {
        try Files.list(path(version, "wire")).filter { $0.hasSuffix(".up") }.map { String($0.dropLast(3)) }
    }

    private static func kinds(_ frames: [WireEnvelope]) -> Set<String> {
        Set(frames.compactMap { frame in frame.body.map { String("\($0)".prefix { $0 != "(" }) } })
    }

    @Test("every frame that an earlier version sent is understood, and nothing of it is lost when it is passed on", arguments: versions)
    func frames(version: String) throws {
        var kinds: (up: Set<String>, down: Set<String>) = ([], [])
        for connection in try Self.connections(version) {
            for direction in ["up", "down"] {
                let frames = try Self.frames(version, "\(connection).\(direction)")
                for frame in frames {
                    let bytes: [UInt8] = try frame.serializedBytes()
                    #expect(try WireEnvelope(serializedBytes: bytes) == frame && frame.unknownFields.data.isEmpty, "\(connection).\(direction)")
                    #expect(frame.body != nil, "\(connection).\(direction) has a frame of no known kind")
                }
                if direction == "up" { kinds.up.formUnion(Self.kinds(frames)) } else { kinds.down.formUnion(Self.kinds(frames)) }
            }
        }
        #expect(kinds.up.isSuperset(of: ["hello", "heartbeat", "report", "result", "latches", "logChunk"]), "\(kinds.up)")
        #expect(kinds.down.isSuperset(of: ["welcome", "heartbeat", "part", "command", "latches", "emergencyStop", "logRequest"]), "\(kinds.down)")
    }

    @Test("a part of the inventory by an earlier coordinator passes the check of this agent, and declares its workers", arguments: versions)
    func parts(version: String) throws {
        var hosts: Set<String> = []
        for connection in try Self.connections(version) {
            for frame in try Self.frames(version, "\(connection).down") {
                guard case .part(let part)? = frame.body else { continue }
                hosts.insert(part.host)
                try PartStore.check(part, fleet: "demo", host: part.host)
                let paths = AgentPaths(state: "/state", run: "/run")
                for spec in part.workers { #expect(WorkerDeclaration(spec, paths: paths).spec.run.first == "trading-demo") }
            }
        }
        #expect(hosts == ["md-2", "ex-1"])
    }

    @Test("reports and answers of an earlier agent tell this coordinator how its worker went", arguments: versions)
    func reports(version: String) throws {
        for (host, service) in [("md-2", "redis-to-questdb"), ("ex-1", "order-gateway")] {
            let frames = try Self.connections(version).filter { $0.hasPrefix(host) }.flatMap { try Self.frames(version, "\($0).up") }
            let states = frames.compactMap { frame -> WireWorkerState? in
                guard case .report(let report)? = frame.body else { return nil }
                return report.workers.first { $0.service == service }?.state
            }
            #expect(states.contains(.running) && states.last == .stopped, "\(host): \(states)")
            let done = frames.compactMap { frame -> RunReply.Done? in
                guard case .result(let result)? = frame.body, case .done(let done) = RunReply(result, host: HostName(host)) else { return nil }
                return done
            }
            #expect(!done.isEmpty, "\(host) has done nothing")
        }
    }
}
