/// When the disk that holds an audit is called full, and how that is said.
package enum DiskSpace {
    /// A day's records of a busy host fit into this; below it a person has to make room.
    package static let bytesLow: UInt64 = 16 << 20

    package static func warning(_ free: UInt64, _ directory: String) -> String {
        "the disk of \(directory) has \(free >> 10) KiB free: the audit goes on from a small reserve, then starts are refused. Make room there"
    }
}
