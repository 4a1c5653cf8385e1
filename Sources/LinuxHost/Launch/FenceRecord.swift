package import FleetCore

/// The file `fence` of a launch directory (trading-shim/fence.c).
package struct FenceRecord: Equatable, Sendable {
    package let epoch: UInt64
    package let soft: BootTime
    package let hard: BootTime
    package let signal: Int32
    /// Whether the tree dies with its shim; nil: not launched yet.
    package let hasNamespace: Bool?
    package let bootID: String

    init?(_ bytes: [UInt8]) {
        let text = KeyedText(bytes)
        guard let epoch: UInt64 = text.number("epoch"), let soft: UInt64 = text.number("soft_ns"),
            let hard: UInt64 = text.number("hard_ns"), let signal: Int32 = text.number("signal"), let boot = text["boot"]
        else { return nil }
        self.epoch = epoch
        self.soft = BootTime(nanoseconds: soft)
        self.hard = BootTime(nanoseconds: hard)
        self.signal = signal
        bootID = boot
        hasNamespace = text["pidns"].map { $0 == "1" }
    }
}
