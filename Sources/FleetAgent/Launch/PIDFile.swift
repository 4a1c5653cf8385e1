internal import Glibc
internal import LinuxHost

/// The PID file of a worker, for people and monitoring: nothing is ever signalled because of one (law 8).
///
/// The first line is the number alone; the second says which process of which launch is meant.
struct PIDFile: Equatable, Sendable {
    let pid: Int32
    /// nil: a file that says no more than a number.
    let identity: ProcessIdentity?
    let launch: String

    init(_ identity: ProcessIdentity, launch: String) {
        pid = identity.pid
        self.identity = identity
        self.launch = launch
    }

    /// nil: there is none, or it holds no number.
    static func read(_ path: String) throws(LinuxError) -> PIDFile? {
        guard let bytes = try Files.readIfPresent(path, limit: 4_096) else { return nil }
        return PIDFile(String(decoding: bytes, as: UTF8.self))
    }

    init?(_ text: String) {
        let lines = text.split(whereSeparator: \.isNewline)
        guard let first = lines.first, let pid = Int32(first.filter { $0 != " " && $0 != "\t" }), pid > 0 else { return nil }
        self.pid = pid
        var values: [Substring: Substring] = [:]
        for word in lines.dropFirst().first?.split(separator: " ") ?? [] {
            let pair = word.split(separator: "=", maxSplits: 1)
            if pair.count == 2 { values[pair[0]] = pair[1] }
        }
        launch = values["launch"].map(String.init) ?? ""
        if let start = values["start"].flatMap({ UInt64($0) }), let boot = values["boot"] {
            identity = ProcessIdentity(pid: pid, startTime: start, bootID: String(boot))
        } else {
            identity = nil
        }
    }

    var text: String {
        guard let identity else { return "\(pid)\n" }
        return "\(pid)\n# start=\(identity.startTime) boot=\(identity.bootID) launch=\(launch)\n"
    }

    /// A reader sees the file before or this one, never a part.
    func write(_ path: String) throws(LinuxError) { try Files.writeAtomically(path, Array(text.utf8), mode: 0o644, sync: false) }
}
