/// What the process ends with.
///
/// Scripts go by these, so that they never change their meaning.
enum ExitStatus: Int32 {
    case done = 0
    case failed = 1
    case usage = 2
    case refused = 3
    case unknown = 4
    case contradicted = 5
    case unfinished = 6

    static let table = [
        "0  done; a stop: the certificate is proven; status: all as wanted",
        "1  failed: a run failed, a file could not be read or written, an answer made no sense",
        "2  usage or bad input: nothing was done",
        "3  refused, or a person is needed; a stop: the certificate is unproven",
        "4  unknown: no coordinator answers, a host does not report, an emergency stop is not confirmed everywhere",
        "5  contradicted: the certificate, or the audit file, shows that something is wrong",
        "6  not finished: the run was aborted, or goes on without this command (interrupted, connection lost)",
        "   With --detach 0 says that the run was accepted, and nothing of how it ends.",
    ]

    /// Of a run's verdict; without one the run's state says it.
    init(verdict: String) {
        switch verdict {
        case "", "proven": self = .done
        case "contradicted": self = .contradicted
        default: self = .refused
        }
    }

    /// Of a refusal or failure by its slug.
    init(slug: String) {
        switch slug {
        case "bad-request", "unknown-service", "unknown-tier", "unknown-host", "unknown-stream", "unknown-gate", "unknown-run", "no-reason", "not-found",
            "body-too-large":
            self = .usage
        case "no-coordinator", "no-agent", "starting", "host-unknown", "not-confirmed": self = .unknown
        case "internal", "bad-answer", "failed": self = .failed
        case "stream-broken": self = .unfinished
        default: self = .refused
        }
    }
}
