internal import Glibc
internal import LinuxHost

/// Which log files that a worker writes itself are read for people (law 10): an inventory names them, the host's own settings
/// say where they may lie, and the worker's user must be allowed to read them.
///
/// Whoever writes the inventory, or runs as the worker, is not trusted: neither a path nor a link nor an exchange in between
/// opens anything else. A worker that runs as root could read all there is, so that only its own directory and declared ones count
/// for it. Blocking.
struct LogReach: Equatable, Sendable {
    /// Where log files usually lie, unless the settings say where.
    static let usual = ["/var/log"]

    /// The worker's own directory first.
    let directories: [String]
    /// nil: the agent's own user, whom the kernel judges.
    let reader: SparseFile.Reader?
    /// Named in refusals; empty: flags alone.
    let settingsFile: String

    struct Refusal: Error, Equatable, CustomStringConvertible {
        let description: String
    }

    /// `own`: the worker's state directory. Of its `workdir` nothing follows: the inventory names that.
    init(own: String, declared: [String], runAs: ProgramPolicy.RunAs, settingsFile: String = "", agent: UInt32 = geteuid()) {
        let user = runAs.user ?? agent
        directories = [own] + (declared.isEmpty ? user == 0 ? [] : Self.usual : declared)
        reader = user == agent ? nil : SparseFile.Reader(user: user, groups: runAs.groups + (runAs.group.map { [$0] } ?? []))
        self.settingsFile = settingsFile
    }

    /// The files that a pattern of the inventory stands for by now, and why those left out are.
    ///
    /// What lies outside is counted and never named: its names are nobody's business either.
    func files(_ pattern: String, count: Int) -> (paths: [String], refusal: Refusal?) {
        guard isInside(pattern) else { return ([], outside(pattern)) }
        var paths: [String] = []
        var left = 0
        for path in Files.matching(pattern, count: count) {
            do {
                _ = try open(path)
                paths.append(path)
            } catch { left += 1 }
        }
        if left == 0 { return (paths, nil) }
        return (paths, paths.isEmpty && left == 1 ? unreadable(pattern) : unreadable("\(left) of the files that \(pattern) stands for"))
    }

    /// One of them; nil where no regular file is (yet).
    func open(_ path: String) throws -> SparseFile? {
        guard isInside(path) else { throw outside(path) }
        guard let real = ProgramPolicy.realPath(path) else {
            if errno == ENOENT || errno == ENOTDIR { return nil }
            throw unreadable(path)
        }
        guard let base = ProgramPolicy.base(of: real, in: directories) else { throw outside(path) }
        return try SparseFile(existing: real, below: base, readableBy: reader)
    }

    /// By its words alone, up to its first wildcard: what is refused so tells nothing of what is there.
    private func isInside(_ pattern: String) -> Bool {
        let names = pattern.split(separator: "/")
        guard pattern.hasPrefix("/"), !names.contains(where: { $0 == "." || $0 == ".." }) else { return false }
        let fixed = names.dropLast().prefix { name in !name.contains { "*?[\\".contains($0) } }
        return directories.contains { directory in
            [directory, ProgramPolicy.realPath(directory) ?? directory].contains { fixed.starts(with: $0.split(separator: "/")) }
        }
    }

    private func outside(_ path: String) -> Refusal {
        Refusal(
            description:
                "\(path) lies outside of where this host lets workers' own logs be read (\(directories.joined(separator: ", "))): not read. "
                + "\(ProgramPolicy.adding("allow-log-dir", "DIR", to: settingsFile)), or correct logs.files in the inventory"
        )
    }

    private func unreadable(_ what: String) -> Refusal {
        Refusal(description: "\(what): not read, for it leads outside of \(directories.joined(separator: ", ")), or the worker's user may not read it")
    }
}
