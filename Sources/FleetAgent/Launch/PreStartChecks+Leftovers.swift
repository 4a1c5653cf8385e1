internal import FleetCore
internal import Glibc
internal import LinuxHost

/// What an earlier launch may have left in the way.
extension PreStartChecks {
    func leftovers() throws(Problem) -> [String] {
        var warnings: [String] = []
        for path in release.lockFiles {
            guard let status = try told({ () throws(LinuxError) in try FileStatus.read(path) }) else { continue }
            throw Problem(
                slug: "leftovers",
                what: "its lock file \(path) is there, left \(Self.time(status.modified)) by \(Account.name(of: status.user) ?? "uid \(status.user)")",
                then: "Make sure that nothing uses it, remove it (rm \(path)), then: trading start \(service)")
        }
        if let path = release.pidFile { warnings += try workersOwn(path) }
        warnings += try ours()
        if let mount = release.hugepageMount, !sharesMount {
            let left = try files(below: mount).filter { !isKept($0.name) }
            if !left.isEmpty {
                throw Problem(
                    slug: "leftovers",
                    what: "\(Self.names(left.map(\.path))) \(left.count == 1 ? "is" : "are") left in \(mount), which it keeps nothing of but \(keeps)",
                    then:
                        "Make sure that nothing uses \(left.count == 1 ? "it" : "them"), remove \(left.count == 1 ? "it" : "them"), then: trading start \(service)"
                )
            }
        }
        return warnings
    }

    /// Written by this agent or one before it.
    private func ours() throws(Problem) -> [String] {
        guard let old = try told({ () throws(LinuxError) in try PIDFile.read(pidFile) }) else { return [] }
        if let identity = old.identity, try told({ () throws(LinuxError) in try identity.isAlive() }) {
            throw Problem(
                slug: "pid-file", what: "\(pidFile) names PID \(old.pid), which lives and is of launch \(old.launch)",
                then: "Look at trading status \(service); stop it first")
        }
        return ["the PID file \(pidFile) was stale (PID \(old.pid) of launch \(old.launch.isEmpty ? "unknown" : old.launch)) and is replaced"]
    }

    /// Written by the worker itself: its process may live although no launch of ours knows it.
    private func workersOwn(_ path: String) throws(Problem) -> [String] {
        guard let status = try told({ () throws(LinuxError) in try FileStatus.read(path) }) else { return [] }
        guard let pid = try told({ () throws(LinuxError) in try PIDFile.read(path) })?.pid else {
            throw Problem(slug: "leftovers", what: "its own PID file \(path) is there and holds no number", then: "Look at it and remove it: rm \(path)")
        }
        if let stat = try told({ () throws(LinuxError) in try ProcessStat.read(pid: pid) }), !stat.isZombie {
            let identity = try told({ () throws(LinuxError) in try ProcessIdentity.read(pid: pid) })
            let up = try told({ () throws(LinuxError) in try Processes.uptime(of: identity, now: Clock.boottime()) }) ?? .zero
            let age = Duration.microseconds(Int64(Clock.unixMicroseconds()) - status.modified / 1_000)
            // The number was given again to a process that is younger than the file; a second is for the clock's steps.
            guard up < age - .seconds(1) else {
                throw Problem(
                    slug: "leftovers", what: "its own PID file \(path) names PID \(pid), which lives",
                    then: "Another \(service) may run outside of this agent: look at it (ps \(pid)) and end it, then: trading start \(service)")
            }
        }
        try told { () throws(LinuxError) in try Files.remove(path) }
        return ["its own PID file \(path) was stale (PID \(pid) is gone) and was removed"]
    }

    // MARK: Hugepages

    func hugepages() throws(Problem) {
        guard !release.hugepages.isEmpty else { return }
        let pools = try told { () throws(LinuxError) in try HostFacts.hugepagePools(root: root) }
        let files = try release.hugepageMount.map { (mount) throws(Problem) in try self.files(below: mount) } ?? []
        // Pages of files that it left on purpose are its own again; on which node they lie the kernel doesn't tell.
        var kept: [UInt64: UInt64] = [:]
        if let mount = release.hugepageMount {
            let size = pageBytes(of: mount)
            kept[size] = files.filter { isKept($0.name) }.reduce(0) { $0 + $1.allocated / size }
        }
        for want in release.hugepages.sorted(by: { ($0.node, $0.pageBytes) < ($1.node, $1.pageBytes) }) {
            let own = min(kept[want.pageBytes] ?? 0, want.count)
            kept[want.pageBytes, default: 0] -= own
            let needed = want.count - own
            let size = Self.bytes(want.pageBytes)
            guard let pool = pools.first(where: { $0.node == want.node && $0.pageBytes == want.pageBytes }) else {
                guard needed > 0 else { continue }
                throw Problem(
                    slug: "hugepages", what: "needs \(needed) free \(size) pages on node \(want.node), this host has no \(size) pages there",
                    then: "Reserve them: trading layout apply, or correct the inventory")
            }
            guard pool.free < needed else { continue }
            var evidence = ""
            let holders = files.filter { $0.allocated > 0 }
            if !holders.isEmpty {
                let pages = holders.reduce(0) { $0 + $1.allocated / max(1, want.pageBytes) }
                evidence = "; \(pages) \(pages == 1 ? "is" : "are") held by \(Self.names(holders.map(\.path)))"
            }
            throw Problem(
                slug: "hugepages",
                what: "needs \(needed) free \(size) pages on node \(want.node), \(pool.free) of \(pool.total) \(pool.free == 1 ? "is" : "are") free\(evidence)",
                then: pool.total < needed
                    ? "Reserve more: trading layout apply" : "Remove what is left of them if nothing uses it, then: trading start \(service)")
        }
    }

    /// What must be known from before the launch, once all has been found as it must be.
    func evidence() throws(Problem) -> LaunchEvidence {
        var evidence = LaunchEvidence()
        if !release.hugepages.isEmpty {
            let pools = try told { () throws(LinuxError) in try HostFacts.hugepagePools(root: root) }
            for want in release.hugepages {
                guard let pool = pools.first(where: { $0.node == want.node && $0.pageBytes == want.pageBytes }) else { continue }
                evidence.pagesFree.append(HugepageCount(node: want.node, pageBytes: want.pageBytes, count: pool.free))
            }
        }
        if let mount = release.hugepageMount {
            let size = pageBytes(of: mount)
            evidence.pagesKept[size] = try files(below: mount).filter { isKept($0.name) }.reduce(0) { $0 + $1.allocated / size }
        }
        if let marker = release.markerFile, let status = try told({ () throws(LinuxError) in try FileStatus.read(marker) }) {
            evidence.marker = LaunchEvidence.MarkerStamp(status)
        }
        return evidence
    }

    struct PageFile: Equatable {
        let path: String
        let name: String
        let allocated: UInt64
    }

    /// Of the mount's own directory; links and directories are no one's pages.
    func files(below mount: String) throws(Problem) -> [PageFile] {
        var found: [PageFile] = []
        for name in try told({ () throws(LinuxError) in try Files.list(mount) }) {
            let path = "\(mount)/\(name)"
            guard let status = try told({ () throws(LinuxError) in try FileStatus.read(path) }), status.kind == .file else { continue }
            found.append(PageFile(path: path, name: name, allocated: UInt64(max(0, status.allocated))))
        }
        return found
    }

    func isKept(_ name: String) -> Bool { release.hugepageKeeps.contains { NamePattern.matches($0, name) } }

    private var keeps: String { release.hugepageKeeps.isEmpty ? "nothing" : release.hugepageKeeps.joined(separator: ", ") }

    /// A hugetlbfs says its page size as its block size (statvfs(3)).
    func pageBytes(of mount: String) -> UInt64 {
        let declared = Set(release.hugepages.map(\.pageBytes))
        do {
            let block = try Files.blockBytes(mount)
            if declared.contains(block) { return block }
        } catch {
            return declared.max() ?? 1
        }
        return declared.max() ?? 1
    }

    static func names(_ paths: [String]) -> String {
        let shown = paths.prefix(3).joined(separator: ", ")
        return paths.count > 3 ? "\(shown) and \(paths.count - 3) more" : shown
    }
}
