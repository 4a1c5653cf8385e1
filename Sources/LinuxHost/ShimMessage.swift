/// One line that a shim sends (protocol: trading-shim/shim.h).
package enum ShimMessage: Equatable, Sendable {
    package enum Phase: String, Sendable { case waiting, launching, running, exited, gone }

    case shim(version: Int, launch: String, phase: Phase)
    case running(pid: Int32, startTime: UInt64)
    case failed(errno: Int32, step: String)
    case notify(key: String, value: String)
    /// `code` is the exit status, or the signal's number.
    case exited(signalled: Bool, code: Int32, core: Bool)
    case gone
    /// `text` is what follows the id: `running PID START`, `signalled N`, `killed`.
    case ok(id: String, text: String)
    case error(id: String, slug: String, text: String)

    /// The longest line, newline included; a longer one is no shim's.
    package static let lineBytesMax = 4_096

    /// Takes a line without its newline; nil: none that version 1 has.
    package static func parse(_ line: some Sequence<UInt8>) -> ShimMessage? {
        let bytes = Array(line)
        let words = bytes.split(separator: 32, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
        func rest(from index: Int) -> String { words.dropFirst(index).joined(separator: " ") }
        switch (words.first, words.count) {
        case ("shim", 4):
            guard let version = Int(words[1]), let phase = Phase(rawValue: words[3]) else { return nil }
            return .shim(version: version, launch: words[2], phase: phase)
        case ("running", 3):
            guard let pid = Int32(words[1]), pid > 0, let start = UInt64(words[2]) else { return nil }
            return .running(pid: pid, startTime: start)
        case ("failed", 3):
            guard let errno = Int32(words[1]) else { return nil }
            return .failed(errno: errno, step: words[2])
        case ("notify", 2...):
            let pair = bytes.dropFirst("notify ".utf8.count)
            guard let equals = pair.firstIndex(of: UInt8(ascii: "=")), equals > pair.startIndex else { return nil }
            return .notify(
                key: String(decoding: pair[..<equals], as: UTF8.self), value: PercentEncoding.decoded(pair[(equals + 1)...]))
        case ("exited", 4):
            guard ["exit", "signal"].contains(words[1]), let code = Int32(words[2]), ["0", "1"].contains(words[3]) else { return nil }
            return .exited(signalled: words[1] == "signal", code: code, core: words[3] == "1")
        case ("gone", 1): return .gone
        case ("ok", 2...): return .ok(id: words[1], text: rest(from: 2))
        case ("err", 3...): return .error(id: words[1], slug: words[2], text: rest(from: 3))
        default: return nil
        }
    }

    package static func parse(_ line: some StringProtocol) -> ShimMessage? { parse(Array(line.utf8)) }
}
