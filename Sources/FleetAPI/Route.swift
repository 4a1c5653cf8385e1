/// Every path of the API. Coordinators answer all of them; a relay the ones marked R; an agent, for its own host, those
/// marked A.
package enum Route {
    // POST
    package static let stop = "/api/v1/stop"  // A  RunRequest -> RunAccepted
    package static let start = "/api/v1/start"  // A
    package static let restart = "/api/v1/restart"  // A
    package static let quiesce = "/api/v1/quiesce"  // A
    package static let resume = "/api/v1/resume"  // A
    package static let hold = "/api/v1/hold"  // A  HoldRequest -> Done
    package static let emergencyStop = "/api/v1/emergency-stop"  // R A  EmergencyRequest -> EmergencyAnswer
    package static let emergencyRelease = "/api/v1/emergency-stop/release"  // R A  LatchRelease -> Done
    // Aliases of stop, start and restart of everything: POST with an optional RunRequest body.
    package static let pipelineStop = "/api/pipeline/stop"
    package static let pipelineStart = "/api/pipeline/start"
    package static let pipelineRestart = "/api/pipeline/restart"
    package static let settle = "/api/v1/hosts/settle"  // SettleRequest -> Done
    package static let lock = "/api/v1/lock"  // A  MarkRequest -> Done
    package static let unlock = "/api/v1/unlock"  // A
    package static let note = "/api/v1/note"  // A
    package static let layout = "/api/v1/layout"  // A  LayoutAsk -> LayoutAnswers
    package static let succession = "/api/v1/coordinator/succession"  // SuccessionRequest -> Done
    package static let accept = "/api/v1/coordinator/accept"  // of an agent alone: AcceptRequest -> Done
    // GET
    package static let status = "/api/v1/status"  // R A  FleetStatus
    package static let runs = "/api/v1/runs"  // A  RunList
    package static let logs = "/api/v1/logs"  // A  ?service=NAME (repeated, or "all")&host=H&lines=N&follow=1&since=UNIX_US&grep=TEXT -> server-sent LogEntry
    package static let audit = "/api/v1/audit"  // A  ?host=H (absent: the coordinator's own)&limit=N -> AuditPage

    /// GET: Run. Below it `/events` (server-sent RunEvent, ends with kind "ended"), and POST `/abort`, `/retry`,
    /// `/override`, `/attest` (Override -> Done).
    package static func worker(_ name: String) -> String { "/api/v1/workers/\(name)" }  // A  GET: WorkerPage

    package static func run(_ id: UInt64) -> String { "\(runs)/\(id)" }
}
