internal import Glibc
internal import Synchronization

/// One question to the account files or a directory service, on a thread of its own, which ends when they answer.
final class AccountLookup: Sendable {
    /// Threads that may wait for an answer at a time; beyond them nobody is asked.
    private static let underWayMax = 8
    private static let underWay = Atomic<Int>(0)

    private let user: UInt32
    private let answered: WakePipe
    private let answer = Mutex<String?>(nil)

    /// nil: as many as may wait for an answer already.
    private init?(_ user: UInt32) throws(LinuxError) {
        self.user = user
        answered = try WakePipe()
        guard Self.underWay.add(1, ordering: .relaxed).newValue <= Self.underWayMax else { return nil }
    }

    // Held by whoever asks, and by its thread until that has the answer.
    deinit { Self.underWay.subtract(1, ordering: .relaxed) }

    static func name(of user: UInt32, within bound: Duration) -> String? {
        do throws(LinuxError) {
            guard let lookup = try AccountLookup(user), lookup.begin(),
                try Descriptors.wait(lookup.answered.descriptor, for: Int16(POLLIN), within: bound)
            else { return nil }
            return lookup.answer.withLock { $0 }
        } catch {
            // Without a pipe a number does.
            return nil
        }
    }

    /// False: no thread is to be had.
    private func begin() -> Bool {
        var thread = pthread_t()
        let held = Unmanaged.passRetained(self)
        let code = pthread_create(
            &thread, nil,
            { raw in
                if let raw { Unmanaged<AccountLookup>.fromOpaque(raw).takeRetainedValue().ask() }
                return nil
            }, held.toOpaque())
        guard code == 0 else {
            held.release()
            return false
        }
        pthread_detach(thread)
        return true
    }

    private func ask() {
        let found = Account.name(of: user)
        answer.withLock { $0 = found }
        answered.wake()
    }
}
