import FleetCore
import FleetTrust
import FleetWire
import Glibc
import NIOCore
import SwiftProtobuf

/// The throw-away certificates of the wire benchmark, and its messages.
struct WireBenchFiles: Sendable {
    static let fleet: FleetName = "bench"
    static let coordinator = "ctl-1"
    /// Every agent shows the same certificate: verifying it costs as much as verifying a thousand different ones.
    static let agent = "agent"

    /// Of a command and of an answer on the wire, before TLS.
    static let commandBytes = 100
    static let answerBytes = 200

    let directory: String

    func paths(_ role: FleetIdentity.Role) -> TLSPaths {
        let name = role == .coordinator ? Self.coordinator : Self.agent
        return TLSPaths(
            cert: "\(directory)/\(role.rawValue)-\(name).pem", key: "\(directory)/\(role.rawValue)-\(name).key",
            ca: "\(directory)/ca.pem", crl: "\(directory)/crl.pem")
    }

    /// A frame of exactly ``commandBytes``.
    static func command(_ round: UInt64) throws -> ByteBuffer {
        try encodeFrame(
            .with {
                $0.ping = .with {
                    $0.id = round; $0.payload = String(repeating: "x", count: 85)
                }
            }
        ).checked(commandBytes)
    }

    /// A frame of exactly ``answerBytes``.
    static func answer(_ round: UInt64) throws -> ByteBuffer {
        try encodeFrame(
            .with {
                $0.pong = .with {
                    $0.id = round; $0.payload = String(repeating: "x", count: 183)
                }
            }
        ).checked(answerBytes)
    }

    /// Rounds are numbered from here, so that each number takes as many bytes.
    static let firstRound: UInt64 = 1 << 32

    func remove() {
        guard let stream = opendir(directory) else { return }
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            unlink("\(directory)/\(name)")
        }
        closedir(stream)
        rmdir(directory)
    }
}

extension ByteBuffer {
    /// Itself, when it has the size that both sides of the comparison must have.
    fileprivate func checked(_ count: Int) -> ByteBuffer {
        precondition(readableBytes == count, "a frame of \(readableBytes) bytes instead of \(count)")
        return self
    }
}
