internal import FleetCore
internal import FleetTrust
internal import Glibc
internal import LinuxHost

/// Latches on the tmpfs and on the disk, one file each, so that they outlive this agent; either place may fail (law 7).
///
/// Blocking: called from the files thread, and from the loop only for the tmpfs right before a launch.
enum LatchFiles {
    /// Makes a directory where it is missing; returns why it can't, in one sentence.
    static func make(_ directory: String) -> String? {
        do {
            try Files.makeDirectory(directory)
            return nil
        } catch {
            return "no emergency stop could be kept in \(directory): \(LinuxError.text(error.errno)). It would hold all the same"
        }
    }

    /// Writes to every directory it can; returns what failed, one sentence each.
    ///
    /// A release that another side has written there meanwhile is left: nothing takes a release back.
    static func write(_ latch: Latch, to directories: [(path: String, sync: Bool)]) -> [String] {
        let file = LatchFile(latch)
        var problems: [String] = []
        for directory in directories {
            if let kept = kept(latch.id, in: directory.path), kept == latch || (kept.release != nil && latch.release == nil) { continue }
            do {
                try file.write(directory: directory.path, sync: directory.sync)
            } catch {
                // Without the error's object, a temporary name that differs each time: this is said once, not once a second.
                problems.append(
                    "the latch \(latch.id) can't be kept in \(directory.path): \(LinuxError.text(error.errno)). It holds all the same; make room there")
            }
        }
        return problems
    }

    /// Returns what could not be removed, one sentence each.
    static func remove(_ latches: [Latch], from directory: String) -> [String] {
        latches.filter { LatchFile.isValid(id: $0.id) }.compactMap { latch in
            do {
                try Files.remove("\(directory)/\(latch.id)")
                return nil
            } catch {
                return "\(error)"
            }
        }
    }

    /// One latch as it stands in a directory; nil where there is none that can be read, which is then written anew.
    private static func kept(_ id: String, in directory: String) -> Latch? {
        guard LatchFile.isValid(id: id) else { return nil }
        do {
            return try LatchFile(JSON.parse(Files.read("\(directory)/\(id)", limit: bytesMax)))?.latch
        } catch {
            return nil
        }
    }

    /// Names of many services fit; what is larger is no latch.
    private static let bytesMax = 1 << 20

    /// Every latch found in a directory; one that can't be read is reported, never removed.
    static func read(_ directory: String) -> (latches: [Latch], problems: [String]) {
        do {
            let (files, unreadable) = try LatchFile.all(in: directory)
            return (files.map(\.latch), unreadable.map { "\($0). It may be an emergency stop in force: look at it" })
        } catch {
            return ([], ["cannot look for latches: \(error)"])
        }
    }

    /// The id itself where it can be a word and a file's name, else its digest.
    static func word(_ id: String) -> String {
        LatchFile.isValid(id: id) ? id : "sha256-" + Digest.sha256Hex(id.utf8).prefix(40)
    }
}

extension LatchFile {
    init(_ latch: Latch) {
        self.init(
            id: latch.id, by: latch.by, reason: latch.reason, unixMicroseconds: latch.unixMicroseconds,
            scope: Scope(
                everything: latch.scope.everything, tiers: latch.scope.tiers.map(\.raw), hosts: latch.scope.hosts.map(\.raw),
                services: latch.scope.services.map(\.raw)),
            released: latch.release != nil, releasedBy: latch.release?.by ?? "", releaseReason: latch.release?.reason ?? "",
            releasedUnixMicroseconds: latch.release?.unixMicroseconds ?? 0, signature: latch.signature,
            releaseSignature: latch.release?.signature ?? "", word: latch.word.description)
    }

    var latch: Latch {
        Latch(
            id: id, by: LatchBounds.author(by), reason: LatchBounds.reason(reason), unixMicroseconds: unixMicroseconds,
            scope: LatchScope(
                everything: scope.everything, tiers: scope.tiers.map { TierName($0) }, hosts: scope.hosts.map { HostName($0) },
                services: scope.services.map { ServiceName($0) }),
            release: released
                ? Latch.Release(
                    by: LatchBounds.author(releasedBy), reason: LatchBounds.reason(releaseReason), unixMicroseconds: releasedUnixMicroseconds,
                    signature: releaseSignature) : nil,
            // Files of older programs have no word: what names this host alone was set here.
            signature: signature, word: LatchWord(word) ?? (scope.hosts == [Scope.thisHost] ? .host("") : .coordinator("")))
    }
}
