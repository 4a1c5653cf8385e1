package import FleetAPI

/// Who calls: an operator's certificate, or a peer of the Unix socket.
package struct Caller: Sendable, Equatable {
    /// As it stands in the audit: `operator/alice`, `local:uid 1000`, `token`.
    package let name: String
    /// A session whose peer is out of date: status and emergency stop only.
    package let restricted: Bool

    package init(name: String, restricted: Bool) {
        self.name = name
        self.restricted = restricted
    }
}

/// What a coordinator answers to its API: FleetServer calls it, nothing else knows about HTTP.
///
/// Every method throws `APIProblem` for a refusal. A relay answers status, emergency stop and its release, and throws
/// `not-here` for everything else.
package protocol CoordinatorService: AnyObject, Sendable {
    /// `kind`: stop, start, restart, quiesce, resume. Returns once the run has been journaled (or, with dry_run, planned).
    func run(kind: String, _ request: APIRunRequest, by caller: Caller) async throws -> APIRunAccepted
    func hold(_ request: APIHoldRequest, by caller: Caller) async throws -> APIDone
    /// Sets the latch and waits for the agents' words, at most `bound`.
    func emergencyStop(_ request: APIEmergencyRequest, by caller: Caller, bound: Duration) async throws -> APIEmergencyAnswer
    func releaseLatch(_ request: APILatchRelease, by caller: Caller) async throws -> APIDone
    func status() async throws -> APIFleetStatus
    func runs() async throws -> APIRunList
    func run(id: UInt64) async throws -> APIRun
    /// The run's events from a sequence on; ends after the one of kind `ended`. Bounded buffer: a reader that falls more
    /// than 10,000 events behind gets the stream ended.
    func events(run id: UInt64, from sequence: UInt64) async throws -> AsyncStream<APIRunEvent>
    /// verb: abort, retry, override, attest
    func intervene(run id: UInt64, verb: String, _ request: APIOverride, by caller: Caller) async throws -> APIDone
    /// Lines since a moment (microseconds since 1970; 0: no bound) that hold a text (empty: every line), at most so many of each log.
    func logs(services: [String], host: String?, lines: UInt32, follow: Bool, since: UInt64, grep: String) async throws -> AsyncStream<APILogEntry>
    func audit(host: String?, limit: UInt32) async throws -> APIAuditPage
}
