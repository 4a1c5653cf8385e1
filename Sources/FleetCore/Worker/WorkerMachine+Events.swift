/// What goes in and what comes out.
extension WorkerMachine {
    package enum Event: Equatable, Sendable {
        /// `launch` is the id to use should it be launched.
        case startRequested(Order, launch: LaunchID)
        case stopRequested(Order, killNow: Bool)
        case quiesceRequested(Order)
        case resumeRequested(Order)
        case holdWaitRequested(Order, Duration)
        case holdReleaseRequested(Order, kill: Bool)
        /// The record of a lock, an unlock or a note could not be written.
        case marksUnrecorded
        /// `trace` is kept with the record; nil: the shim's own record could not be read.
        case processStarted(pid: Int32, trace: LaunchTrace? = nil)
        case launchFailed(String)
        /// READY=1
        case readySaid
        /// EXTEND_TIMEOUT_USEC; `words` is what it says of itself meanwhile (`flightWords`).
        case extensionSaid(Duration, words: String = "")
        /// Any `KEY=VALUE` of the notify socket.
        case notified(String)
        /// The action's signal or call went out; `problem` says why not.
        case actionSent(problem: String?)
        /// The action's HTTP condition reads true.
        case actionShown
        /// The main process ended and the whole tree is gone.
        case gone(WorkerExit)
        /// A live launch of an earlier agent was found.
        case adopted(LaunchID, pid: Int32, ready: Bool, stopping: Bool, quiesced: Bool, trace: LaunchTrace? = nil)
        /// A launch of an earlier agent was found to have ended meanwhile.
        case foundGone(LaunchID, WorkerExit, wasStopping: Bool)
        /// A launch of an earlier agent was found to have run no process.
        case foundNever(LaunchID)
        /// A launch of this boot that left a directory and of which it can't be told whether something lives.
        case foundInDoubt(LaunchID)
        /// What the launch has left was looked at. The answer to `verify`, in time or late.
        case verified(LaunchID, Verification)
        /// True as often as one likes while it writes its core; `bytes` of it so far, 0 where that is unknown.
        case dumping(Bool, bytes: UInt64)
        /// Its shim's clock for WATCHDOG=1 has run out.
        case watchdogLate
        case watchdogBack
        /// `policy.health[index]` was read; `problem` says what is wrong.
        case healthRead(index: Int, problem: String?)
        /// MAINPID
        case mainPIDChanged(Int32, trace: LaunchTrace? = nil)
        /// RELOADING=1; READY=1 ends it.
        case reloading(Bool)
        case lockRequested(Order, Mark)
        case unlockRequested(Order)
        /// nil: takes the note away.
        case remarkRequested(Order, Mark?)
        case latched(String)
        case unlatched
        /// `launch` is the id to use should a restart be due.
        case timeReached(launch: LaunchID)
        case policyChanged(WorkerPolicy)
    }

    package enum Effect: Equatable, Sendable {
        case record(AuditEvent, order: Order?, fields: [Field])
        case launch(LaunchID)
        /// The stop signal: to the main process, and once that has ended to what it leaves.
        case signal(String)
        /// The worker was released from its stop: its main process may end again as it likes.
        case callOffStop
        case killTree(latch: String?)
        case perform(ActionSpec)
        /// Look at what the launch has left, and tell `verified`. Only a look: it waits for no record.
        case verify(LaunchID)
        case answer(Order, Answer)
    }

    package struct Field: Equatable, Sendable {
        package let key: String
        package let value: String
        package init(_ key: String, _ value: some CustomStringConvertible) {
            self.key = key
            self.value = value.description
        }
    }

    package enum Answer: Equatable, Sendable {
        case done(killed: Bool, held: Bool)
        /// It has not ended: what the run should show meanwhile.
        case progress(slug: String, text: String)
        case refused(slug: String, text: String)
        case failed(slug: String, text: String)
    }
}
