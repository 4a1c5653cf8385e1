import FleetCore
import FleetTrust
import FleetWire
import Foundation
import Glibc
import SwiftProtobuf
import TestSupport
import Testing
import WireImpostors

/// What the holder of a relay's key, or of another coordinator's, can do to agents (REVIEW S4, S5, S6, S8).
@Suite(.serialized) struct StolenCoordinatorTests {
    /// A part that would run a program of the attacker's choice.
    private func part(_ bin: String, for host: String, in fleet: TestFleet) throws -> WireHostPart {
        // As the agent keeps its own: with another program, and the digest left wrong or made anew.
        var part = try WireHostPart(serializedBytes: Data(contentsOf: URL(fileURLWithPath: "\(fleet.directory)/state/\(host)/part.pb")))
        for index in part.workers.indices { part.workers[index].run = [bin + "/torture-worker", "exit", "7"] }
        part.digest = ""
        var options = BinaryEncodingOptions()
        options.useDeterministicOrdering = true
        let bytes: [UInt8] = try part.serializedBytes(options: options)
        part.digest = StolenKeys.sha256(bytes)
        return part
    }

    /// What the thief's welcome says.
    private typealias Lie = @Sendable (WireHello, inout WireWelcome) -> Void

    private static let otherStore: Lie = { _, welcome in
        welcome.relay = false
        welcome.storeID = "feedfeedfeedfeed"
        welcome.epoch = .max >> 2
    }

    /// `inItsPlace`: the thief takes over the coordinator's address; else it stands where the relay would.
    private func attack(
        certificate: String, role: String, limit: String, inItsPlace: Bool = false, lie: @escaping Lie = Self.otherStore,
        prepare: (TestFleet) throws -> Void = { _ in }
    ) async throws {
        let fleet = try TestFleet.startedOfTwo()
        defer { fleet.end() }
        try prepare(fleet)
        let gateway = try fleet.pid("order-gateway")
        if inItsPlace { fleet.coordinator?.killNow() }
        let thief = try await Pretender(
            fleet.keys, certificate: certificate, port: inItsPlace ? fleet.ports.coordinator : fleet.ports.relay, welcome: lie)
        defer { thief.stop() }
        let before = try Data(contentsOf: URL(fileURLWithPath: "\(fleet.directory)/state/ex-1/part.pb"))
        let forged = try part(TestFleet.bin, for: "ex-1", in: fleet)
        try thief.say(to: "ex-1") { $0.part = forged }
        for what in [
            WireCommand.OneOf_What.stop(WireStopWorker()), .start(WireEmpty()), .resume(WireEmpty()), .unlock(WireEmpty()), .lock(WireEmpty()),
            .holdRelease(.with { $0.kill = true }), .layout(.with { $0.what = .apply }), .remark(.with { $0.text = "x" }),
        ] {
            let answer = try #require(try thief.order("ex-1", "order-gateway", what), "no answer to \(what): \(fleet.logs)")
            #expect(answer.outcome == .refused && answer.slug == limit, "\(what): \(answer)")
        }
        #expect(isAlive(gateway))
        #expect(try Data(contentsOf: URL(fileURLWithPath: "\(fleet.directory)/state/ex-1/part.pb")) == before)
        #expect(
            fleet.agents["ex-1"]?.log.contains("refused") == true
                && fleet.agents["ex-1"]?.log.contains(certificate.replacing("\(role)-", with: "\(role)/")) == true)
        // An emergency stop it may set; a release of its own making counts for nothing.
        try thief.say(to: "ex-1") { envelope in
            envelope.emergencyStop.latch = .with {
                $0.id = "thiefs"; $0.by = "operator/alice"; $0.reason = "a thief may stop"; $0.unixUs = 1; $0.scope.services = ["order-gateway"]
            }
        }
        #expect(eventually(within: 5) { !isAlive(gateway) })
        // Nor one that is dressed up as an order to stop.
        try thief.say(to: "ex-1") { envelope in
            envelope.emergencyStop.latch = .with {
                $0.id = "thiefs"; $0.released = true; $0.releasedBy = "operator/alice"; $0.releaseReason = "forged"; $0.scope.hosts = ["nobody"]
            }
        }
        // One from the end of time is kept from today, so that it can be told and released.
        try thief.say(to: "ex-1") { envelope in
            envelope.emergencyStop.latch = .with {
                $0.id = "late"; $0.by = "x"; $0.unixUs = .max; $0.scope.services = ["nothing-of-that-name"]
            }
        }
        try thief.say(to: "ex-1") { envelope in
            envelope.latches.latches = [
                .with {
                    $0.id = "thiefs"; $0.released = true; $0.releasedBy = "operator/alice"; $0.releaseReason = "forged"; $0.releaseSignature = "MIIB"
                }
            ]
        }
        #expect(eventually(within: 5) { fleet.agents["ex-1"]?.log.contains("nobody who may has signed it") == true }, "\(fleet.logs)")
        // Signed with the thief's own key, a coordinator's perhaps: still nobody who may.
        var own = WireLatch.with {
            $0.id = "thiefs"; $0.released = true; $0.releasedBy = "operator/alice"; $0.releaseReason = "forged"; $0.releasedUnixUs = 5
        }
        own.releaseSignature = try fleet.keys.signRelease(own, by: certificate)
        let signed = own
        try thief.say(to: "ex-1") { $0.latches.latches = [signed] }
        func refusals() -> Int { (fleet.agents["ex-1"]?.log ?? "").components(separatedBy: "nobody who may has signed it").count - 1 }
        #expect(eventually(within: 10) { refusals() == 2 }, "\(fleet.logs)")
        #expect(try fleet.trading("start", "order-gateway", "--reason", "too early").status != 0)
        // The true coordinator is followed as before, through its restart too, and an operator's release is taken.
        if inItsPlace { thief.stop() } else { fleet.coordinator?.killNow() }
        try fleet.startCoordinator()
        #expect(try eventually(within: 30) { try fleet.reportingHosts() == 2 }, "\(fleet.logs)")
        #expect(
            try eventually(within: 10) { try fleet.latches.contains { $0["id"] as? String == "thiefs" } }, "what holds on a host is shown: \(fleet.logs)")
        #expect(try fleet.trading("--via", "ctl-1", "emergency-stop", "release", "--reason", "a thief set it").status == 0, "\(fleet.logs)")
        #expect(try eventually(within: 20) { try fleet.trading("start", "order-gateway", "--reason", "again").status == 0 }, "\(fleet.logs)")
        #expect(try fleet.hostStatuses().allSatisfy { ($0["refuses"] as? String ?? "").isEmpty })
    }

    @Test("a relay's key that plays a full coordinator with an absurd epoch gives no part, no order and no release, and locks nobody out")
    func relay() async throws {
        try await attack(certificate: "relay-ctl-2", role: "relay", limit: "not-here")
    }

    @Test("a second full coordinator with another store is refused by name; hosts go on following theirs")
    func secondCoordinator() async throws {
        try await attack(certificate: "coordinator-ctl-9", role: "coordinator", limit: "other-coordinator", prepare: { try $0.issue("coordinator", "ctl-9") })
    }

    /// How somebody without a store's private key could pretend to have it.
    enum FalseProof: String, CaseIterable, Sendable { case none, pinnedKeyAlone, ownKey, pinnedKeyWithOwnProof, otherNonce }

    @Test(
        "the coordinator's own key at its own address, with the store, epoch and key that agents tell, is not followed: it can't prove the store",
        arguments: FalseProof.allCases)
    func takenOver(kind: FalseProof) async throws {
        let forged = try StoreKey.generate()
        try await attack(certificate: "coordinator-ctl-1", role: "coordinator", limit: "other-coordinator", inItsPlace: true) { hello, welcome in
            welcome.storeID = hello.pin.storeID
            welcome.epoch = hello.pin.epoch + 1
            let challenge = StoreChallenge(
                fleet: FleetName(hello.fleet), host: HostName(hello.host), coordinator: welcome.coordinator, store: welcome.storeID,
                epoch: welcome.epoch, nonce: kind == .otherNonce ? "00" : hello.storeNonce)
            if kind != .none { welcome.storeKey = [.ownKey, .otherNonce].contains(kind) ? forged.publicText : hello.pin.storeKey }
            guard ![.none, .pinnedKeyAlone].contains(kind) else { return }
            do { welcome.storeProof = try forged.proof(of: challenge) } catch { Issue.record("\(error)") }
        }
    }

    @Test("a signed emergency stop that finds no room among a relay's is in force once its signature was looked at; an unsigned one is not")
    func signedWithoutRoom() async throws {
        let fleet = try TestFleet.startedOfTwo()
        defer { fleet.end() }
        let gateway = try fleet.pid("order-gateway")
        let relay = try await Pretender(fleet.keys, certificate: "relay-ctl-2", port: fleet.ports.relay) { _, welcome in welcome.relay = true }
        defer { relay.stop() }
        let now = UInt64(Date().timeIntervalSince1970 * 1e6)
        for number in 0..<LatchWord.relay("ctl-2").inForceMax {
            try relay.say(to: "ex-1") { envelope in
                envelope.emergencyStop.latch = .with {
                    $0.id = "filler-\(number)"; $0.by = "x"; $0.reason = "filler"; $0.unixUs = now; $0.scope.services = ["nothing-\(number)"]
                }
            }
        }
        for (id, isSigned) in [("unsigned", false), ("signed", true)] {
            var latch = WireLatch.with {
                $0.id = id; $0.by = "operator/alice"; $0.reason = "real"; $0.unixUs = now; $0.scope.services = ["order-gateway"]
            }
            if isSigned { latch.signature = try fleet.keys.sign(latch, by: "operator-alice") }
            let said = latch
            try relay.say(to: "ex-1") { $0.emergencyStop.latch = said }
        }
        #expect(eventually(within: 5) { !isAlive(gateway) })
        #expect(eventually(within: 5) { fleet.agents["ex-1"]?.log.contains("the emergency stop signed from") == true }, "\(fleet.logs)")
        #expect(
            try eventually(within: 10) { try fleet.latches.contains { $0["id"] as? String == "signed" && $0["word"] as? String == "signed" } }, "\(fleet.logs)")
        #expect(try !fleet.latches.contains { $0["id"] as? String == "unsigned" })
    }

    @Test("a coordinator whose store.key is lost is followed again by an operator's signed succession")
    func lostKey() throws {
        let fleet = try TestFleet.startedOfTwo()
        defer { fleet.end() }
        fleet.coordinator?.killNow()
        try FileManager.default.removeItem(atPath: "\(fleet.directory)/state/ctl-1/store.key")
        try fleet.startCoordinator()
        #expect(eventually(within: 10) { fleet.coordinator?.log.contains("it was gone; a new one was made") == true }, "\(fleet.logs)")
        #expect(try eventually(within: 30) { try fleet.reportingHosts() == 2 }, "\(fleet.logs)")
        let refused = try fleet.trading("stop", "--all", "--reason", "too early")
        #expect(refused.status == 3 && refused.text.contains("[other-coordinator]") && refused.text.contains("store.key"), "\(refused.text)")
        #expect(try fleet.trading("coordinator", "succeed", "--yes", "--reason", "the key was lost").status == 0)
        #expect(try eventually(within: 20) { try fleet.hostStatuses().allSatisfy { ($0["refuses"] as? String ?? "").isEmpty && $0["known"] as? Bool == true } })
        #expect(try fleet.trading("restart", "order-gateway", "--reason", "test").status == 0, "\(fleet.logs)")
    }

    @Test("a coordinator that lost its disk is a stranger until an operator's signed succession, which hosts take once, or a person on the host decides")
    func succession() throws {
        let fleet = try TestFleet.startedOfTwo()
        defer { fleet.end() }
        let old = try #require(try fleet.status()["store_id"] as? String)
        fleet.coordinator?.killNow()
        try FileManager.default.removeItem(atPath: "\(fleet.directory)/state/ctl-1")
        try fleet.startCoordinator()
        #expect(try eventually(within: 30) { try fleet.reportingHosts() == 2 }, "\(fleet.logs)")
        let new = try #require(try fleet.status()["store_id"] as? String)
        #expect(new != old)
        let refused = try fleet.trading("stop", "--all", "--reason", "too early")
        #expect(refused.status == 3 && refused.text.contains("[other-coordinator]") && refused.text.contains("succeed"), "\(refused.text)")
        let status = try fleet.trading("status", "ex-1")
        #expect(status.text.contains("follows    coordinator ctl-1, store \(old)"), "\(status.text)")
        // Whoever can't sign can't: on the Unix socket nobody has a key.
        let succeeded = try fleet.trading("coordinator", "succeed", "--yes", "--reason", "the disk was lost")
        #expect(succeeded.status == 0, "\(succeeded.text)")
        #expect(
            try eventually(within: 20) { try fleet.hostStatuses().allSatisfy { ($0["refuses"] as? String ?? "").isEmpty && $0["known"] as? Bool == true } },
            "\(fleet.logs)")
        let pinned = try fleet.audit("ex-1").filter { $0["event"] as? String == "COORDINATOR_PINNED" }
        #expect(pinned.contains { $0["by"] as? String == "operator/alice" && ($0["fields"] as? [String: Any])?["how"] as? String == "succession" }, "\(pinned)")
        #expect(try fleet.trading("restart", "order-gateway", "--reason", "test").status == 0, "\(fleet.logs)")
        #expect(try eventually(within: 10) { try fleet.state("order-gateway") == "RUNNING" }, "\(fleet.logs)")

        // Lost again; on one host a person decides, the other goes on following.
        fleet.coordinator?.killNow()
        try FileManager.default.removeItem(atPath: "\(fleet.directory)/state/ctl-1")
        try fleet.startCoordinator()
        #expect(try eventually(within: 30) { try fleet.reportingHosts() == 2 }, "\(fleet.logs)")
        let third = try #require(try fleet.status()["store_id"] as? String)
        let wrong = try fleet.local("ex-1", "coordinator", "accept", "not a store", "--reason", "x")
        #expect(wrong.status == 2, "\(wrong.text)")
        let unseen = try fleet.local("ex-1", "coordinator", "accept", "zzz", "--reason", "a slip")
        #expect(unseen.status == 3 && unseen.text.contains(third) && unseen.text.contains("--unseen"), "\(unseen.text)")
        #expect(try fleet.local("ex-1", "coordinator", "accept", third, "--reason", "the disk was lost again").status == 0)
        func refuses(_ host: String) throws -> Bool {
            let found = try fleet.hostStatuses().first { $0["host"] as? String == host && $0["known"] as? Bool == true }
            return !(found?["refuses"] as? String ?? "").isEmpty || found == nil
        }
        #expect(try eventually(within: 20) { try !refuses("ex-1") }, "\(fleet.logs)")
        #expect(try refuses("st-1"))
        // It outlives the agent.
        fleet.agents["ex-1"]?.killNow()
        try fleet.startAgent("ex-1")
        #expect(try eventually(within: 20) { try !refuses("ex-1") }, "\(fleet.logs)")
    }

    @Test("a start for a host in a restricted session is refused at once with the reason, and a stop goes on")
    func restricted() throws {
        let fleet = try TestFleet.startedOfTwo()
        defer { fleet.end() }
        fleet.agents["ex-1"]?.killNow()
        try fleet.keys.issueExpired("agent", "ex-1")
        try fleet.startAgent("ex-1")
        #expect(try eventually(within: 30) { try fleet.reportingHosts() == 2 }, "\(fleet.logs)")
        #expect(try fleet.trading("stop", "order-gateway", "--reason", "test").status == 0, "\(fleet.logs)")
        let began = ContinuousClock.now
        let start = try fleet.trading("start", "order-gateway", "--reason", "test")
        #expect(start.status == 3 && start.text.contains("[restricted]") && start.text.contains("out of date"), "\(start.text)")
        #expect(began.duration(to: .now) < .seconds(15))
        let lock = try fleet.trading("lock", "order-gateway", "--reason", "test")
        #expect(lock.status == 3 && lock.text.contains("[restricted]"), "\(lock.text)")
    }
}
