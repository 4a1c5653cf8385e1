internal import FleetCore
internal import FleetTrust
internal import LinuxHost

/// Latches on the tmpfs and on the disk, one file each, so that they outlive this agent; either place may fail (law 7).
///
/// Blocking: called from the files thread, and from the loop only for the tmpfs right before a launch.
enum LatchFiles {
    /// A latch file larger than this is not one.
    static let bytesMax = 64 << 10

    /// Writes to every directory it can; returns what failed, one sentence each.
    static func write(_ latch: Latch, to directories: [(path: String, sync: Bool)]) -> [String] {
        var problems: [String] = []
        let bytes = Array(encode(latch).text.utf8) + [UInt8(ascii: "\n")]
        for directory in directories {
            do {
                try Files.makeDirectory(directory.path, mode: 0o755)
                try Files.writeAtomically("\(directory.path)/\(fileName(latch.id))", bytes, mode: 0o644, sync: directory.sync)
            } catch {
                problems.append("latch \(latch.id) could not be kept in \(directory.path): \(error)")
            }
        }
        return problems
    }

    /// Every latch found in a directory; one that can't be read is reported, never honoured nor removed.
    static func read(_ directory: String) -> (latches: [Latch], problems: [String]) {
        guard Files.exists(directory) else { return ([], []) }
        var latches: [Latch] = []
        var problems: [String] = []
        do {
            for name in try Files.list(directory) where !name.hasPrefix(".") {
                let path = "\(directory)/\(name)"
                do {
                    guard let latch = decode(try JSON.parse(Files.read(path, limit: bytesMax))) else {
                        problems.append("\(path) is not a latch: it lacks an id. Look at it and remove it")
                        continue
                    }
                    latches.append(latch)
                } catch {
                    problems.append("cannot read the latch \(path): \(error). Look at it and remove it")
                }
            }
        } catch {
            problems.append("cannot look for latches in \(directory): \(error)")
        }
        return (latches, problems)
    }

    /// The id itself where it can name a file, else its digest.
    static func fileName(_ id: String) -> String {
        let plain = !id.isEmpty && id.utf8.count <= 60 && !id.hasPrefix(".")
            && id.utf8.allSatisfy { (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0) || $0 == 45 || $0 == 46 || $0 == 95 }
        return plain ? id : "sha256-" + Digest.sha256Hex(id.utf8).prefix(40)
    }

    static func encode(_ latch: Latch) -> JSON {
        func list(_ items: [String]) -> JSON { .array(items.map { .string($0) }) }
        var members: [JSON.Member] = [
            JSON.Member("id", .string(latch.id)), JSON.Member("by", .string(latch.by)), JSON.Member("reason", .string(latch.reason)),
            JSON.Member("unix_us", .int(latch.unixMicroseconds)),
            JSON.Member(
                "scope",
                .object([
                    JSON.Member("everything", .bool(latch.scope.everything)), JSON.Member("tiers", list(latch.scope.tiers.map(\.raw))),
                    JSON.Member("hosts", list(latch.scope.hosts.map(\.raw))), JSON.Member("services", list(latch.scope.services.map(\.raw))),
                ])),
            JSON.Member("released", .bool(latch.release != nil)),
        ]
        if let release = latch.release {
            members += [
                JSON.Member("released_by", .string(release.by)), JSON.Member("release_reason", .string(release.reason)),
                JSON.Member("released_unix_us", .int(release.unixMicroseconds)),
            ]
        }
        return .object(members)
    }

    static func decode(_ json: JSON) -> Latch? {
        guard let id = json["id"]?.stringValue, !id.isEmpty else { return nil }
        func list(_ key: String) -> [String] { json["scope"]?[key]?.items?.compactMap(\.stringValue) ?? [] }
        let scope = LatchScope(
            everything: json["scope"]?["everything"]?.boolValue ?? false, tiers: list("tiers").map { TierName($0) },
            hosts: list("hosts").map { HostName($0) }, services: list("services").map { ServiceName($0) })
        var release: Latch.Release?
        if json["released"]?.boolValue == true {
            release = Latch.Release(
                by: json["released_by"]?.stringValue ?? "", reason: json["release_reason"]?.stringValue ?? "",
                unixMicroseconds: json["released_unix_us"]?.uintValue ?? 0)
        }
        return Latch(
            id: id, by: json["by"]?.stringValue ?? "", reason: json["reason"]?.stringValue ?? "",
            unixMicroseconds: json["unix_us"]?.uintValue ?? 0, scope: scope, release: release)
    }
}
