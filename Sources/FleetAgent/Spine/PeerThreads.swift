internal import Glibc
internal import NIOConcurrencyHelpers

/// Threads for questions that may hang: those of one lane one after the other, lanes side by side.
///
/// A lane is a peer and a purpose, so a peer that hangs delays only what is asked of it for the same purpose. Threads
/// exist only while there is something to do. Bounded: with `threadsMax` lanes hanging at once the others wait, and past
/// `queueMax` work is refused and the caller says so.
final class PeerThreads: Sendable {
    /// More peers than this that hang at once on one host are an outage of their own.
    static let threadsMax = 16
    static let queueMax = 4_096

    private struct Work {
        let lane: String
        let run: @Sendable () -> Void
    }

    private struct State {
        var queue: [Work] = []
        var busy: Set<String> = []
        var threads = 0
        var ended = false

        /// The first whose lane is free.
        mutating func next() -> Work? {
            guard !ended, let index = queue.firstIndex(where: { !busy.contains($0.lane) }) else { return nil }
            let work = queue.remove(at: index)
            busy.insert(work.lane)
            return work
        }
    }

    private let name: String
    private let state = NIOLockedValueBox(State())

    /// `name` as it stands in /proc/PID/task/TID/comm: at most 15 bytes.
    init(name: String) {
        precondition(name.utf8.count <= 15, "a thread's name has at most 15 bytes: \(name)")
        self.name = name
    }

    /// False when the work will not be done: the queue is full, this has ended, or the kernel gives no thread.
    @discardableResult
    func submit(lane: String, _ work: @escaping @Sendable () -> Void) -> Bool {
        let (taken, first) = state.withLockedValue { state -> (Bool, Work?) in
            guard !state.ended, state.queue.count < Self.queueMax else { return (false, nil) }
            state.queue.append(Work(lane: lane, run: work))
            guard state.threads < Self.threadsMax, let first = state.next() else { return (true, nil) }
            state.threads += 1
            return (true, first)
        }
        guard let first else { return taken }
        return start(with: first)
    }

    /// Lets the work in hand finish and drops the rest.
    func end() {
        state.withLockedValue { state in
            state.ended = true
            state.queue = []
        }
    }

    private final class Start {
        let threads: PeerThreads
        let work: Work
        init(_ threads: PeerThreads, _ work: Work) { (self.threads, self.work) = (threads, work) }
    }

    private func start(with work: Work) -> Bool {
        let box = Unmanaged.passRetained(Start(self, work))
        var thread = pthread_t()
        let failed = pthread_create(
            &thread, nil,
            { raw in
                guard let raw else { return nil }
                let start = Unmanaged<Start>.fromOpaque(raw).takeRetainedValue()
                nameThisThread(start.threads.name)
                start.threads.run(start.work)
                return nil
            }, box.toOpaque())
        guard failed == 0 else {
            // EAGAIN (pthread_create(3)): the caller says so, and other threads do what else waits.
            box.release()
            state.withLockedValue { state in
                state.threads -= 1
                state.busy.remove(work.lane)
            }
            return false
        }
        pthread_detach(thread)
        return true
    }

    private func run(_ first: Work) {
        var work = first
        while true {
            work.run()
            let done = work.lane
            let next = state.withLockedValue { state -> Work? in
                state.busy.remove(done)
                let next = state.next()
                if next == nil { state.threads -= 1 }
                return next
            }
            guard let next else { return }
            work = next
        }
    }
}
