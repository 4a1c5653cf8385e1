internal import FleetCore
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

    init(agent: Agent) { self.agent = agent }

    /// What an earlier agent kept, before anything is adopted or launched.
    func load() {
        for directory in [agent.paths.runLatches, agent.paths.stateLatches] {
            let (found, problems) = LatchFiles.read(directory)
            say(problems)
            _ = book.merge(placed(found))
        }
    }

    /// Takes over what another side knows.
    ///
    /// Newly set ones kill before anything else happens here.
    func merge(_ heard: [Latch], from source: String) {
        let others = placed(heard)
        let known = Set(book.latches.keys)
        for latch in others where latch.release == nil && !known.contains(latch.id) {
            agent.emergency.fire(latch: latch.id, scope: latch.scope, report: nil)
        }
        apply(book.merge(others), from: source)
    }

    /// A file that names the host it lies on means this one, and no other that hears of the latch from here.
    private func placed(_ latches: [Latch]) -> [Latch] {
        latches.map { latch in
            guard latch.scope.hosts.contains(HostName(LatchFile.Scope.thisHost)) else { return latch }
            var latch = latch
            latch.scope.hosts = [agent.host]
            return latch
        }
    }

    /// Sets one latch whose kill has been handed to the emergency thread already.
    func set(_ latch: Latch, from source: String) { apply(book.merge([latch]), from: source) }

    func release(_ id: String?, by: String, reason: String) -> [Latch] {
        let released = book.release(id, Latch.Release(by: by, reason: reason, unixMicroseconds: Clock.unixMicroseconds()))
        apply(released, from: by)
        return released
    }

    /// Looks right before a launch for latches that `--local` may have set while this agent hung: the tmpfs only.
    func lookBeforeLaunch() {
        let (found, problems) = LatchFiles.read(agent.paths.runLatches)
        say(problems)
        merge(found, from: "file")
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
            var found: [Latch] = []
            var unwritten: [String] = []
            for directory in directories {
                let read = LatchFiles.read(directory.path)
                found += read.latches
                problems += read.problems
                let kept = LatchBook(read.latches)
                for latch in known.all where kept.latches[latch.id] == nil || (latch.release != nil && kept.latches[latch.id]?.release == nil) {
                    unwritten += LatchFiles.write(latch, to: [directory])
                }
            }
            let (latches, said, isKept) = (found, problems + unwritten, unwritten.isEmpty)
            agent.loop.execute {
                self.scanning = false
                self.isKept = isKept
                self.say(said)
                self.merge(latches, from: "file")
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

    private func apply(_ changed: [Latch], from source: String) {
        guard !changed.isEmpty else { return }
        for shell in agent.shells { shell.applyLatches() }
        agent.broadcastLatches()
        agent.changed()
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
