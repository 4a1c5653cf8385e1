internal import FleetCore
internal import FleetTrust
internal import FleetWire
internal import LinuxHost
internal import Logging
internal import NIOCore

/// The latches this agent knows: in memory first, then on the tmpfs and the disk, then in the journal (law 7).
///
/// `@unchecked Sendable`: everything mutable is touched on the agent's loop only.
final class LatchKeeper: @unchecked Sendable {
    private(set) var book = LatchBook()
    private unowned let agent: Agent
    private var scanning = false
    /// Of the tmpfs directory when it was last looked at.
    private var stamp: Int64?
    private var scannedAt = BootTime.zero
    private var scanAgain = true

    /// The disk is looked at this often: only where the tmpfs could not be written does it hold what that does not.
    private static let scanEvery: Duration = .seconds(30)
    /// What could not be written is written again this often.
    private static let retryEvery: Duration = .seconds(5)
    private var isKept = true
    private var saidProblems: Set<String> = []
    /// Files that may each be an emergency stop in force and can't be read, one sentence each: nothing is launched beside them.
    private(set) var unreadable: [String] = []

    init(agent: Agent) { self.agent = agent }

    /// What an earlier agent kept, before anything is adopted or launched.
    func load() {
        // Made now, not when the first emergency stop needs the CPU for its kills.
        say(directories.compactMap { LatchFiles.make($0.path) })
        let places = directories.map { LatchFiles.read($0.path) }
        unreadable = places.flatMap(\.problems)
        say(unreadable)
        // The oldest first: what the bound makes the book forget is then what is longest over.
        for latch in placed(places.flatMap(\.latches)).sorted(by: { $0.unixMicroseconds < $1.unixMicroseconds }) {
            _ = latch.release == nil ? book.order(latch) : book.merge([latch])
        }
    }

    /// Takes over what another side says, as far as it may say it (law 13). Newly set ones kill before anything else happens.
    ///
    /// Any side may set: a kill asks for no proof. Only a followed coordinator releases on its own word; from everybody else a
    /// release counts once the signature of an operator was looked at.
    func hear(_ wire: [WireLatch], on session: AgentSession) {
        let now = Clock.unixMicroseconds()
        let latches = wire.prefix(Self.heardMax).map { $0.core(word: session.word) }.filter {
            LatchBounds.fault(in: $0) == nil && !LatchBounds.isAhead($0, of: now)
        }
        let releasesByWord = session.refusal(of: .releaseLatch) == nil
        let known = book
        merge(latches.filter { $0.release == nil || releasesByWord }, from: session.origin)
        // The same, now with a signature: kept once it was looked at.
        for latch in latches { if let kept = known.latches[latch.id], kept.isSame(as: latch), kept.signature.isEmpty { judgeSetting(latch) } }
        // Released here, in force there.
        let stale = latches.filter { $0.release == nil }.compactMap { known.latches[$0.id] }.filter { $0.release?.signature.isEmpty == false }
        if !stale.isEmpty { session.send(.latches(WireLatchSet(stale))) }
        for latch in latches {
            guard let release = latch.release, let waiting = unkeptWaiting[latch.id], waiting.releases.count < Unkept.releasesMax else { continue }
            unkeptWaiting[latch.id]?.releases.append(release)
        }
        let unproven = latches.filter { $0.release != nil && !releasesByWord && known.latches[$0.id].map { $0.release == nil } == true }
        judge(unproven, from: session)
    }

    /// All that one side can have in force, and the releases of as many.
    private static let heardMax = 2_048
    /// A signature takes some milliseconds to look at.
    private static let judgedAfter: Duration = .seconds(1)
    /// A latch that there was no room for and whose signature is still to be looked at, with the releases that came meanwhile.
    private struct Unkept {
        let latch: Latch
        var releases: [Latch.Release] = []
        static let releasesMax = 8
    }

    private var unkeptWaiting: [String: Unkept] = [:]
    private var unkeptLines = RateBound(60, in: .seconds(60))
    private static let unkeptWaitingMax = 64

    /// Takes over what lies in files, or what was judged.
    func merge(_ others: [Latch], from source: String) {
        for latch in others where latch.release == nil && book.latches[latch.id] == nil {
            // What the book has forgotten as released is not honoured again as state.
            guard !book.mayBeForgotten(setAt: latch.unixMicroseconds) else { continue }
            agent.emergency.fire(latch: latch.id, scope: latch.scope, report: nil)
        }
        take(book.merge(others), from: source)
    }

    /// What a side is told when its session opens: all in force, the releases of what it holds in force still, and those
    /// that operators have signed last.
    func toTell(_ session: AgentSession) -> [Latch] {
        let stale = session.wire.welcome.latches.latches.filter { !$0.released }.compactMap { book.latches[$0.id] }.filter { $0.release != nil }
        // A release that came by another way: who has not heard of it must not take that latch from anybody's memory again.
        let released = book.latches.values.filter { $0.release.map { !$0.signature.isEmpty && $0.by.hasPrefix("operator/") } ?? false }
            .sorted { ($0.release?.unixMicroseconds ?? 0, $0.id) < ($1.release?.unixMicroseconds ?? 0, $1.id) }.suffix(Self.releasesToldMax)
        return book.inForce + stale.filter { latch in !released.contains { $0.id == latch.id } } + released
    }

    /// With their signatures they take some hundred kilobytes at most.
    private static let releasesToldMax = 32

    /// For what came on this word. Operators' signatures count always. A coordinator's counts on what it has set itself, in the session
    /// of the one that is followed: its certificate's key alone is not its store. A release that it orders needs none.
    private func judge(of word: LatchWord) -> LatchJudge? {
        let coordinators: Set<String> = if case .coordinator(let name) = word { [name] } else { [] }
        return agent.trust.map { LatchJudge(verifier: $0.verifier, fleet: agent.fleet, coordinators: coordinators, releasers: []) }
    }

    /// Releases that prove themselves are taken; the others are said, and nothing is released.
    private func judge(_ releases: [Latch], from session: AgentSession) {
        guard !releases.isEmpty, let judge = judge(of: session.word) else { return }
        let origin = session.origin
        let accepted = agent.housework.submit(lane: "signatures") { [self] in
            let proven = releases.filter { latch in latch.release.map { judge.isReleased(latch.id, $0) } ?? false }
            agent.loop.execute {
                for latch in releases where !proven.contains(where: { $0.id == latch.id }) && session.maySay() {
                    self.agent.log.error(
                        "the release of an emergency stop is not taken: nobody who may has signed it", metadata: ["latch": "\(latch.id)", "from": "\(origin)"])
                }
                self.merge(proven, from: origin)
            }
        }
        if !accepted, session.maySay() { agent.log.error("releases of emergency stops were not looked at: too much other work waits") }
    }

    /// Who set a latch that carries a signature is looked at once it is in force: it then proves itself to every side.
    private func judgeSetting(_ latch: Latch) {
        guard let kept = book.latches[latch.id], kept.release == nil, kept.word != .signed, !latch.signature.isEmpty, let judge = judge(of: latch.word)
        else { return }
        agent.housework.submit(lane: "signatures") { [self] in
            let holds = judge.isSet(latch)
            agent.loop.execute {
                if !holds {
                    self.agent.log.error(
                        "the signature of an emergency stop is no operator's, or does not hold; it is in force on its bringer's word",
                        metadata: ["latch": "\(latch.id)", "by": "\(latch.by)", "word": "\(latch.word)"])
                }
                self.book.judged(latch.id, signature: holds ? latch.signature : "", word: holds ? .signed : kept.word)
                guard let judged = self.book.latches[latch.id] else { return }
                self.keep([judged])
            }
        }
    }

    /// There was no room for it among those of its bringer; among the signed ones there is, if it proves itself.
    private func judgeUnkept(_ id: String, from source: String) {
        guard let waiting = unkeptWaiting[id] else { return }
        guard book.latches[id] == nil, let judge = judge(of: waiting.latch.word) else {
            unkeptWaiting[id] = nil
            return
        }
        let isAsked = agent.housework.submit(lane: "signatures") { [self] in
            let holds = judge.isSet(waiting.latch)
            let release = holds ? waiting.releases.first { judge.isReleased(id, $0) } : nil
            agent.loop.execute {
                let later = self.unkeptWaiting.removeValue(forKey: id)?.releases.count ?? 0
                // Released while it was looked at: whoever knows of it tells so with its next session.
                guard holds, release != nil || later == waiting.releases.count else { return }
                var signed = waiting.latch
                signed.word = .signed
                signed.release = release
                self.merge([signed], from: source)
            }
        }
        if !isAsked { unkeptWaiting[id] = nil }
    }

    /// A file that names the host it lies on means this one, and no other that hears of the latch from here.
    private func placed(_ latches: [Latch]) -> [Latch] {
        latches.map { latch in
            guard latch.scope.hosts.contains(HostName(LatchFile.Scope.thisHost)) else { return latch }
            var latch = latch
            latch.scope.hosts = [agent.host]
            latch.word = .host(agent.host)
            return latch
        }
    }

    /// Sets one latch whose kill has been handed to the emergency thread already.
    ///
    /// `isOrder`: somebody orders it now; else it is what a side knows.
    func set(_ latch: Latch, from source: String, isOrder: Bool) {
        take(isOrder ? book.order(latch) : book.merge([latch]), from: source)
    }

    /// A person's word on this host: its own, and, where no coordinator and no relay is connected, whatever holds here.
    /// Returns what was released, and the latches that are the fleet's to release.
    func release(_ id: String?, by: String, reason: String) -> (released: [Latch], fleets: [Latch]) {
        let wanted = book.inForce.filter { id == nil || $0.id == id }
        let mine = wanted.filter { latch in
            if case .host = latch.word { return true }
            return agent.sessions.isEmpty
        }
        let release = Latch.Release(by: LatchBounds.author(by), reason: LatchBounds.reason(reason), unixMicroseconds: Clock.unixMicroseconds())
        let released = mine.flatMap { book.release($0.id, release) }
        apply(released, from: by)
        return (released, wanted.filter { latch in !mine.contains { $0.id == latch.id } })
    }

    /// Looks right before a launch for latches that `--local` may have set while this agent hung: the tmpfs only.
    func lookBeforeLaunch() {
        let (found, problems) = LatchFiles.read(agent.paths.runLatches)
        for problem in problems where !unreadable.contains(problem) { unreadable.append(problem) }
        say(problems)
        merge(placed(found), from: "file")
    }

    /// Once a second: takes in what `trading --local` has set or released without this agent's help, and writes again what
    /// a full disk has refused.
    ///
    /// The tmpfs is looked into when its directory has changed, and the disk then too, else every `scanEvery`: an idle agent
    /// wakes no thread.
    func scan() {
        guard !scanning else { return }
        let now = Clock.boottime()
        let stamp = Files.changed(agent.paths.runLatches)
        let isChanged = stamp != self.stamp
        guard isChanged || scanAgain || now - scannedAt >= (isKept ? Self.scanEvery : Self.retryEvery) else { return }
        // Once more after a change: a second one within the clock's tick leaves the same stamp.
        scanAgain = isChanged
        self.stamp = stamp
        scannedAt = now
        let known = book
        scanning = agent.files.submit { [self] in
            var problems: [String] = []
            var doubts: [String] = []
            var found: [Latch] = []
            var unwritten: [String] = []
            for directory in directories {
                let read = LatchFiles.read(directory.path)
                // Released and forgotten by the bound: their files go too.
                let (forgotten, kept) = read.latches.reduce(into: ([Latch](), [Latch]())) { parts, latch in
                    let isForgotten = latch.release != nil && known.latches[latch.id] == nil && known.mayBeForgotten(setAt: latch.unixMicroseconds)
                    if isForgotten { parts.0.append(latch) } else { parts.1.append(latch) }
                }
                problems += LatchFiles.remove(forgotten, from: directory.path)
                found += kept
                doubts += read.problems
                let there = Dictionary(kept.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
                for latch in known.all where there[latch.id] == nil || (latch.release != nil && there[latch.id]?.release == nil) {
                    unwritten += LatchFiles.write(latch, to: [directory])
                }
            }
            let (latches, said, unreadable, isKept) = (found, problems + doubts + unwritten, doubts, unwritten.isEmpty)
            agent.loop.execute {
                self.scanning = false
                self.isKept = isKept
                self.unreadable = unreadable
                self.say(said)
                self.merge(self.placed(latches), from: "file")
            }
        }
    }

    /// A shim says that a worker was killed under a latch: it is looked for at the next tick where this agent knows none of that
    /// name.
    func heard(of latch: String) {
        if book.latches[latch] == nil { scanAgain = true }
    }

    private var directories: [(path: String, sync: Bool)] {
        [(path: agent.paths.runLatches, sync: false), (path: agent.paths.stateLatches, sync: true)]
    }

    private func take(_ merge: LatchBook.Merge, from source: String) {
        for latch in merge.unkept {
            guard unkeptLines.admits(at: Clock.boottime()) else { break }
            say([
                "the emergency stop \(Cleaned.text(latch.id, bytesMax: 64)) from \(source) has killed and is not kept: as many as can be are in force, or it is out of bounds"
            ])
        }
        apply(merge.changed, from: source)
        for latch in merge.unkept where !latch.signature.isEmpty && LatchBounds.fault(in: latch) == nil {
            guard unkeptWaiting.count < Self.unkeptWaitingMax, unkeptWaiting[latch.id] == nil else { continue }
            unkeptWaiting[latch.id] = Unkept(latch: latch)
            agent.loop.scheduleTask(in: .nanoseconds(Self.judgedAfter.nanoseconds)) { self.judgeUnkept(latch.id, from: source) }
        }
        // Not now: the kills of this host, and of others on the same CPUs, come first.
        for latch in merge.changed where latch.release == nil {
            agent.loop.scheduleTask(in: .nanoseconds(Self.judgedAfter.nanoseconds)) { self.judgeSetting(latch) }
        }
    }

    private func apply(_ changed: [Latch], from source: String) {
        guard !changed.isEmpty else { return }
        for shell in agent.shells { shell.applyLatches() }
        agent.broadcast(changed)
        agent.changed()
        keep(changed)
        note(changed, from: source)
    }

    /// On tmpfs and disk, by the files thread.
    private func keep(_ changed: [Latch]) {
        let accepted = agent.files.submit { [self, directories] in
            let problems = changed.flatMap { LatchFiles.write($0, to: directories) }
            agent.loop.execute {
                if !problems.isEmpty { self.isKept = false }
                self.say(problems)
            }
        }
        if !accepted {
            isKept = false
            say(["latches could not be kept on disk: too much work waits for it"])
        }
    }

    private func note(_ changed: [Latch], from source: String) {
        for latch in changed {
            let scope = LatchFile(latch).json["scope"]?.text ?? ""
            if let release = latch.release {
                agent.log.notice("latch released", metadata: ["latch": "\(latch.id)", "by": "\(release.by)"])
                agent.journal.note(
                    .latchReleased, by: release.by, reason: release.reason,
                    [WorkerMachine.Field("latch", latch.id), WorkerMachine.Field("from", source)])
            } else {
                agent.log.notice("emergency stop in force", metadata: ["latch": "\(latch.id)", "by": "\(latch.by)", "reason": "\(latch.reason)"])
                agent.journal.note(
                    .latchSet, by: latch.by, reason: latch.reason,
                    [WorkerMachine.Field("latch", latch.id), WorkerMachine.Field("scope", scope), WorkerMachine.Field("from", source)])
            }
        }
    }

    private func say(_ problems: [String]) {
        for problem in problems where saidProblems.insert(problem).inserted {
            agent.log.error("latch files", metadata: ["problem": "\(problem)"])
        }
        if saidProblems.count > 1_000 { saidProblems = [] }
    }
}
