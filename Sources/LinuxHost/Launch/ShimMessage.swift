package import FleetCore

/// One line that a shim sends (protocol: trading-shim/shim.h).
package enum ShimMessage: Equatable, Sendable {
    package enum Phase: String, Sendable { case waiting, launching, running, exited, gone }

    package enum Fence: Equatable, Sendable {
        /// Armed or extended.
        case armed(epoch: UInt64, soft: BootTime, hard: BootTime)
        /// The soft deadline has passed and its signal is sent.
        case soft(epoch: UInt64)
        /// The tree has no PID namespace: the hard deadline takes the main process along, not what else it has forked.
        case withoutNamespace(why: String)
    }

    /// `version` is the one that was asked for by hello.
    case shim(version: Int, launch: String, phase: Phase)
    case running(pid: Int32, startTime: UInt64)
    case failed(errno: Int32, step: String)
    case notify(key: String, value: String)
    /// `code` is the exit status, or the signal's number.
    case exited(signalled: Bool, code: Int32, core: Bool)
    /// The main process has ended as another's child, which took its status.
    case exitedUnknown
    /// Version 3: so many processes of the tree were left by the main one. They were told `signal` and are killed at `until`;
    /// nil: not before they are asked to be. No `signal`: they are being killed.
    case tree(left: Int, signal: Int32?, until: BootTime?)
    case gone
    /// Version 3: a stop found the main process stopped by a signal, and told it SIGCONT as well.
    case continued
    /// Version 2: another process of the tree is the main one now (MAINPID=).
    case mainPID(pid: Int32, startTime: UInt64)
    /// Version 2: WATCHDOG=1 did not come in time (`late`), or came again.
    case watchdog(late: Bool)
    case fence(Fence)
    /// Version 2: what the kernel refused the shim itself: `memory` (locking it) or `oom` (the exemption).
    case degraded(what: String, errno: Int32)
    /// `text` is what follows the id: `running PID START`, `signalled N`, `killed`.
    case ok(id: String, text: String)
    case error(id: String, slug: String, text: String)

    /// The longest line, newline included; a longer one is no shim's.
    package static let lineBytesMax = 4_096

    /// Takes a line without its newline; nil: none that a version up to 3 has.
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
            if words[1] == "unknown" { return .exitedUnknown }
            guard ["exit", "signal"].contains(words[1]), let code = Int32(words[2]), ["0", "1"].contains(words[3]) else { return nil }
            return .exited(signalled: words[1] == "signal", code: code, core: words[3] == "1")
        case ("tree", 4):
            guard let left = Int(words[1]), (1...1 << 22).contains(left), let signal = Int32(words[2]), let until = UInt64(words[3]) else { return nil }
            return .tree(left: left, signal: signal == 0 ? nil : signal, until: until == 0 ? nil : BootTime(nanoseconds: until))
        case ("gone", 1): return .gone
        case ("continued", 1): return .continued
        case ("mainpid", 3):
            guard let pid = Int32(words[1]), pid > 0, let start = UInt64(words[2]) else { return nil }
            return .mainPID(pid: pid, startTime: start)
        case ("watchdog", 2): return ["late", "back"].contains(words[1]) ? .watchdog(late: words[1] == "late") : nil
        case ("degraded", 3): return Int32(words[2]).map { .degraded(what: words[1], errno: $0) }
        case ("fence", 3...): return fence(words)
        case ("ok", 2...): return .ok(id: words[1], text: rest(from: 2))
        case ("err", 3...): return .error(id: words[1], slug: words[2], text: rest(from: 3))
        default: return nil
        }
    }

    private static func fence(_ words: [String]) -> ShimMessage? {
        let numbers = words.dropFirst(2).compactMap { UInt64($0) }
        switch (words[1], numbers.count, words.count) {
        case ("armed", 3, 5):
            return .fence(
                .armed(epoch: numbers[0], soft: BootTime(nanoseconds: numbers[1]), hard: BootTime(nanoseconds: numbers[2])))
        case ("soft", 1, 3): return .fence(.soft(epoch: numbers[0]))
        case ("pidns=0", _, _): return .fence(.withoutNamespace(why: words.dropFirst(2).joined(separator: " ")))
        default: return nil
        }
    }

    package static func parse(_ line: some StringProtocol) -> ShimMessage? { parse(Array(line.utf8)) }
}
