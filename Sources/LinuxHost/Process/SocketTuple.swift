internal import Glibc

/// One TCP or UDP socket as the kernel lists it (proc_net(5), proc_net_tcp.rst).
package struct SocketTuple: Hashable, Sendable {
    package enum Transport: String, Sendable, CaseIterable { case tcp, tcp6, udp, udp6 }

    /// As numbered by the kernel (net/tcp_states.h); UDP uses `established` and `closed` alone.
    package enum State: UInt8, Sendable, CustomStringConvertible {
        case established = 1
        case synSent, synReceived, finWait1, finWait2, timeWait, closed, closeWait, lastAck, listening, closing, newSynReceived

        /// As ss(8) shows it.
        package var description: String {
            switch self {
            case .established: "ESTAB"
            case .synSent: "SYN-SENT"
            case .synReceived, .newSynReceived: "SYN-RECV"
            case .finWait1: "FIN-WAIT-1"
            case .finWait2: "FIN-WAIT-2"
            case .timeWait: "TIME-WAIT"
            case .closed: "UNCONN"
            case .closeWait: "CLOSE-WAIT"
            case .lastAck: "LAST-ACK"
            case .listening: "LISTEN"
            case .closing: "CLOSING"
            }
        }
    }

    package let transport: Transport
    /// `10.0.0.1:80`, `[::1]:80`
    package let local: String
    package let remote: String
    /// 0: no process holds it.
    package let inode: UInt64
    package let state: State

    package init(_ transport: Transport, local: String, remote: String, inode: UInt64, state: State) {
        self.transport = transport
        self.local = local
        self.remote = remote
        self.inode = inode
        self.state = state
    }

    /// Nobody holds it, and all that was sent has been acknowledged: nothing more of ours goes out.
    package var isSettled: Bool { inode == 0 && (state == .timeWait || state == .finWait2) }

    package var isListening: Bool { state == .listening || (state == .closed && remote.hasSuffix(":0")) }

    /// `tcp 10.0.0.1:1234 -> 10.0.0.2:443 ESTAB`
    package var words: String { isListening ? "\(transport.rawValue) \(local) \(state)" : "\(transport.rawValue) \(local) -> \(remote) \(state)" }

    // MARK: the kernel's tables

    /// A whole table with its header; nil for one that isn't understood. Lines that end early are left out.
    static func parse(_ text: some StringProtocol, _ transport: Transport) -> [SocketTuple]? {
        let lines = text.split(separator: "\n")
        guard let header = lines.first, header.contains("local_address") else { return nil }
        var found: [SocketTuple] = []
        found.reserveCapacity(lines.count - 1)
        for line in lines.dropFirst() {
            let words = line.split(separator: " ", maxSplits: 10)
            guard words.count > 9, let local = address(words[1]), let remote = address(words[2]), let number = UInt8(words[3], radix: 16),
                let state = State(rawValue: number), let inode = UInt64(words[9])
            else { return nil }
            found.append(SocketTuple(transport, local: local, remote: remote, inode: inode, state: state))
        }
        return found
    }

    /// A table without its lines in TIME-WAIT, found by their bytes: words are made of what is kept alone.
    static func withoutTimeWait(_ table: [UInt8]) -> [UInt8] {
        var kept: [UInt8] = []
        table.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            func find(_ byte: UInt8, _ from: Int, _ end: Int) -> Int {
                guard from < end, let found = memchr(base + from, Int32(byte), end - from) else { return end }
                return UnsafeRawPointer(found) - base
            }
            var start = 0
            while start < bytes.count {
                let end = find(UInt8(ascii: "\n"), start, bytes.count)
                // `  12: LOCAL REMOTE 06 …`; the header has no colon.
                let local = find(UInt8(ascii: ":"), start, end) + 2
                let remote = find(UInt8(ascii: " "), local, end) + 1
                let state = find(UInt8(ascii: " "), remote, end) + 1
                let isTimeWait = state + 1 < end && bytes[state] == UInt8(ascii: "0") && bytes[state + 1] == UInt8(ascii: "6")
                if !isTimeWait { kept += bytes[start..<min(end + 1, bytes.count)] }
                start = end + 1
            }
        }
        return kept
    }

    /// `0100007F:1F90`: words of 32 bits as this machine stores them, then the port as people read it.
    static func address(_ text: some StringProtocol) -> String? {
        let parts = text.split(separator: ":")
        guard parts.count == 2, parts[1].utf8.count == 4, let port = UInt16(parts[1], radix: 16) else { return nil }
        let digits = Array(parts[0].utf8)
        guard digits.count == 8 || digits.count == 32 else { return nil }
        var bytes: [UInt8] = []
        for start in stride(from: 0, to: digits.count, by: 8) {
            guard let word = UInt32(String(decoding: digits[start..<start + 8], as: UTF8.self), radix: 16) else { return nil }
            withUnsafeBytes(of: word) { bytes += $0 }
        }
        return bytes.count == 4 ? "\(dotted(bytes[...])):\(port)" : "[\(IPv6Text.text(bytes))]:\(port)"
    }

    static func dotted(_ bytes: ArraySlice<UInt8>) -> String { bytes.map { "\($0)" }.joined(separator: ".") }
}

enum IPv6Text {
    /// RFC 5952: lower case, no leading zeros, the first longest run of zeros left out.
    static func text(_ bytes: [UInt8]) -> String {
        if bytes[..<10].allSatisfy({ $0 == 0 }), bytes[10] == 0xff, bytes[11] == 0xff { return "::ffff:\(SocketTuple.dotted(bytes[12...]))" }
        let groups = (0..<8).map { UInt16(bytes[2 * $0]) << 8 | UInt16(bytes[2 * $0 + 1]) }
        var run = (start: 0, count: 0)
        var at = 0
        while at < 8 {
            var end = at
            while end < 8, groups[end] == 0 { end += 1 }
            if end - at > run.count { run = (at, end - at) }
            at = max(end, at + 1)
        }
        func hex(_ range: Range<Int>) -> String { range.map { String(groups[$0], radix: 16) }.joined(separator: ":") }
        guard run.count > 1 else { return hex(0..<8) }
        return "\(hex(0..<run.start))::\(hex(run.start + run.count..<8))"
    }
}
