internal import FleetCore
internal import FleetWire
internal import NIOConcurrencyHelpers

/// What hosts have said and `home` has not looked at yet, bounded for each host: it must not fill memory faster than it is read.
///
/// Apart from `SessionTable`, whose lock an emergency stop takes.
final class HomeQueue: Sendable {
    /// Bytes of one host's messages that may wait: several pages of a log, each as large as a frame may be.
    static let bytesMax = 32 << 20

    private struct State {
        /// Each host's newest report: what it says faster than reports are looked at is never queued.
        var reports: [HostName: WireHostReport] = [:]
        /// Bytes of each host's other messages.
        var bytes: [HostName: Int] = [:]
    }

    private let state = NIOLockedValueBox(State())

    /// True if no report of that host waited: the caller has `home` take it.
    func keep(_ report: WireHostReport, of host: HostName) -> Bool {
        state.withLockedValue { $0.reports.updateValue(report, forKey: host) == nil }
    }

    func takeReport(of host: HostName) -> WireHostReport? { state.withLockedValue { $0.reports.removeValue(forKey: host) } }

    /// False: more would wait than may; nothing was counted.
    func enter(_ bytes: Int, of host: HostName) -> Bool {
        state.withLockedValue { state in
            let waiting = state.bytes[host, default: 0] + bytes
            guard waiting <= Self.bytesMax else { return false }
            state.bytes[host] = waiting
            return true
        }
    }

    func leave(_ bytes: Int, of host: HostName) {
        state.withLockedValue { state in
            let waiting = state.bytes[host, default: 0] - bytes
            state.bytes[host] = waiting > 0 ? waiting : nil
        }
    }
}
