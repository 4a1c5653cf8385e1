/// What a restricted session carries: status, latch, quiesce and stop, never what starts or configures anything.
///
/// Source: DESIGN, "Wire and trust" and law 11.
package enum WireRestriction {
    /// Why `envelope` may not pass a restricted session; nil: it may.
    package static func refusal(of envelope: WireEnvelope) -> String? {
        switch envelope.body {
        case .part: "a host's part of the inventory"
        case .logRequest, .logChunk: "a log"
        case .command(let command):
            switch command.what {
            case .start: "a start"
            case .resume: "a resume"
            case .unlock: "an unlock"
            case .layout: "the layout"
            case .lock, .remark, .readDetail, .stop, .quiesce, .holdWait, .holdRelease, .readGate, .readStreams, .verify, .snapshot, nil: nil
            }
        case .hello, .welcome, .refusal, .heartbeat, .report, .result, .latches, .emergencyStop, .emergencyResult,
            .auditRequest, .auditChunk, .ping, .pong, nil:
            nil
        }
    }
}
