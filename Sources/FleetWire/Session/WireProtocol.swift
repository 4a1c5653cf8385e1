import FleetCore
import FleetTrust

/// The version spoken here, and what must hold of hello and welcome before a session opens.
package enum WireProtocol {
    package static let version: UInt32 = 1

    /// A silent peer that is missed later is no peer.
    private static let periodMaxNs: UInt64 = 3_600_000_000_000

    /// What is wrong with an agent's hello; nil: nothing.
    static func fault(in hello: WireHello, of peer: VerifiedPeer) -> (slug: String, text: String)? {
        guard hello.protocolMin <= version, hello.protocolMax >= version else {
            return (
                "protocol-version",
                "it speaks versions \(hello.protocolMin) to \(hello.protocolMax), this side \(version); upgrade the older side"
            )
        }
        guard hello.fleet == peer.identity.fleet.raw else {
            return ("wrong-fleet", "its hello says fleet \"\(hello.fleet)\", its certificate \(peer.identity.fleet)")
        }
        guard hello.host == peer.identity.name else {
            return ("wrong-host", "its hello says host \"\(hello.host)\", its certificate \(peer.identity.name)")
        }
        return nil
    }

    /// What is wrong with a coordinator's welcome; nil: nothing.
    static func fault(in welcome: WireWelcome, to hello: WireHello) -> (slug: String, text: String)? {
        guard hello.protocolMin <= welcome.protocol, welcome.protocol <= hello.protocolMax else {
            return ("protocol-version", "it welcomes with version \(welcome.protocol), which wasn't offered")
        }
        guard welcome.heartbeatNs <= periodMaxNs, welcome.timeoutNs <= periodMaxNs else {
            return ("bad-welcome", "its heartbeat of \(welcome.heartbeatNs) ns or its time-out of \(welcome.timeoutNs) ns is longer than an hour")
        }
        // A time-out shorter than two heartbeats, or of zero, would end every session at once.
        guard welcome.heartbeatNs > 0, welcome.timeoutNs / 2 >= welcome.heartbeatNs else {
            return ("bad-welcome", "its time-out of \(welcome.timeoutNs) ns is shorter than two heartbeats")
        }
        guard !welcome.session.isEmpty else { return ("bad-welcome", "it names no session") }
        return nil
    }

    /// Fills in what the decider left open, and what it has no say in.
    static func complete(_ welcome: inout WireWelcome, for peer: VerifiedPeer, timing: WireTiming) {
        welcome.protocol = version
        if welcome.session.isEmpty { welcome.session = Random.hex(8) }
        if peer.isRestricted { welcome.restricted = true }
        if welcome.heartbeatNs == 0 { welcome.heartbeatNs = UInt64(clamping: timing.heartbeat.nanoseconds) }
        if welcome.timeoutNs == 0 { welcome.timeoutNs = UInt64(clamping: (timing.offeredTimeout ?? timing.timeout).nanoseconds) }
    }
}

/// A refusal is what a listener's decider returns instead of a welcome.
extension WireRefusal: Error {}
