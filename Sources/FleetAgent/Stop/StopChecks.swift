internal import FleetCore
internal import Glibc
internal import LinuxHost
internal import Logging
internal import NIOCore

/// Looks at sockets before stops and at what is left after ends, on a thread of its own.
///
/// Whatever is asked while a look is under way is looked at together with the next: many workers that stop at once are
/// served by one reading of the kernel's tables.
///
/// `@unchecked Sendable`: everything mutable is touched on the agent's loop only.
final class StopChecks: @unchecked Sendable {
    /// How long what goes by itself may take to go: a shim to end, a peer's acknowledgement, pages that are being freed.
    static let settleBound: Duration = .seconds(2)
    /// The kernel's socket tables take milliseconds to read: the kills of this host, and of others on the same CPUs, come first.
    private static let emergencyPause: Duration = .milliseconds(100)
    /// The first pause before a second look; it doubles.
    private static let firstPause: Duration = .milliseconds(5)

    private unowned let agent: Agent
    private let thread = WorkThread(name: "checks")
    private var captures: [Capture] = []
    private var isCapturing = false
    private var looks: [Look] = []
    private var isLooking = false

    /// Sockets of one launch, or why there may be more.
    struct Sockets: Sendable {
        var tuples: [SocketTuple] = []
        var problems: [String] = []
    }

    private struct Capture: Sendable {
        let directory: LaunchDirectory
        let entry: EmergencyEntry?
        let then: @Sendable (Sockets) -> Void
    }

    private struct Look: Sendable {
        let look: StopLook
        let until: BootTime
        let pause: Duration
        let then: @Sendable (Verification) -> Void
    }

    init(agent: Agent) { self.agent = agent }

    func start() { thread.start() }

    func end() { thread.end() }

    // MARK: Before

    /// Lists the launch's sockets; `then` is called on the loop, exactly once.
    func capture(_ directory: LaunchDirectory, _ entry: EmergencyEntry?, then: @escaping @Sendable (Sockets) -> Void) {
        captures.append(Capture(directory: directory, entry: entry, then: then))
        if !isCapturing { captureNext() }
    }

    private func captureNext() {
        guard !captures.isEmpty else { return }
        let batch = captures
        captures = []
        isCapturing = thread.submit { [agent] in
            let found = Self.sockets(batch.map(\.entry))
            agent.loop.execute {
                for (capture, sockets) in zip(batch, found) { capture.then(sockets) }
                self.isCapturing = false
                self.captureNext()
            }
            // For an agent that comes after this one; nobody waits for it.
            for (capture, sockets) in zip(batch, found) {
                do throws(LinuxError) {
                    var evidence = try LaunchEvidence.read(capture.directory) ?? LaunchEvidence()
                    evidence.sockets = sockets.tuples
                    evidence.socketProblems = sockets.problems
                    try evidence.write(capture.directory)
                } catch {
                    agent.log.warning("what is known of a launch is kept in memory only", metadata: ["error": "\(error)"])
                }
            }
        }
        if !isCapturing { for capture in batch { capture.then(Sockets(problems: ["the agent had too much other work to list its sockets"])) } }
    }

    /// Blocking.
    private static func sockets(_ entries: [EmergencyEntry?]) -> [Sockets] {
        var found = entries.map { _ in Sockets() }
        var inodes = entries.map { _ in Set<UInt64>() }
        for (index, entry) in entries.enumerated() {
            guard let entry, entry.pid > 0 else {
                found[index].problems.append("its process was not known")
                continue
            }
            var pids: Set<Int32> = [entry.pid]
            if let tree = entry.left() { pids.formUnion(tree.map(\.pid)) } else { found[index].problems.append("its process tree could not be listed") }
            for pid in pids {
                do throws(LinuxError) {
                    let own = try OpenFiles.read(pid: pid, limit: 0).socketInodes
                    guard !own.isEmpty else { continue }
                    if try ProcessSockets.isHere(pid) {
                        inodes[index].formUnion(own)
                    } else {
                        found[index].problems.append("process \(pid) has a network of its own: its sockets can't be seen from here")
                    }
                } catch {
                    if error.errno != ESRCH, error.errno != ENOENT { found[index].problems.append("the sockets of process \(pid): \(error)") }
                }
            }
        }
        guard inodes.contains(where: { !$0.isEmpty }) else { return found }
        do {
            let table = try ProcessSockets.listed()
            for index in found.indices { found[index].tuples = ProcessSockets.owned(inodes[index], in: table) }
        } catch {
            for index in found.indices { found[index].problems.append("\(error)") }
        }
        return found
    }

    // MARK: After

    /// Looks, and looks again for a while at what may still go by itself; `then` is called on the loop, exactly once.
    ///
    /// After an emergency stop not before `emergencyPause`.
    func look(_ look: StopLook, isEmergency: Bool, then: @escaping @Sendable (Verification) -> Void) {
        let begin: @Sendable () -> Void = { [self] in
            enqueue(Look(look: look, until: Clock.boottime() + Self.settleBound, pause: Self.firstPause, then: then))
        }
        guard isEmergency else { return begin() }
        agent.loop.scheduleTask(in: .nanoseconds(Self.emergencyPause.nanoseconds), begin)
    }

    private func enqueue(_ look: Look) {
        looks.append(look)
        if !isLooking { lookNext() }
    }

    private func lookNext() {
        guard !looks.isEmpty else { return }
        let batch = looks
        looks = []
        isLooking = thread.submit { [agent] in
            let tables = StopLook.Tables.read(sockets: batch.contains { $0.look.wantsSockets }, pools: batch.contains { $0.look.wantsPools })
            let found = batch.map { $0.look.look(tables) }
            agent.loop.execute {
                for (look, verification) in zip(batch, found) { self.take(look, verification) }
                self.isLooking = false
                self.lookNext()
            }
        }
        if !isLooking {
            for look in batch {
                look.then(.unanswered(look.look.release, "the agent had too much other work to look", at: Clock.boottime()))
            }
        }
    }

    private func take(_ look: Look, _ verification: Verification) {
        let mayGo = verification.left.contains { [.tree, .sockets, .hugepages].contains($0.what) }
        guard mayGo, Clock.boottime() < look.until else { return look.then(verification) }
        let again = Look(look: look.look, until: look.until, pause: look.pause + look.pause, then: look.then)
        agent.loop.scheduleTask(in: .nanoseconds(look.pause.nanoseconds)) { self.enqueue(again) }
    }
}
