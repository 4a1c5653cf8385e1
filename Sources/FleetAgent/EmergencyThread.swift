internal import FleetCore
internal import Glibc
internal import LinuxHost
internal import NIOConcurrencyHelpers

/// The thread that kills under a latch and watches the killed go (law 7).
///
/// It shares nothing with the rest of the agent but a table of entries opened beforehand, behind a lock that guards memory
/// only. A latch handed over is acted on before anything is written, logged or recorded.
final class EmergencyThread: Sendable {
    /// How long after its kill a worker may take before the answer says "not confirmed".
    static let bound: Duration = .seconds(2)
    /// How long a shim has to kill the rest of its tree by itself; then a stopped or starved one is helped.
    private static let shimBound: Duration = .milliseconds(20)
    /// How often the killed are looked at; the kernel's own floor for 200 processes is 20 ms.
    private static let tick: Duration = .milliseconds(1)
    /// Latches waiting for the thread; a person sets one, not thousands.
    private static let pendingMax = 256

    struct Outcome: Sendable {
        var service: ServiceName
        var gone: Bool
        var after: Duration
        var pid: Int32
        var text: String
    }

    /// Called from the thread: newly gone workers, and all of them once when `final`.
    typealias Report = @Sendable (_ outcomes: [Outcome], _ final: Bool) -> Void

    private struct Fire {
        let scope: LatchScope
        let line: [UInt8]
        let report: Report?
    }

    private struct Watch {
        var left: [EmergencyEntry]
        var outcomes: [Outcome]
        let began: BootTime
        let report: Report?
    }

    private struct State {
        var table: [ServiceName: EmergencyEntry] = [:]
        var pending: [Fire] = []
        var ended = false
    }

    private let state: NIOLockedValueBox<State>
    private let condition = ConditionLock<Int>(value: 0)

    init() {
        var initial = State()
        initial.table.reserveCapacity(1_024)
        initial.pending.reserveCapacity(Self.pendingMax)
        state = NIOLockedValueBox(initial)
    }

    func start() {
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
    }

    func entry(_ service: ServiceName) -> EmergencyEntry? { state.withLockedValue { $0.table[service] } }

    /// Kills everything that the latch covers.
    ///
    /// Returns at once. `report` may be nil where no one waits for an answer.
    func fire(latch: String, scope: LatchScope, report: Report?) {
        let name = LatchFiles.word(latch)
        let fire = Fire(scope: scope, line: Array("kill em-\(name.prefix(58)) \(name)\n".utf8), report: report)
        let taken = state.withLockedValue { state in
            guard state.pending.count < Self.pendingMax else { return false }
            state.pending.append(fire)
            return true
        }
        wake()
        // Even past the bound nothing is lost: the caller's loop kills what the latch covers by itself.
        if !taken { report?([], true) }
    }

    private func wake() {
        condition.lock()
        condition.unlock(withValue: 1)
    }

    private func run() {
        var watches: [Watch] = []
        while true {
            if watches.isEmpty {
                condition.lock(whenValue: 1)
                condition.unlock(withValue: 0)
            } else if condition.lock(whenValue: 1, timeoutSeconds: Double(Self.tick.nanoseconds) / 1e9) {
                condition.unlock(withValue: 0)
            }
            let (fires, entries, ended) = state.withLockedValue { state in
                let fires = state.pending
                state.pending.removeAll(keepingCapacity: true)
                return (fires, fires.isEmpty ? [] : Array(state.table.values), state.ended)
            }
            if ended { return }
            for fire in fires { watches.append(kill(fire, entries)) }
            watches = watches.compactMap(look)
        }
    }

    private func kill(_ fire: Fire, _ entries: [EmergencyEntry]) -> Watch {
        let began = Clock.boottime()
        var watch = Watch(left: [], outcomes: [], began: began, report: fire.report)
        for entry in entries where entry.isCovered(by: fire.scope) {
            // A refusal is not the end: what counts is whether it is gone.
            _ = entry.kill(line: fire.line)
            watch.left.append(entry)
        }
        return watch
    }

    /// Whether nothing of a launch is left.
    ///
    /// Past the shim's bound what is left is killed from here.
    private func isGone(_ entry: EmergencyEntry, since began: BootTime, _ now: BootTime) -> Bool {
        // The loop takes an entry out once the shim has said `gone`.
        guard self.entry(entry.service)?.launch == entry.launch else { return true }
        guard entry.isProcessGone, let left = entry.left() else { return false }
        if left.isEmpty { return true }
        guard now - began > Self.shimBound else { return false }
        for process in left {
            do throws(PIDFD.Failure) { try PIDFD(opening: process).signal(SIGKILL) } catch { continue }
        }
        return false
    }

    /// Nil once the watch is over.
    private func look(_ watch: Watch) -> Watch? {
        var watch = watch
        let now = Clock.boottime()
        var gone: [Outcome] = []
        watch.left.removeAll { entry in
            guard isGone(entry, since: watch.began, now) else { return false }
            gone.append(Outcome(service: entry.service, gone: true, after: now - watch.began, pid: entry.pid, text: ""))
            return true
        }
        watch.outcomes += gone
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
        if !gone.isEmpty { watch.report?(gone, false) }
        return watch
    }
}
