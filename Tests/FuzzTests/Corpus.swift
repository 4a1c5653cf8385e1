import FleetWire
import Foundation
import SwiftProtobuf

/// Valid inputs, as files that people can read; what was once found by a campaign stands beside them as `.bin`.
enum Corpus {
    static let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Fixtures/fuzz")

    /// The bytes of every file below `name`.
    static func files(_ name: String) throws -> [[UInt8]] {
        try paths(name).map { [UInt8](try Data(contentsOf: $0)) }
    }

    /// Envelopes, written as protobuf's JSON.
    static func envelopes(_ name: String) throws -> [[UInt8]] {
        try paths(name).map { url in
            let bytes = [UInt8](try Data(contentsOf: url))
            return url.pathExtension == "bin" ? bytes : try WireEnvelope(jsonUTF8Bytes: bytes).serializedBytes()
        }
    }

    private static func paths(_ name: String) throws -> [URL] {
        try FileManager.default.contentsOfDirectory(at: directory.appendingPathComponent(name), includingPropertiesForKeys: nil)
            .sorted { $0.path < $1.path }
    }
}
