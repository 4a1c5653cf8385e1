import FleetTrust
import Glibc
import LinuxHost

/// The journal's own thread: takes what has been queued, writes it in groups, tells each caller.
///
/// `@unchecked Sendable`: all that is `var` is touched only with `mutex` held; `store` only by
/// the thread once it runs, and before that only by the one that makes this.
final class JournalWriter: @unchecked Sendable {
    struct Pending {
        var records: [AuditRecord]
        var completion: @Sendable (JournalStore.Outcome) -> Void
    }

    /// One write and one sync take at most this many bytes, or one caller's records.
    private static let groupRecordsMax = 1_024
    /// How often it tries to get out of the reserve while nothing is appended.
    private static let retrySeconds = 1

    private let store: JournalStore
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var queue: [Pending] = []
    private var queued = 0
    private var closing = false
    private var durable: JournalHead
    private var thread: pthread_t?
    /// Of the file, until this is closed.
    private var lock: FileLock?

    init(store: JournalStore, lock: FileLock) {
        self.store = store
        self.lock = lock
        self.durable = Self.head(store.chain)
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    var head: JournalHead { withLock { durable } }

    func start() throws(JournalError) {
        var thread = pthread_t()
        let context = Unmanaged.passRetained(self)
        let result = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                Unmanaged<JournalWriter>.fromOpaque(context).takeRetainedValue().run()
                return nil
            }, context.toOpaque())
        guard result == 0 else {
            context.release()
            throw .storage(LinuxError("start the thread of", "the journal", errno: result))
        }
        withLock { self.thread = thread }
    }

    func append(_ pending: Pending) {
        let refusal: JournalError? = withLock {
            if closing { return .closed }
            if queued + pending.records.count > Journal.queueMax { return .queueFull(limit: Journal.queueMax) }
            queue.append(pending)
            queued += pending.records.count
            pthread_cond_signal(condition)
            return nil
        }
        if let refusal { pending.completion(.failure(refusal)) }
    }

    /// Writes what is queued, then ends the thread; called again, it does nothing.
    func close() {
        let thread: pthread_t? = withLock {
            closing = true
            pthread_cond_signal(condition)
            defer { self.thread = nil }
            return self.thread
        }
        guard let thread else { return }
        // The last reference may have been dropped by a completion, on the journal's own thread: it can't wait for itself.
        if pthread_equal(thread, pthread_self()) != 0 { pthread_detach(thread) } else { pthread_join(thread, nil) }
        withLock { lock = nil }
    }

    // MARK: The thread

    private func run() {
        // Signals are for the process's own loop.
        var all = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_BLOCK, &all, nil)
        while let group = next() {
            if group.isEmpty {
                _ = store.leaveReserve()
                publishHead()
            } else {
                write(group)
            }
        }
        _ = store.leaveReserve()
        publishHead()
    }

    /// What to write together; empty: try to leave the reserve; nil: closed and nothing left.
    private func next() -> [Pending]? {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while queue.isEmpty {
            if closing { return nil }
            if store.isInReserve {
                var deadline = timespec()
                clock_gettime(CLOCK_REALTIME, &deadline)
                deadline.tv_sec += Self.retrySeconds
                if pthread_cond_timedwait(condition, mutex, &deadline) == ETIMEDOUT, queue.isEmpty { return [] }
            } else {
                pthread_cond_wait(condition, mutex)
            }
        }
        var count = 0
        let group = queue.prefix { pending in
            defer { count += pending.records.count }
            return count == 0 || count + pending.records.count <= Self.groupRecordsMax
        }
        queue.removeFirst(group.count)
        queued -= group.reduce(0) { $0 + $1.records.count }
        return Array(group)
    }

    private func write(_ group: [Pending]) {
        // In the reserve, and when a group fails, each caller's records stand for themselves.
        if group.count > 1, !store.isInReserve, group.allSatisfy({ $0.records.allSatisfy(Self.surelyFits) }) {
            switch store.append(group.flatMap(\.records)) {
            case .success(let appended):
                publishHead()
                var rest = appended[...]
                for pending in group {
                    pending.completion(.success(Array(rest.prefix(pending.records.count))))
                    rest = rest.dropFirst(pending.records.count)
                }
            case .failure(let error):
                for pending in group { pending.completion(.failure(error)) }
            }
            return
        }
        for pending in group {
            let outcome = store.append(pending.records)
            publishHead()
            pending.completion(outcome)
        }
    }

    /// So small that its JSON is below a line's bound, escapes and all.
    private static func surelyFits(_ record: AuditRecord) -> Bool {
        let texts = [record.event, record.host, record.worker, record.by, record.reason].compactMap { $0 }
        let bytes = texts.reduce(0) { $0 + $1.utf8.count } + record.fields.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count }
        return bytes < JournalLine.payloadMax / 16
    }

    private func publishHead() {
        let head = Self.head(store.chain)
        withLock { durable = head }
    }

    private static func head(_ chain: JournalChain) -> JournalHead {
        JournalHead(sequence: chain.sequence, hash: Digest.hex(chain.hash))
    }

    private func withLock<Result>(_ body: () -> Result) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body()
    }
}
