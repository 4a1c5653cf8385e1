internal import FleetCore
internal import Glibc
internal import LinuxHost

/// What one launch has left, looked at after its end; blocking.
struct StopLook: Sendable {
    let service: String
    let directory: LaunchDirectory
    let release: ReleaseSpec
    /// What the agent itself knows from before the end; nil: an agent before this one may have kept it in the directory.
    let known: LaunchEvidence?
    /// Its sockets as listed before the stop signal; nil: see above.
    let captured: StopChecks.Sockets?
    /// The host was restarted since: processes, sockets and pages of then are no more.
    let isOfEarlierBoot: Bool
    /// As the journal kept it; nil: it was never seen to run.
    let trace: LaunchTrace?
    let exit: WorkerExit?
    /// Other live workers of this host have hugepages of their own, so the pools' counts are not this one's alone.
    let othersUsePages: Bool
    let sharesMount: Bool
    var root = ""

    /// The kernel's socket tables and hugepage pools, read once for all launches that are looked at together.
    struct Tables {
        let sockets: Result<[SocketTuple], LinuxError>
        let pools: Result<[HostFacts.HugepagePool], LinuxError>

        static func read(sockets: Bool, pools: Bool, root: String = "") -> Tables {
            func attempt<Value>(_ look: () throws(LinuxError) -> Value) -> Result<Value, LinuxError> {
                do { return .success(try look()) } catch { return .failure(error) }
            }
            return Tables(
                sockets: sockets ? attempt { () throws(LinuxError) in try ProcessSockets.listed() } : .success([]),
                pools: pools ? attempt { () throws(LinuxError) in try HostFacts.hugepagePools(root: root) } : .success([]))
        }
    }

    var wantsSockets: Bool { release.sockets != .none && !isOfEarlierBoot }
    var wantsPools: Bool { !release.hugepages.isEmpty && !isOfEarlierBoot }

    func look(_ tables: Tables) -> Verification {
        var evidence = known ?? LaunchEvidence()
        var problem = ""
        if known == nil || captured == nil {
            do {
                let kept = try LaunchEvidence.read(directory)
                if known == nil { evidence = kept ?? evidence }
                evidence.sockets = evidence.sockets ?? kept?.sockets
                if evidence.socketProblems.isEmpty { evidence.socketProblems = kept?.socketProblems ?? [] }
            } catch {
                problem = "what was known of it can't be read: \(error)"
            }
        }
        if let captured {
            evidence.sockets = captured.tuples
            evidence.socketProblems = captured.problems
        }
        return Verification(
            [tree(), sockets(tables, evidence, problem), hugepages(tables, evidence, problem), locks(), pidFile(), marker(evidence)], at: Clock.boottime())
    }

    // MARK: Processes

    /// A shim says `gone` and then ends by itself; that takes it less than a millisecond on an idle host.
    private static let shimBound: Duration = .milliseconds(3)

    /// By the identities that the launch recorded, its cgroup and its slot; a zombie counts as gone.
    private func tree() -> Verification.Check {
        do {
            if isOfEarlierBoot { return .init(.tree, .clear, "the host was restarted since") }
            if let left = try directory.remains(after: Self.shimBound) ?? trace?.remains() { return .init(.tree, .left, left) }
            guard try directory.isSlotHeld else { return .init(.tree, .clear, "no process of it is left") }
            // The next launch of the service holds it too: only what has inherited it from this one is left of it.
            let holders = try Processes.holding(slot: directory.slot)
            return .init(
                .tree, .left,
                "its slot is held: something of its tree lives\(holders.isEmpty ? "" : " (PID \(holders.map { "\($0)" }.joined(separator: ", ")))")")
        } catch {
            return .init(.tree, .unknown, "it can't be told whether a process is left: \(error)")
        }
    }

    // MARK: Sockets

    private func sockets(_ tables: Tables, _ evidence: LaunchEvidence, _ problem: String) -> Verification.Check {
        if release.sockets == .none { return .init(.sockets, .unchecked, "declared: none to look at") }
        if isOfEarlierBoot { return .init(.sockets, .clear, "the host was restarted since") }
        guard let before = evidence.sockets else {
            return .init(.sockets, .unknown, problem.isEmpty ? "it ended before its sockets could be listed" : problem)
        }
        let still: [SocketTuple]
        switch tables.sockets {
        case .failure(let error): return .init(.sockets, .unknown, "the kernel's tables can't be read: \(error)")
        case .success(let table): still = ProcessSockets.stillListed(before, in: table)
        }
        let open = still.filter { !$0.isSettled }
        if !open.isEmpty {
            let named = open.prefix(3).map(\.words).joined(separator: ", ")
            return .init(.sockets, .left, "\(open.count) of its \(before.count) sockets \(open.count == 1 ? "is" : "are") still there: \(named)")
        }
        if release.sockets == .onload {
            return .init(.sockets, .unknown, "the kernel can't list kernel-bypass sockets; none of its \(before.count) others is left")
        }
        if let problem = evidence.socketProblems.first { return .init(.sockets, .unknown, problem) }
        let settled = still.count
        return .init(
            .sockets, .clear,
            "none of its \(before.count) is left\(settled == 0 ? "" : "; \(settled) closed and acknowledged, the peer has yet to close (FIN-WAIT-2)")")
    }

    // MARK: Hugepages

    private func hugepages(_ tables: Tables, _ evidence: LaunchEvidence, _ problem: String) -> Verification.Check {
        guard !release.hugepages.isEmpty || release.hugepageMount != nil else { return .init(.hugepages, .unchecked) }
        let checks = self.checks
        do {
            var kept: UInt64 = 0
            var keptBy: [UInt64: UInt64] = [:]
            if let mount = release.hugepageMount {
                let files = try checks.files(below: mount)
                let left = files.filter { !checks.isKept($0.name) }
                if !left.isEmpty, !sharesMount {
                    return .init(.hugepages, .left, "\(PreStartChecks.names(left.map(\.path))) \(left.count == 1 ? "is" : "are") left, which it doesn't keep")
                }
                let size = checks.pageBytes(of: mount)
                kept = files.filter { checks.isKept($0.name) }.reduce(0) { $0 + $1.allocated / size }
                keptBy[size] = kept
            }
            if isOfEarlierBoot { return .init(.hugepages, .clear, "the host was restarted since") }
            guard !evidence.pagesFree.isEmpty else {
                let why = release.hugepages.isEmpty ? "" : problem.isEmpty ? "how many were free before is not known" : problem
                return why.isEmpty ? .init(.hugepages, .clear, "\(kept) kept as declared") : .init(.hugepages, .unknown, why)
            }
            let pools: [HostFacts.HugepagePool]
            switch tables.pools {
            case .failure(let error): return .init(.hugepages, .unknown, "\(error)")
            case .success(let read): pools = read
            }
            for (size, before) in evidence.pagesKept { keptBy[size] = (keptBy[size] ?? 0) > before ? (keptBy[size] ?? 0) - before : 0 }
            for before in evidence.pagesFree {
                let free = pools.first { $0.node == before.node && $0.pageBytes == before.pageBytes }?.free ?? 0
                let own = min(keptBy[before.pageBytes] ?? 0, before.count)
                keptBy[before.pageBytes, default: 0] -= own
                guard free + own < before.count else { continue }
                let size = PreStartChecks.bytes(before.pageBytes)
                let missing = "\(before.count - own - free) \(size) pages on node \(before.node) are not back (\(free) free, \(before.count) before its start)"
                return othersUsePages ? .init(.hugepages, .unknown, "\(missing); other workers use the pool too") : .init(.hugepages, .left, missing)
            }
            let pages = release.hugepages.reduce(0) { $0 + $1.count }
            return .init(.hugepages, .clear, "\(pages) of \(pages) back\(kept == 0 ? "" : ", \(kept) kept as declared")")
        } catch {
            return .init(.hugepages, .unknown, "\(error.what)")
        }
    }

    private var checks: PreStartChecks {
        PreStartChecks(
            service: service, command: ["/"], wrapperCount: 0, environment: [:], workdir: "/", execution: ExecutionSpec(), release: release,
            user: FileUser(user: 0, groups: []), pidFile: "", sharesMount: sharesMount, diskFreeMin: [:], digests: DigestCache(), root: root)
    }

    // MARK: Files

    private func locks() -> Verification.Check {
        guard !release.lockFiles.isEmpty else { return .init(.locks, .unchecked) }
        return absent(.locks, release.lockFiles, "lock file")
    }

    private func pidFile() -> Verification.Check {
        guard let path = release.pidFile else { return .init(.pidFile, .unchecked) }
        return absent(.pidFile, [path], "PID file")
    }

    private func absent(_ what: Verification.What, _ paths: [String], _ name: String) -> Verification.Check {
        do {
            let left = try paths.filter { (path) throws(LinuxError) in try FileStatus.read(path) != nil }
            if left.isEmpty { return .init(what, .clear, paths.count == 1 ? "\(paths[0]) is gone" : "\(paths.count) are gone") }
            return .init(what, .left, "its \(name) \(PreStartChecks.names(left)) is left")
        } catch {
            return .init(what, .unknown, "\(error)")
        }
    }

    private func marker(_ evidence: LaunchEvidence) -> Verification.Check {
        let killed =
            switch exit?.how {
            case .signalled, .unknown: true
            default: false
            }
        guard let path = release.markerFile else {
            if exit?.saidStopping == true { return .init(.marker, .clear, "said STOPPING=1") }
            return .init(.marker, .unchecked, "declares no marker file and has not said STOPPING=1")
        }
        do {
            let found = try FileStatus.read(path).map { LaunchEvidence.MarkerStamp($0) }
            if let found, found != evidence.marker { return .init(.marker, .clear, path) }
            let why = found == nil ? "there is no shutdown marker \(path)" : "the shutdown marker \(path) is of an earlier end"
            return killed ? .init(.marker, .unknown, "\(why): it was killed") : .init(.marker, .left, why)
        } catch {
            return .init(.marker, .unknown, "\(error)")
        }
    }
}
