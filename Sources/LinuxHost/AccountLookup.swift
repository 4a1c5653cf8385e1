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

    private init(_ user: UInt32) throws(LinuxError) {
        self.user = user
        answered = try WakePipe()
    }

    static func name(of user: UInt32, within bound: Duration) -> String? {
        guard underWay.add(1, ordering: .relaxed).newValue <= underWayMax else {
            underWay.subtract(1, ordering: .relaxed)
            return nil
        }
        do throws(LinuxError) {
            guard let lookup = try begun(user) else { return nil }
            guard try Descriptors.wait(lookup.answered.descriptor, for: Int16(POLLIN), within: bound) else { return nil }
            return lookup.answer.withLock { $0 }
        } catch {
            // Without a pipe or a thread a number does.
            return nil
        }
    }

    /// nil: no thread is to be had.
    private static func begun(_ user: UInt32) throws(LinuxError) -> AccountLookup? {
        let lookup: AccountLookup
        do throws(LinuxError) { lookup = try AccountLookup(user) } catch {
            underWay.subtract(1, ordering: .relaxed)
            throw error
        }
        var thread = pthread_t()
        let held = Unmanaged.passRetained(lookup)
        let code = pthread_create(
            &thread, nil,
            { raw in
                if let raw { Unmanaged<AccountLookup>.fromOpaque(raw).takeRetainedValue().ask() }
                return nil
            }, held.toOpaque())
        guard code == 0 else {
            held.release()
            underWay.subtract(1, ordering: .relaxed)
            return nil
        }
        pthread_detach(thread)
        return lookup
    }

    private func ask() {
        let found = Account.name(of: user)
        answer.withLock { $0 = found }
        Self.underWay.subtract(1, ordering: .relaxed)
        answered.wake()
    }
}
