package import FleetCore
internal import Glibc

/// An emergency stop in force, or one that was released, as a file of its own: `latch/ID` in the run directory and in
/// the state directory.
///
/// The same JSON as the API prints for a latch: members at their default value may be missing.
package struct LatchFile: Equatable, Sendable {
    package struct Scope: Equatable, Sendable {
        /// Also what the inventory spares.
        package var everything: Bool
        /// All lists empty: what the inventory's emergency_stop kills.
        package var tiers: [String]
        package var hosts: [String]
        /// In `hosts`, for the host that the file lies on: whoever sets a latch with the agent dead need not know its name.
        package static let thisHost = "."
        package var services: [String]

        package init(everything: Bool = false, tiers: [String] = [], hosts: [String] = [], services: [String] = []) {
            self.everything = everything
            self.tiers = tiers
            self.hosts = hosts
            self.services = services
        }

        /// Hosts and tiers narrow what the inventory kills; what it spares is covered only with `everything`, or when the
        /// service itself is named. The same rule as FleetCore's `LatchScope`.
        ///
        /// A service that nothing is known of is covered: it may be the one that trades. `host` nil: the scope's hosts
        /// have been looked at already.
        package func covers(service: String, note: ServiceNote?, host: String?) -> Bool {
            if let host, !hosts.isEmpty, !hosts.contains(host), !hosts.contains(Self.thisHost) { return false }
            if services.contains(service) { return true }
            guard let note else { return services.isEmpty }
            let named = (tiers.isEmpty && services.isEmpty) || tiers.contains(note.tier)
            return named && (everything || note.emergencyKilled)
        }
    }

    package var id: String
    package var by: String
    package var reason: String
    package var unixMicroseconds: UInt64
    package var scope: Scope
    package var released: Bool
    package var releasedBy: String
    package var releaseReason: String
    package var releasedUnixMicroseconds: UInt64
    /// Base64; empty: not signed.
    package var signature: String
    package var releaseSignature: String
    /// On whose word it is held, as `LatchWord` writes it; empty in files of older programs.
    package var word: String

    package init(
        id: String, by: String, reason: String, unixMicroseconds: UInt64, scope: Scope = Scope(), released: Bool = false,
        releasedBy: String = "", releaseReason: String = "", releasedUnixMicroseconds: UInt64 = 0, signature: String = "",
        releaseSignature: String = "", word: String = ""
    ) {
        self.id = id
        self.by = by
        self.reason = reason
        self.unixMicroseconds = unixMicroseconds
        self.scope = scope
        self.released = released
        self.releasedBy = releasedBy
        self.releaseReason = releaseReason
        self.releasedUnixMicroseconds = releasedUnixMicroseconds
        self.signature = signature
        self.releaseSignature = releaseSignature
        self.word = word
    }

    /// It becomes a file's name and a word of the shim's protocol.
    package static func isValid(id: String) -> Bool { LatchBounds.isValid(id: id) }

    // MARK: JSON

    package var json: JSON {
        var members: [JSON.Member] = []
        func add(_ key: String, _ value: String) { if !value.isEmpty { members.append(JSON.Member(key, .string(value))) } }
        func add(_ key: String, _ value: UInt64) { if value != 0 { members.append(JSON.Member(key, .int(value))) } }
        add("id", id)
        add("by", by)
        add("reason", reason)
        add("unix_us", unixMicroseconds)
        var scoped: [JSON.Member] = []
        if scope.everything { scoped.append(JSON.Member("everything", .bool(true))) }
        for (key, list) in [("tiers", scope.tiers), ("hosts", scope.hosts), ("services", scope.services)] where !list.isEmpty {
            scoped.append(JSON.Member(key, .array(list.map { .string($0) })))
        }
        members.append(JSON.Member("scope", .object(scoped)))
        if released { members.append(JSON.Member("released", .bool(true))) }
        add("released_by", releasedBy)
        add("release_reason", releaseReason)
        add("released_unix_us", releasedUnixMicroseconds)
        add("signature", signature)
        add("release_signature", releaseSignature)
        add("word", word)
        return .object(members)
    }

    /// nil: no latch (no valid id).
    package init?(_ json: JSON) {
        guard let id = json["id"]?.stringValue, Self.isValid(id: id) else { return nil }
        func list(_ key: String) -> [String] { json["scope"]?[key]?.items?.compactMap(\.stringValue) ?? [] }
        // Protobuf's JSON allows 64-bit integers as strings too.
        func number(_ key: String) -> UInt64 { json[key]?.uintValue ?? json[key]?.stringValue.flatMap { UInt64($0) } ?? 0 }
        self.init(
            id: id, by: json["by"]?.stringValue ?? "", reason: json["reason"]?.stringValue ?? "",
            unixMicroseconds: number("unix_us"),
            scope: Scope(
                everything: json["scope"]?["everything"]?.boolValue ?? false, tiers: list("tiers"), hosts: list("hosts"),
                services: list("services")),
            released: json["released"]?.boolValue ?? false, releasedBy: json["released_by"]?.stringValue ?? "",
            releaseReason: json["release_reason"]?.stringValue ?? "", releasedUnixMicroseconds: number("released_unix_us"),
            signature: json["signature"]?.stringValue ?? "", releaseSignature: json["release_signature"]?.stringValue ?? "",
            word: json["word"]?.stringValue ?? "")
    }

    // MARK: Files

    /// `sync` on a disk, not on a tmpfs.
    package func write(directory: String, sync: Bool) throws(LinuxError) {
        guard Self.isValid(id: id) else { throw LinuxError("keep the latch", id, errno: EINVAL, detail: "no valid latch id") }
        let parent = Files.split(directory).directory
        let owner = geteuid() == 0 ? try FileStatus.read(parent) : nil
        let isNew = try FileStatus.read(directory) == nil
        try Files.makeDirectory(directory)
        let path = "\(directory)/\(id)"
        try Files.writeAtomically(path, Array(json.text.utf8) + [10], mode: 0o640, sync: sync)
        // Whom the directories belong to is the agent's user, who must be able to read what root has set.
        guard let owner, owner.user != 0 else { return }
        if isNew { try Files.give(directory, user: owner.user, group: owner.group) }
        try Files.give(path, user: owner.user, group: owner.group)
    }

    /// Every latch kept in a directory.
    ///
    /// A file that can't be read is reported, not skipped: it may be a latch in force.
    package static func all(in directory: String) throws(LinuxError) -> (latches: [LatchFile], unreadable: [LinuxError]) {
        var latches: [LatchFile] = []
        var unreadable: [LinuxError] = []
        for name in try Files.listIfPresent(directory) where !name.hasPrefix(".") {
            let path = "\(directory)/\(name)"
            do {
                let bytes = try Files.read(path, limit: 1 << 20)
                guard let latch = LatchFile(try JSON.parse(bytes)), latch.id == name else {
                    throw LinuxError("understand", path, errno: EINVAL, detail: "it is no latch of that name")
                }
                latches.append(latch)
            } catch let error as LinuxError {
                unreadable.append(error)
            } catch {
                unreadable.append(LinuxError("understand", path, errno: EINVAL, detail: "\(error)"))
            }
        }
        return (latches, unreadable)
    }
}
