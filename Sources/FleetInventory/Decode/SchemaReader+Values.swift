import FleetCore

/// Values with a form of their own: durations, signals, paths, addresses, URLs.
extension SchemaReader {
    private static let units: [(name: String, nanoseconds: Int64)] = [
        ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000), ("min", 60_000_000_000), ("h", 3_600_000_000_000),
        ("d", 86_400_000_000_000),
    ]

    /// A whole number with its unit, from `atLeast` to a year.
    func duration(_ tree: YAMLTree, _ name: String, atLeast: Duration = .zero) -> Duration? {
        guard let text = text(tree, name) else { return nil }
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let unit = text[digits.endIndex...]
        if !digits.isEmpty, unit.isEmpty {
            faults.add(tree.position, "\(name) is \(text) without a unit", "write \(text)s or \(text)ms: us, ms, s, min, h and d are known")
            return nil
        }
        guard let value = Int64(digits), let factor = Self.units.first(where: { $0.name == unit })?.nanoseconds else {
            let instead = digits.isEmpty ? "write a whole number with its unit: 10s" : "write \(digits) with us, ms, s, min, h or d"
            faults.add(tree.position, "\(name) is \(text), which is no duration", instead)
            return nil
        }
        let (nanoseconds, overflow) = value.multipliedReportingOverflow(by: factor)
        if overflow || nanoseconds > 366 * 86_400_000_000_000 {
            faults.add(tree.position, "\(name) is \(text), longer than a year", "write at most 366d")
            return nil
        }
        let duration = Duration.nanoseconds(nanoseconds)
        if duration < atLeast {
            faults.add(tree.position, "\(name) is \(text), too short to mean anything", "write at least \(Self.text(of: atLeast))")
            return nil
        }
        return duration
    }

    /// A duration in the largest unit that needs no fraction, as this format writes it.
    static func text(of duration: Duration) -> String {
        let nanoseconds = duration.nanoseconds
        let unit = units.last { nanoseconds != 0 && nanoseconds % $0.nanoseconds == 0 } ?? ("s", 1_000_000_000)
        return "\(nanoseconds / unit.nanoseconds)\(unit.name)"
    }

    private static let sizes: [(name: String, bytes: UInt64)] = [
        ("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40),
    ]

    /// A whole number of bytes with its binary unit.
    func bytes(_ tree: YAMLTree, _ name: String, atLeast: UInt64 = 0) -> UInt64? {
        guard let text = text(tree, name) else { return nil }
        guard let bytes = Self.bytes(text) else {
            let digits = text.prefix { $0.isASCII && $0.isNumber }
            let unit = text[digits.endIndex...]
            if !digits.isEmpty, unit.isEmpty {
                faults.add(tree.position, "\(name) is \(text) without a unit", "write \(text)MiB or \(text)GiB: B, KiB, MiB, GiB and TiB are known")
            } else if !digits.isEmpty, let near = Self.sizes.first(where: { $0.name.first?.lowercased() == unit.first?.lowercased() })?.name {
                faults.add(tree.position, "\(name) is \(text), which is no size", "write \(digits)\(near)")
            } else {
                faults.add(tree.position, "\(name) is \(text), which is no size", "write a whole number with its unit: 512MiB")
            }
            return nil
        }
        if bytes < atLeast {
            faults.add(tree.position, "\(name) is \(text), too little to mean anything", "write at least \(Self.text(ofBytes: atLeast))")
            return nil
        }
        return bytes
    }

    /// nil: no size, or more than 2^63 bytes.
    static func bytes(_ text: String) -> UInt64? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard let value = UInt64(digits), let factor = sizes.first(where: { $0.name == text[digits.endIndex...] })?.bytes else { return nil }
        let (bytes, overflow) = value.multipliedReportingOverflow(by: factor)
        return overflow || bytes > 1 << 63 ? nil : bytes
    }

    /// A size in the largest unit that needs no fraction, as this format writes it.
    static func text(ofBytes bytes: UInt64) -> String {
        let unit = sizes.last { bytes != 0 && bytes % $0.bytes == 0 } ?? ("B", 1)
        return "\(bytes / unit.bytes)\(unit.name)"
    }

    /// Signals that ask a worker for something; KILL and STOP can't be asked for, the rest are the kernel's own.
    private static let signals = ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "WINCH", "ALRM", "CONT"]

    func signal(_ tree: YAMLTree, _ name: String) -> String? {
        guard let text = text(tree, name) else { return nil }
        if Self.signals.contains(text) { return text }
        let bare = text.uppercased().hasPrefix("SIG") ? String(text.uppercased().dropFirst(3)) : text.uppercased()
        if bare == "KILL" {
            faults.add(tree.position, "\(name) is \(text), which no worker can act on", "write TERM, and then: kill for what outlives its grace")
        } else {
            faults.add(tree.position, "\(name) is \(text), which is no signal to ask with", choice(for: bare, among: Self.signals))
        }
        return nil
    }

    /// An absolute path, or one below `$state`, the worker's own directory that its agent keeps for it.
    func path(_ tree: YAMLTree, _ name: String) -> String? {
        guard let text = text(tree, name) else { return nil }
        return path(text, at: tree.position, name)
    }

    func path(_ text: String, at position: SourcePosition, _ name: String) -> String? {
        if text.hasPrefix("/") || text == "$state" || text.hasPrefix("$state/") || text.hasPrefix("$release/") { return text }
        let bare = text.hasPrefix("./") ? String(text.dropFirst(2)) : text
        faults.add(position, "\(name) is \(text), a relative path", "write /\(bare) or $state/\(bare)")
        return nil
    }

    /// `IP:port` with a literal IPv4 address, or `[IPv6]:port`: nothing here may depend on name resolution.
    func address(_ tree: YAMLTree, _ name: String) -> String? {
        guard let text = text(tree, name) else { return nil }
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), port > 0 else {
            faults.add(tree.position, "\(name) is \(text), without a port", "write an IP address and a port: 10.0.0.1:7443")
            return nil
        }
        if Self.isAddress(text[..<colon]) { return text }
        faults.add(
            tree.position, "\(name) is \(text), which is no IP address with a port",
            "write the address itself, 10.0.0.1:\(port) or [fd00::1]:\(port): names are not resolved")
        return nil
    }

    /// `IP:port` on loopback.
    func loopbackAddress(_ tree: YAMLTree, _ name: String) -> String? {
        guard let text = address(tree, name) else { return nil }
        if text.hasPrefix("127.") || text.hasPrefix("[::1]:") { return text }
        let port = text.split(separator: ":").last ?? "8081"
        faults.add(
            tree.position, "\(name) asks \(text), which is not loopback",
            "write \"127.0.0.1:\(port)\": the agent on the service's own host asks")
        return nil
    }

    private static func isAddress(_ text: Substring) -> Bool {
        if text.hasPrefix("["), text.hasSuffix("]") { return isIPv6(text.dropFirst().dropLast()) }
        return isIPv4(text)
    }

    private static func isIPv4(_ text: Substring) -> Bool {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4
            && parts.allSatisfy { part in
                part.utf8.allSatisfy { (48...57).contains($0) } && UInt8(part) != nil && (part.count == 1 || part.first != "0")
            }
    }

    /// RFC 4291, section 2.2, forms 1 and 2; without a zone.
    private static func isIPv6(_ text: Substring) -> Bool {
        func groups(_ text: Substring) -> Int? {
            if text.isEmpty { return 0 }
            let parts = text.split(separator: ":", omittingEmptySubsequences: false)
            return parts.allSatisfy { (1...4).contains($0.count) && $0.allSatisfy(\.isHexDigit) } ? parts.count : nil
        }
        guard let gap = text.firstRange(of: "::") else { return groups(text) == 8 }
        guard let before = groups(text[..<gap.lowerBound]), let after = groups(text[gap.upperBound...]) else { return false }
        return before + after < 8
    }

    /// A plain HTTP URL on loopback: probes and calls never leave the host, so they need neither TLS nor names.
    func loopbackURL(_ tree: YAMLTree, _ name: String) -> String? {
        guard let text = text(tree, name) else { return nil }
        return loopbackURL(text, at: tree.position, name)
    }

    func loopbackURL(_ text: String, at position: SourcePosition, _ name: String) -> String? {
        guard let (host, rest) = Self.split(url: text) else {
            faults.add(position, "\(name) is \(text), which is no plain HTTP URL", "write http://127.0.0.1:8081/path")
            return nil
        }
        guard host == "[::1]" || (Self.isIPv4(host) && host.hasPrefix("127.")) else {
            faults.add(
                position, "\(name) asks \(host), which is not loopback",
                "write http://127.0.0.1\(rest): the agent on the service's own host asks")
            return nil
        }
        return text
    }

    /// A plain HTTP URL with a literal address, anywhere.
    func addressURL(_ tree: YAMLTree, _ name: String) -> String? {
        guard let text = text(tree, name) else { return nil }
        if let (host, _) = Self.split(url: text), Self.isAddress(host) { return text }
        faults.add(tree.position, "\(name) is \(text), which is no HTTP URL with an IP address", "write http://127.0.0.1:9000")
        return nil
    }

    /// An HTTP or HTTPS URL of an address or a name, for those who are not ours.
    func webURL(_ tree: YAMLTree, _ name: String) -> String? {
        guard let text = text(tree, name) else { return nil }
        let scheme = ["https://", "http://"].first { text.hasPrefix($0) }
        guard let scheme, let (host, _) = Self.split(url: "http://" + text.dropFirst(scheme.count)),
            Self.isAddress(host)
                || host.utf8.allSatisfy({ byte in
                    (97...122).contains(byte) || (65...90).contains(byte) || (48...57).contains(byte) || byte == 45 || byte == 46
                })
        else {
            if text.contains("@"), text.contains("://") {
                faults.add(tree.position, "\(name) holds a user or a password, which everyone who may read this file would know", "write the URL without it")
            } else {
                faults.add(tree.position, "\(name) is \(text), which is no HTTP URL", "write https://10.0.0.16/path")
            }
            return nil
        }
        return text
    }

    /// `http://HOST[:PORT][/…]` as the host and all that follows it.
    private static func split(url: String) -> (host: Substring, rest: Substring)? {
        guard url.hasPrefix("http://"), !url.contains(where: { $0 == " " || !$0.isASCII }) else { return nil }
        let text = url.dropFirst(7)
        let authority = text.prefix { $0 != "/" && $0 != "?" }
        var host = authority
        if let colon = authority.lastIndex(of: ":"), !authority.hasSuffix("]") {
            guard let port = UInt16(authority[authority.index(after: colon)...]), port > 0 else { return nil }
            host = authority[..<colon]
        }
        return host.isEmpty ? nil : (host, text[host.endIndex...])
    }

    /// A JSON pointer (RFC 6901).
    func pointer(_ tree: YAMLTree, _ name: String) -> String? {
        guard let text = text(tree, name) else { return nil }
        if text.isEmpty || text.hasPrefix("/") { return text }
        faults.add(tree.position, "\(name) is \(text), which is no JSON pointer", "write /\(text)")
        return nil
    }

    /// What a worker says to its notify socket: `X_` and upper-case letters, digits or `_`.
    func notifyKey(_ text: String, at position: SourcePosition, _ name: String) -> String? {
        if text.hasPrefix("X_"), text.count > 2, text.utf8.allSatisfy({ (65...90).contains($0) || (48...57).contains($0) || $0 == 95 }) {
            return text
        }
        let bare = text.uppercased().hasPrefix("X_") ? text.uppercased() : "X_" + text.uppercased()
        faults.add(position, "\(name) is \(text), which no worker says to its notify socket", "write \(bare)")
        return nil
    }

    func paths(_ tree: YAMLTree?, _ name: String, _ substitution: Substitution) -> [String] {
        guard let tree else { return [] }
        return (texts(tree, name) ?? []).compactMap { item in
            path(item.text, at: item.position, name).map { substitution.apply($0, at: item.position) }
        }
    }

    /// A program and its arguments: nothing that a shell would read.
    func program(_ tree: YAMLTree, _ name: String, _ substitution: Substitution) -> [String]? {
        guard let items = texts(tree, name, unique: false) else { return nil }
        if items.isEmpty {
            if case .list(let written) = tree.content, written.isEmpty { faults.add(tree.position, "\(name) is empty", "write [/path/to/program, argument]") }
            return nil
        }
        let words = items.map { substitution.apply($0.text, at: $0.position) }
        if words[0].isEmpty || (words[0].contains("/") && !words[0].hasPrefix("/")) {
            faults.add(
                tree.position, words[0].isEmpty ? "\(name) starts with an empty text" : "\(name) starts with \(words[0]), a relative path",
                "write an absolute path, or a bare program name that the agent looks up in its own program directories")
        }
        return words
    }

    /// A plain number, true, false or null is that; everything else, and all in quotes, is a string.
    func json(_ tree: YAMLTree, _ name: String) -> String? {
        guard let text = text(tree, name) else { return nil }
        if case .scalar(_, plain: true) = tree.content {
            do throws(JSON.ParseError) {
                switch try JSON.parse(text) {
                case .number, .bool, .null: return text
                default: return JSON.string(text).text
                }
            } catch { return JSON.string(text).text }
        }
        return JSON.string(text).text
    }
}
