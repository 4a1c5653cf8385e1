internal import Glibc
internal import NIOConcurrencyHelpers

/// One thread that does blocking work in the order in which it was handed over, so that the agent's loop never blocks.
///
/// The queue is bounded: past `bound` work is refused and the caller says so.
final class WorkThread: Sendable {
    private struct State {
        var queue: [@Sendable () -> Void] = []
        var ended = false
    }

    /// More than a host's probes, commands and followers together ever hold at once.
    static let bound = 4_096

    let name: String
    private let state = NIOLockedValueBox(State())
    /// 0: idle, 1: something to do.
    private let condition = ConditionLock<Int>(value: 0)

    /// `name` as it stands in /proc/PID/task/TID/comm: at most 15 bytes.
    init(name: String) {
        precondition(name.utf8.count <= 15, "a thread's name has at most 15 bytes: \(name)")
        self.name = name
    }

    /// Starts the thread; it ends with `end`.
    func start() {
        let box = Unmanaged.passRetained(self)
        var thread = pthread_t()
        let failed = pthread_create(
            &thread, nil,
            { raw in
                guard let raw else { return nil }
                let this = Unmanaged<WorkThread>.fromOpaque(raw).takeRetainedValue()
                nameThisThread(this.name)
                this.run()
                return nil
            }, box.toOpaque())
        precondition(failed == 0, "pthread_create of \(name) failed with \(failed)")
        pthread_detach(thread)
    }

    /// False when the queue is full or the thread has ended; the work is then not done.
    @discardableResult
    func submit(_ work: @escaping @Sendable () -> Void) -> Bool {
        let taken = state.withLockedValue { state in
            guard !state.ended, state.queue.count < Self.bound else { return false }
            state.queue.append(work)
            return true
        }
        if taken {
            condition.lock()
            condition.unlock(withValue: 1)
        }
        return taken
    }

    /// Lets the work in hand finish and drops the rest.
    func end() {
        state.withLockedValue { $0.ended = true }
        condition.lock()
        condition.unlock(withValue: 1)
    }

    private func run() {
        while true {
            condition.lock(whenValue: 1)
            condition.unlock(withValue: 0)
            while true {
                let batch = state.withLockedValue { state in
                    let batch = state.queue
                    state.queue.removeAll(keepingCapacity: true)
                    return state.ended ? [] : batch
                }
                if batch.isEmpty { break }
                for work in batch { work() }
            }
            if state.withLockedValue({ $0.ended }) { return }
        }
    }
}
