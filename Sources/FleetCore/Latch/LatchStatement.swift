/// The exact bytes that a signature of an emergency stop, or of its release, covers: compact JSON with the members in this
/// order. Both sides make them anew from the latch; they never cross the wire.
package enum LatchStatement {
    package static func set(_ latch: Latch, fleet: FleetName) -> [UInt8] {
        func list(_ names: [some Name]) -> JSON { .array(names.map { .string($0.raw) }) }
        return bytes([
            .init("statement", .string("emergency-stop")), .init("fleet", .string(fleet.raw)), .init("latch", .string(latch.id)),
            .init("by", .string(latch.by)), .init("reason", .string(latch.reason)), .init("unix_us", .int(latch.unixMicroseconds)),
            .init("everything", .bool(latch.scope.everything)), .init("tiers", list(latch.scope.tiers)), .init("hosts", list(latch.scope.hosts)),
            .init("services", list(latch.scope.services)),
        ])
    }

    package static func release(_ latch: String, _ release: Latch.Release, fleet: FleetName) -> [UInt8] {
        bytes([
            .init("statement", .string("emergency-stop-release")), .init("fleet", .string(fleet.raw)), .init("latch", .string(latch)),
            .init("by", .string(release.by)), .init("reason", .string(release.reason)), .init("unix_us", .int(release.unixMicroseconds)),
        ])
    }

    private static func bytes(_ members: [JSON.Member]) -> [UInt8] { Array(JSON.object(members).text.utf8) }
}
