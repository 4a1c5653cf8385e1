internal import FleetCore
internal import Glibc
internal import LinuxHost
internal import NIOConcurrencyHelpers

/// The thread that kills under a latch and watches the killed go (law 7).
///
/// It shares nothing with the rest of the agent but a table of entries opened beforehand, behind a lock that guards memory
/// only. A latch handed over is acted on before anything is written, logged or recorded. The same latch comes on every path
/// at once: each is answered with everything that was killed under it, whichever came first.
final class EmergencyThread: Sendable {
    /// How long after its kill a worker may take before the answer says "not confirmed".
    static let bound: Duration = .seconds(2)
    /// How long a shim has to kill the rest of its tree by itself; then a stopped or starved one is helped.
    static let shimBound: Duration = .milliseconds(20)
    /// How often those are looked at whose shim is late. Before that nothing is looked at by time: the kernel says through the
    /// pidfds who has ended and the shims say what is empty, so that twenty agents on two CPUs don't delay each other's kills.
    private static let tick: Duration = .milliseconds(5)
    /// SCHED_FIFO's, while it waits and while it signals: above workers, which a runaway one may be, below the kernel's own
    /// threads at 99. Without it the first that die, and their shims, take the CPU from the signals that are still to be sent.
    private static let priority: Int32 = 98
    /// Latches waiting for the thread; a person sets one, not thousands.
    private static let pendingMax = 256
    /// Latches whose dead are remembered; repeats come within seconds, from as many paths as there are coordinators.
    private static let rememberedMax = 64

    struct Outcome: Sendable {
        var service: ServiceName
        var gone: Bool
        var after: Duration
        var pid: Int32
        var text: String
    }

    /// Called from the thread: those gone so far, now and then, and all of them once when `final`.
    typealias Report = @Sendable (_ outcomes: [Outcome], _ final: Bool) -> Void

    private struct Fire {
        let latch: String
        let scope: LatchScope
        let line: [UInt8]
        let report: Report?
    }

    private struct Watch {
        let latch: String
        var left: [EmergencyEntry]
        /// Of those left, whose main process is seen to have ended.
        var dying: Set<LaunchID> = []
        var outcomes: [Outcome]
        let began: BootTime
        /// When the caller was last told of some.
        var toldAt: BootTime
        let report: Report?
    }

    private struct State {
        var table: [ServiceName: EmergencyEntry] = [:]
        var pending: [Fire] = []
        var ended = false
        var isOrdinary: (@Sendable (LinuxError) -> Void)?
    }

    private let state: NIOLockedValueBox<State>
    private let wakePipe: WakePipe

    init() throws(LinuxError) {
        wakePipe = try WakePipe()
        var initial = State()
        initial.table.reserveCapacity(1_024)
        initial.pending.reserveCapacity(Self.pendingMax)
        state = NIOLockedValueBox(initial)
    }

    /// `isOrdinary` is called from the thread, once, where the kernel refuses it its priority.
    func start(isOrdinary: @escaping @Sendable (LinuxError) -> Void) {
        state.withLockedValue { $0.isOrdinary = isOrdinary }
        let box = Unmanaged.passRetained(self)
        var thread = pthread_t()
        let failed = pthread_create(
            &thread, nil,
            { raw in
                guard let raw else { return nil }
                nameThisThread("emergency")
                Unmanaged<EmergencyThread>.fromOpaque(raw).takeRetainedValue().run()
                return nil
            }, box.toOpaque())
        // At the agent's start, before any worker depends on it.
        precondition(failed == 0, "pthread_create of the emergency thread failed with \(failed)")
        pthread_detach(thread)
    }

    func end() {
        state.withLockedValue { $0.ended = true }
        wake()
    }

    func put(_ entry: EmergencyEntry) { state.withLockedValue { $0.table[entry.service] = entry } }

    func remove(_ service: ServiceName, launch: LaunchID) {
        let removed = state.withLockedValue { state in
            state.table[service]?.launch == launch ? state.table.removeValue(forKey: service) : nil
        }
        // Its descriptors are closed here, outside of the lock.
        _ = consume removed
        wake()
    }

    func entry(_ service: ServiceName) -> EmergencyEntry? { state.withLockedValue { $0.table[service] } }

    /// Kills everything that the latch covers.
    ///
    /// Returns at once. `report` may be nil where no one waits for an answer.
    func fire(latch: String, scope: LatchScope, report: Report?) {
        let name = LatchFiles.word(latch)
        let fire = Fire(latch: latch, scope: scope, line: Array("kill em-\(name.prefix(58)) \(name)\n".utf8), report: report)
        let taken = state.withLockedValue { state in
            guard state.pending.count < Self.pendingMax else { return false }
            state.pending.append(fire)
            return true
        }
        wake()
        // Even past the bound nothing is lost: the caller's loop kills what the latch covers by itself. But nobody watches, so
        // that no last word comes from here: the host is then not confirmed, which is what is known.
        if !taken { report?([], false) }
    }

    private func wake() { wakePipe.wake() }

    private func run() {
        var watches: [Watch] = []
        var dead = Dead()
        raise()
        while true {
            wait(for: watches)
            let (fires, entries, ended) = state.withLockedValue { state in
                let fires = state.pending
                state.pending.removeAll(keepingCapacity: true)
                return (fires, fires.isEmpty ? [] : Array(state.table.values), state.ended)
            }
            if ended { return }
            for fire in fires { watches.append(kill(fire, entries, watches, dead)) }
            watches = watches.compactMap { look($0, &dead) }
            if watches.isEmpty { raise() }
        }
    }

    /// Ahead of everything else on its CPU, where it may.
    private func raise() {
        do throws(LinuxError) { try Threads.setRealtime(Self.priority) } catch {
            let isOrdinary = state.withLockedValue { state in
                defer { state.isOrdinary = nil }
                return state.isOrdinary
            }
            isOrdinary?(error)
        }
    }

    /// Watching is not urgent: those that die need the CPU more.
    private func lower() {
        // Refused, by a filter of system calls perhaps: it watches at the priority that it has. Nothing ends this thread.
        do throws(LinuxError) { try Threads.setRealtime(nil) } catch { return }
    }

    /// Until something of the watched has ended, a shim has said that a tree is empty, or something new is asked.
    private func wait(for watches: [Watch]) {
        let alive = watches.flatMap { watch in watch.left.filter { !watch.dying.contains($0.launch) }.compactMap(\.process) }
        let shimsDue = watches.filter { !$0.dying.isEmpty }.map { $0.began + Self.shimBound }.min()
        let end = watches.map { $0.began + Self.bound }.min()
        let now = Clock.boottime()
        let within: Duration = [shimsDue.map { max($0 - now, Self.tick) }, end.map { max($0 - now, .zero) }].compactMap { $0 }.min() ?? .seconds(3_600)
        do {
            try PIDFD.waitForAny(alive, or: wakePipe, within: within)
        } catch {
            // Too many descriptors for poll(2), or no memory: look again at once, slowly enough to leave the CPU to others.
            _ = poll(nil, 0, 1)
        }
        wakePipe.drain()
    }

    /// What is gone under each of the last latches; the thread's own.
    private struct Dead {
        private var outcomes: [String: [LaunchID: Outcome]] = [:]
        private var order: [String] = []

        func under(_ latch: String) -> [Outcome] {
            (outcomes[latch] ?? [:]).values.sorted { $0.service.raw < $1.service.raw }
        }

        mutating func insert(_ outcome: Outcome, _ launch: LaunchID, under latch: String) {
            if outcomes[latch] == nil {
                if order.count >= EmergencyThread.rememberedMax { outcomes[order.removeFirst()] = nil }
                order.append(latch)
            }
            // The first to see it knows best how long it took.
            if outcomes[latch]?[launch] == nil { outcomes[latch, default: [:]][launch] = outcome }
        }
    }

    private func kill(_ fire: Fire, _ entries: [EmergencyEntry], _ watches: [Watch], _ dead: Dead) -> Watch {
        raise()
        let began = Clock.boottime()
        var left: [EmergencyEntry] = []
        for entry in entries where entry.isCovered(by: fire.scope) {
            // A refusal is not the end: what counts is whether it is gone.
            _ = entry.killProcess()
            left.append(entry)
        }
        // Only then: a shim that wakes up takes time from workers that have yet to die.
        for entry in left { entry.tellShim(fire.line) }
        lower()
        // A repeat: what the latch has killed before counts here too, gone or going.
        for watch in watches where watch.latch == fire.latch {
            left += watch.left.filter { known in !left.contains { $0.launch == known.launch } }
        }
        let gone = dead.under(fire.latch)
        let watch = Watch(latch: fire.latch, left: left, outcomes: gone, began: began, toldAt: began, report: fire.report)
        if !gone.isEmpty, !left.isEmpty { watch.report?(gone, false) }
        return watch
    }

    /// Whether nothing of a launch is left.
    ///
    /// Past the shim's bound what is left is killed from here.
    private func isGone(_ entry: EmergencyEntry, since began: BootTime, _ now: BootTime) -> Bool {
        // The loop takes an entry out once the shim has said `gone`.
        guard self.entry(entry.service)?.launch == entry.launch else { return true }
        guard now - began > Self.shimBound, entry.isProcessGone, let left = entry.left() else { return false }
        if left.isEmpty { return true }
        for process in left {
            do throws(PIDFD.Failure) { try PIDFD(opening: process).signal(SIGKILL) } catch { continue }
        }
        return false
    }

    /// Nil once the watch is over.
    private func look(_ watch: Watch, _ dead: inout Dead) -> Watch? {
        var watch = watch
        let now = Clock.boottime()
        var gone: [Outcome] = []
        watch.left.removeAll { entry in
            guard isGone(entry, since: watch.began, now) else { return false }
            let outcome = Outcome(service: entry.service, gone: true, after: now - watch.began, pid: entry.pid, text: "")
            dead.insert(outcome, entry.launch, under: watch.latch)
            gone.append(outcome)
            return true
        }
        watch.outcomes += gone
        for entry in watch.left where !watch.dying.contains(entry.launch) && entry.isProcessGone { watch.dying.insert(entry.launch) }
        let late = now - watch.began >= Self.bound
        if watch.left.isEmpty || late {
            let missing = watch.left.map { entry in
                Outcome(
                    service: entry.service, gone: false, after: now - watch.began, pid: entry.pid,
                    text: "still there \(Self.bound.words) after SIGKILL: it sleeps uninterruptibly or dumps core")
            }
            watch.report?(watch.outcomes + missing, true)
            return nil
        }
        if !watch.outcomes.isEmpty, now - watch.toldAt > Self.shimBound {
            watch.toldAt = now
            watch.report?(watch.outcomes, false)
        }
        return watch
    }
}
