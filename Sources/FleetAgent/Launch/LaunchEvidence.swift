internal import FleetCore
internal import LinuxHost

/// What must be known of a launch from before its end, so that what it left can be told afterwards.
///
/// Kept as a file of the launch's own directory on the tmpfs: an agent that is restarted in between still knows.
struct LaunchEvidence: Equatable, Sendable {
    /// Free pages before the launch.
    var pagesFree: [HugepageCount] = []
    /// Pages, by their size, that files of the mount held before the launch.
    var pagesKept: [UInt64: UInt64] = [:]
    /// Of the marker file before the launch; nil: there was none.
    var marker: MarkerStamp?
    /// Its sockets right before the stop; nil: never listed.
    var sockets: [SocketTuple]?
    /// Why some of its sockets may be missing there.
    var socketProblems: [String] = []

    struct MarkerStamp: Equatable, Sendable {
        var inode: UInt64
        var modified: Int64
        var changed: Int64

        init(_ status: FileStatus) {
            inode = status.inode
            modified = status.modified
            changed = status.changed
        }

        init?(_ words: [Substring]) {
            guard words.count == 3, let inode = UInt64(words[0]), let modified = Int64(words[1]), let changed = Int64(words[2]) else { return nil }
            self.inode = inode
            self.modified = modified
            self.changed = changed
        }
    }

    private static func path(_ directory: LaunchDirectory) -> String { directory.path + "/evidence" }
    private static let bytesMax = 4 << 20

    func write(_ directory: LaunchDirectory) throws(LinuxError) {
        try Files.writeAtomically(Self.path(directory), Array(text.utf8), mode: 0o600, sync: false)
    }

    /// nil: none was kept.
    static func read(_ directory: LaunchDirectory) throws(LinuxError) -> LaunchEvidence? {
        guard let bytes = try Files.readIfPresent(path(directory), limit: bytesMax) else { return nil }
        return LaunchEvidence(text: String(decoding: bytes, as: UTF8.self))
    }

    var text: String {
        var lines = pagesFree.map { "free \($0.node) \($0.pageBytes) \($0.count)" }
        lines += pagesKept.sorted { $0.key < $1.key }.map { "kept \($0.key) \($0.value)" }
        if let marker { lines.append("marker \(marker.inode) \(marker.modified) \(marker.changed)") }
        if let sockets {
            lines.append("listed")
            lines += sockets.map { "socket \($0.transport.rawValue) \($0.local) \($0.remote) \($0.inode) \($0.state.rawValue)" }
        }
        lines += socketProblems.map { "problem \($0)" }
        return lines.joined(separator: "\n") + "\n"
    }

    init() {}

    init(text: String) {
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            let rest = Array(words.dropFirst())
            switch words.first {
            case "free":
                guard rest.count == 3, let node = Int(rest[0]), let size = UInt64(rest[1]), let count = UInt64(rest[2]) else { continue }
                pagesFree.append(HugepageCount(node: node, pageBytes: size, count: count))
            case "kept":
                guard rest.count == 2, let size = UInt64(rest[0]), let count = UInt64(rest[1]) else { continue }
                pagesKept[size] = count
            case "marker": marker = MarkerStamp(rest)
            case "listed": sockets = sockets ?? []
            case "socket":
                guard rest.count == 5, let transport = SocketTuple.Transport(rawValue: String(rest[0])), let inode = UInt64(rest[3]),
                    let number = UInt8(rest[4]), let state = SocketTuple.State(rawValue: number)
                else { continue }
                sockets?.append(SocketTuple(transport, local: String(rest[1]), remote: String(rest[2]), inode: inode, state: state))
            case "problem": socketProblems.append(rest.joined(separator: " "))
            default: continue
            }
        }
    }
}
