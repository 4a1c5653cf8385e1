internal import FleetCore
internal import FleetWire
internal import LinuxHost

/// One asked-for operation and its outcome: a repeat is answered from here and never done twice (law 3).
///
/// `@unchecked Sendable`: touched on the agent's loop only.
final class Operation: @unchecked Sendable {
    let id: String
    /// The worker's service; empty for host-wide questions.
    let service: String
    /// Who gets results: the sessions that asked, and local runs.
    private(set) var listeners: [Listener] = []
    private(set) var result: WireCommandResult?
    var records: [WireRecordCitation] = []
    var signalledAt: BootTime?
    var goneAt: BootTime?
    /// Past it no first effect may be carried out, by this host's own clock; nil: no limit.
    let notAfter: BootTime?
    /// Why nothing was done although the machine had taken the order.
    var expired: String?

    struct Listener {
        /// A session's id, so that a repeat on the same session attaches once.
        let key: String
        let send: (WireCommandResult) -> Void
    }

    /// A session that reconnects over and over leaves dead listeners behind; only the newest can still hear.
    private static let listenersMax = 16

    init(id: String, service: String, records: [WireRecordCitation] = [], notAfter: BootTime? = nil) {
        self.id = id
        self.service = service
        self.records = records
        self.notAfter = notAfter
    }

    /// The sentence for an order that is too late to be carried out; nil while it is not.
    func lateness(at now: BootTime) -> String? {
        guard let notAfter, now > notAfter else { return nil }
        return "the command came \((now - notAfter).words) too late and was not done. Order it again if it is still wanted"
    }

    func attach(_ listener: Listener) {
        listeners.removeAll { $0.key == listener.key }
        if listeners.count >= Self.listenersMax { listeners.removeFirst() }
        listeners.append(listener)
        if let result { listener.send(result) }
    }

    /// A result that isn't PROGRESS is the last one and is kept.
    func publish(_ result: WireCommandResult) {
        guard self.result == nil else { return }
        if result.outcome != .progress { self.result = result }
        Failpoint.beforeSend.pass("\(result.outcome)")
        for listener in listeners { listener.send(result) }
        Failpoint.afterSend.pass("\(result.outcome)")
        if self.result != nil { listeners = [] }
    }
}
