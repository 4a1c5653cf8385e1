package import FleetAPI
package import FleetCore

/// Who calls: an operator's certificate, or a peer of the Unix socket.
package struct Caller: Sendable, Equatable {
    /// As it stands in the audit: `operator/alice`, `local:uid 1000`, `token`.
    package let name: String
    /// What its certificate and the revocation list leave it; empty: everything.
    package let limits: [SessionLimit]

    package init(name: String, limits: [SessionLimit] = []) {
        self.name = name
        self.limits = limits
    }
}

/// What a coordinator answers to its API: FleetServer calls it, nothing else knows about HTTP.
///
/// Every method throws `APIProblem` for a refusal. What `limits` and the caller's own rule out FleetServer has refused before
/// (`SessionRights`).
package protocol CoordinatorService: AnyObject, Sendable {
    /// What limits everybody here: a relay carries next to nothing.
    var limits: [SessionLimit] { get }
    /// `kind`: stop, start, restart, quiesce, resume. Returns once the run has been journaled (or, with dry_run, planned).
    func run(kind: String, _ request: APIRunRequest, by caller: Caller) async throws -> APIRunAccepted
    func hold(_ request: APIHoldRequest, by caller: Caller) async throws -> APIDone
    /// A person's word that of two instances of a host one is gone. Throws while both answer.
    func settle(_ request: APISettleRequest, by caller: Caller) async throws -> APIDone
    /// Puts a lock or a note on workers, or takes it off. Throws when not all hosts did it, naming those that did.
    func mark(_ verb: MarkVerb, _ request: APIMarkRequest, by caller: Caller) async throws -> APIDone
    /// One answer per host, in the inventory's order; a host that did not answer has a problem in its place.
    func layout(_ request: APILayoutAsk, by caller: Caller) async throws -> APILayoutAnswers
    /// `name`: service@host. Without its host's answer it holds what was last reported, and why there is no more.
    func worker(_ name: String) async throws -> APIWorkerPage
    /// Sets the latch and waits for the agents' words, at most `bound`.
    func emergencyStop(_ request: APIEmergencyRequest, by caller: Caller, bound: Duration) async throws -> APIEmergencyAnswer
    /// Without a signature of the caller's a relay releases nothing.
    func releaseLatch(_ request: APILatchRelease, by caller: Caller) async throws -> APIDone
    /// Keeps an operator's statement and tells it to every agent.
    func succeed(_ request: APISuccessionRequest, by caller: Caller) async throws -> APIDone
    func status() async throws -> APIFleetStatus
    func runs() async throws -> APIRunList
    func run(id: UInt64) async throws -> APIRun
    /// The run's events from a sequence on; ends after the one of kind `ended`. Bounded buffer: a reader that falls more
    /// than 10,000 events behind gets the stream ended.
    func events(run id: UInt64, from sequence: UInt64) async throws -> AsyncStream<APIRunEvent>
    func intervene(run id: UInt64, _ intervention: Intervention, _ request: APIOverride, by caller: Caller) async throws -> APIDone
    /// Lines since a moment (microseconds since 1970; 0: no bound) that hold a text (empty: every line), at most so many of each log.
    func logs(services: [String], host: String?, lines: UInt32, follow: Bool, since: UInt64, grep: String) async throws -> AsyncStream<APILogEntry>
    func audit(host: String?, limit: UInt32) async throws -> APIAuditPage
}
