package import FleetCore

/// Tells whether a latch, or its release, carries the signature of one who may set or release it. Each answer takes about
/// half a millisecond.
package struct LatchJudge: Sendable {
    private let verifier: PeerVerifier
    private let fleet: FleetName
    /// Coordinators whose signature on a set counts beside operators', by name.
    private let coordinators: Set<String>
    /// Those whose signature on a release does.
    private let releasers: Set<String>

    package init(verifier: PeerVerifier, fleet: FleetName, coordinators: Set<String>, releasers: Set<String>) {
        self.releasers = releasers
        self.verifier = verifier
        self.fleet = fleet
        self.coordinators = coordinators
    }

    package func isSet(_ latch: Latch) -> Bool { counts(LatchStatement.set(latch, fleet: fleet), latch.signature, by: latch.by, or: coordinators) }

    package func isReleased(_ id: String, _ release: Latch.Release) -> Bool {
        counts(LatchStatement.release(id, release, fleet: fleet), release.signature, by: release.by, or: releasers)
    }

    /// An operator signs in its own name; a coordinator in that of whoever asked it.
    private func counts(_ statement: [UInt8], _ signature: String, by author: String, or coordinators: Set<String>) -> Bool {
        guard !signature.isEmpty, case .success(let signer) = verifier.signer(of: statement, signature: signature, roles: [.operator, .coordinator]) else {
            return false
        }
        return signer.role == .operator ? author == signer.author : coordinators.contains(signer.name)
    }
}
