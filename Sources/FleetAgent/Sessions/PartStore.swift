internal import FleetCore
internal import FleetTrust
internal import FleetWire
internal import LinuxHost
internal import SwiftProtobuf

/// This host's part of the inventory on disk: what the agent goes by when no coordinator answers.
enum PartStore {
    struct Fault: Error, CustomStringConvertible {
        let slug: String
        let description: String
    }

    /// A part larger than this is not one: 1,000 workers with long command lines take about 1 MiB.
    static let bytesMax = 4 << 20

    /// Lower-case hex of SHA-256 over the message with an empty digest, maps in the order of their keys.
    static func digest(of part: WireHostPart) throws -> String {
        var bare = part
        bare.digest = ""
        var options = BinaryEncodingOptions()
        options.useDeterministicOrdering = true
        let bytes: [UInt8] = try bare.serializedBytes(options: options)
        return Digest.sha256Hex(bytes)
    }

    /// Refuses a part of another fleet or host, with another digest, or with names and values that can't be.
    static func check(_ part: WireHostPart, fleet: String, host: String) throws {
        guard part.fleet == fleet, part.host == host else {
            throw Fault(
                slug: "wrong-part",
                description: "the part is for \(part.host) of \(part.fleet), this is \(host) of \(fleet). Check the agent's settings and the inventory")
        }
        let digest = try digest(of: part)
        guard digest == part.digest else {
            throw Fault(
                slug: "bad-digest",
                description:
                    "the part's digest is \(digest), it says \(part.digest): it was changed on the way or is from another version. Nothing was taken over")
        }
        var seen: Set<String> = []
        for worker in part.workers {
            // A service names a directory and a file below RUN and STATE.
            guard Self.isFileName(worker.service) else {
                throw Fault(slug: "bad-part", description: "the part names a service \"\(worker.service)\", which can't name a directory")
            }
            guard seen.insert(worker.service).inserted else {
                throw Fault(slug: "bad-part", description: "the part names \(worker.service) twice")
            }
            guard !worker.run.isEmpty else {
                throw Fault(slug: "bad-part", description: "the part gives \(worker.service) nothing to run")
            }
            guard worker.stop.signal.isEmpty || Signals.number(named: worker.stop.signal) != nil else {
                throw Fault(
                    slug: "bad-part", description: "\(worker.service) is to be stopped by a signal \"\(worker.stop.signal)\" that this host doesn't know")
            }
        }
    }

    static func load(_ path: String) throws -> WireHostPart? {
        guard Files.exists(path) else { return nil }
        return try WireHostPart(serializedBytes: Files.read(path, limit: bytesMax))
    }

    static func save(_ part: WireHostPart, to path: String) throws {
        let bytes: [UInt8] = try part.serializedBytes()
        try Files.writeAtomically(path, bytes, mode: 0o600, sync: true)
    }

    private static func isFileName(_ text: String) -> Bool {
        guard let first = text.utf8.first, text.utf8.count <= 63, first != UInt8(ascii: "."), first != UInt8(ascii: "-") else { return false }
        return text.utf8.allSatisfy { (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0) || $0 == 45 || $0 == 46 || $0 == 95 }
    }
}
