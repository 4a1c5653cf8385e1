import FleetCore
import FleetTrust
import Foundation
import Testing

struct StoreKeyTests {
    private let challenge = StoreChallenge(fleet: "demo", host: "ex-1", coordinator: "ctl-1", store: "aaaa", epoch: 3, nonce: "00ff")

    @Test("a proof holds for its key and its challenge, and for no other fleet, host, name, store, epoch or nonce")
    func proves() throws {
        let key = try StoreKey.generate()
        let proof = try key.proof(of: challenge)
        #expect(StoreKey.proves(proof, challenge, publicText: key.publicText))
        let changes: [(inout StoreChallenge) -> Void] = [
            { $0.fleet = "other" }, { $0.host = "ex-2" }, { $0.coordinator = "ctl-2" }, { $0.store = "bbbb" }, { $0.epoch = 4 }, { $0.nonce = "00fe" },
        ]
        for change in changes {
            var other = challenge
            change(&other)
            #expect(!StoreKey.proves(proof, other, publicText: key.publicText), "\(other)")
        }
        #expect(!StoreKey.proves(proof, challenge, publicText: try StoreKey.generate().publicText))
    }

    @Test("what is no key, no signature, or too long proves nothing")
    func garbage() throws {
        let key = try StoreKey.generate()
        let proof = try key.proof(of: challenge)
        for text in ["", "x", "AAAA", proof, String(repeating: "A", count: 4_096)] {
            #expect(!StoreKey.proves(proof, challenge, publicText: text))
            if text != proof { #expect(!StoreKey.proves(text, challenge, publicText: key.publicText)) }
        }
    }

    @Test("the key is made once and kept with mode 0600; one that others may read is refused with what to do")
    func file() throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("store-key-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: directory) }
        let path = directory.appendingPathComponent("store.key").path
        let (made, isNew) = try StoreKey.load(orMakeAt: path)
        #expect(isNew)
        #expect(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int == 0o600)
        let again = try StoreKey.load(orMakeAt: path)
        #expect(!again.isNew && again.key.publicText == made.publicText)
        #expect(StoreKey.proves(try again.key.proof(of: challenge), challenge, publicText: made.publicText))
        try FileManager.default.setAttributes([.posixPermissions: 0o640], ofItemAtPath: path)
        let fault = #expect(throws: TrustError.self) { try StoreKey.load(orMakeAt: path) }
        #expect("\(fault.map { "\($0)" } ?? "")".contains("chmod 0600"))
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: path)
        // A link to nowhere, as a volume that is not mounted leaves it: not absent, and never replaced.
        let link = directory.appendingPathComponent("elsewhere.key").path
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: directory.path + "/nowhere/store.key")
        #expect(throws: TrustError.self) { try StoreKey.load(orMakeAt: link) }
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link).hasSuffix("/nowhere/store.key"))
        try Data("garbage".utf8).write(to: URL(fileURLWithPath: path))
        #expect(throws: TrustError.self) { try StoreKey.load(orMakeAt: path) }
    }
}
