package import FleetCore

extension WireEnvelope {
    /// What a coordinator asks with it; nil: nothing that trust has to do with, such as an agent's own word.
    package var deed: Deed? {
        switch body {
        case .part: .sendPart
        case .logRequest(let request): request.cancel ? nil : .readLogs
        case .auditRequest: .readAudit
        case .emergencyStop: .setLatch
        case .succession: .readStatus  // an operator's signature decides about it, whoever brings it
        case .command(let command): command.what?.deed
        case .hello, .welcome, .refusal, .heartbeat, .report, .result, .latches, .emergencyResult, .logChunk, .auditChunk, .ping, .pong, .standing, nil: nil
        }
    }
}

extension WireCommand.OneOf_What {
    package var deed: Deed {
        switch self {
        case .start: .start
        case .stop, .holdWait, .holdRelease: .stop
        case .quiesce: .quiesce
        case .resume: .resume
        case .lock: .lock
        case .unlock: .unlock
        case .remark: .note
        case .layout(let request): request.what == .apply ? .applyLayout : .readLayout
        case .readGate, .readStreams, .verify, .snapshot, .readDetail: .readStatus
        }
    }

    /// A question: answered anew each time that it is asked, never from memory (DESIGN: "Commands").
    package var isQuestion: Bool {
        switch self {
        case .readGate, .readStreams, .verify, .snapshot, .readDetail: true
        case .layout(let request): request.what != .apply
        case .start, .stop, .quiesce, .resume, .holdWait, .holdRelease, .lock, .unlock, .remark: false
        }
    }
}
