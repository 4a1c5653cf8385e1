/// Where an agent keeps what: STATE survives a reboot, RUN is a tmpfs that does not.
struct AgentPaths: Equatable, Sendable {
    let state: String
    let run: String

    var journal: String { state + "/journal" }
    var part: String { state + "/part.pb" }
    /// Of agents from before pins: the highest epoch seen of each store.
    var epochs: String { state + "/epochs" }
    var pin: String { state + "/coordinator" }
    /// The last revocation list that could be used.
    var revocations: String { state + "/crl-last-good.pem" }
    var stateLatches: String { state + "/latch" }
    var runLatches: String { run + "/latch" }
    var logs: String { state + "/logs" }
    var localSocket: String { run + "/agent.sock" }
    var runLock: String { run + "/agent.lock" }
    var stateLock: String { state + "/agent.lock" }

    /// Workers' own directories; both it and `state` may be passed through by whoever a worker runs as, and are read by nobody else.
    var workers: String { state + "/workers" }

    func workerState(_ service: String) -> String { workers + "/" + service }
    func standardOutput(_ service: String) -> String { "\(logs)/\(service).out" }
    func standardError(_ service: String) -> String { "\(logs)/\(service).err" }
    func pidFile(_ service: String) -> String { "\(run)/\(service).pid" }
}
