import ArgumentParser

/// How a demo worker ends, as its exit status.
enum WorkerExit: Int32 {
    case fine = 0
    /// Something was sent whose answer never came, or stored and not acknowledged: the counts are bounds, not figures.
    case unresolved = 3
    case ordersLeft = 4
    /// The shutdown marker or the sink could not be written.
    case notWritten = 5
    /// EX_SOFTWARE of sysexits.h.
    case couldNotStart = 70

    /// Ends a command's `run()`.
    func leave() throws {
        if self != .fine { throw ExitCode(rawValue) }
    }
}
