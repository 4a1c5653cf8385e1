/// An emergency stop in force (law 7): a state that every side keeps and exchanges, never a message that can be missed.
package struct Latch: Equatable, Sendable {
    package var id: String
    package var by: String
    package var reason: String
    package var unixMicroseconds: UInt64
    package var scope: LatchScope
    /// Set once, never cleared: a released latch is never honoured again.
    package var release: Release?
    /// Base64 of the setter's detached CMS signature over `LatchStatement.set`; empty: nobody signed it.
    package var signature: String
    /// On whose word this side holds it. Judged by each side for itself, never taken from a message.
    package var word: LatchWord

    package struct Release: Equatable, Sendable {
        package var by: String
        package var reason: String
        package var unixMicroseconds: UInt64
        /// Base64 of a detached CMS signature over `LatchStatement.release`; empty: nobody signed it.
        package var signature: String

        /// Two sides may release one latch at once: the earlier release is kept everywhere.
        static func earlier(_ a: Release, _ b: Release) -> Release {
            (a.unixMicroseconds, a.by, a.reason) <= (b.unixMicroseconds, b.by, b.reason) ? a : b
        }

        package init(by: String, reason: String, unixMicroseconds: UInt64, signature: String = "") {
            self.by = by
            self.reason = reason
            self.unixMicroseconds = unixMicroseconds
            self.signature = signature
        }
    }

    package init(
        id: String, by: String, reason: String, unixMicroseconds: UInt64, scope: LatchScope, release: Release? = nil, signature: String = "",
        word: LatchWord = .coordinator("")
    ) {
        self.id = id
        self.by = by
        self.reason = reason
        self.unixMicroseconds = unixMicroseconds
        self.scope = scope
        self.release = release
        self.signature = signature
        self.word = word
    }
}

extension Latch {
    /// Whether both were set by one order: a signature of the one is that of the other.
    package func isSame(as other: Latch) -> Bool {
        id == other.id && by == other.by && reason == other.reason && unixMicroseconds == other.unixMicroseconds && scope == other.scope
    }
}

/// On whose word a side holds a latch (law 13). It decides who may release it and to whom it is passed on.
package enum LatchWord: Hashable, Sendable, CustomStringConvertible {
    /// Its signature was verified: an operator's, or a full coordinator's. Proves itself to every side.
    case signed
    /// A full coordinator said so, on its own word.
    case coordinator(String)
    /// A relay, or a coordinator whose orders are not taken here, said so, on its own word.
    case relay(String)
    /// Set on a host, for that host alone; never passed on to other hosts.
    case host(HostName)

    package var description: String {
        switch self {
        case .signed: "signed"
        case .coordinator(let name): "coordinator/\(name)"
        case .relay(let name): "relay/\(name)"
        case .host(let name): "host/\(name)"
        }
    }

    /// Parses `description`; nil for anything else.
    package init?(_ text: String) {
        if text == "signed" {
            self = .signed
            return
        }
        guard let slash = text.firstIndex(of: "/") else { return nil }
        let name = String(text[text.index(after: slash)...])
        switch text[..<slash] {
        case "coordinator": self = .coordinator(name)
        case "relay": self = .relay(name)
        case "host": self = .host(HostName(name))
        default: return nil
        }
    }

    /// How many latches in force are kept on words of one kind and name.
    ///
    /// A person sets one and releases it. The bounds are apart, so that whoever holds one key can't take the room of
    /// another, and small, so that all that is in force fits one frame (`LatchBounds`).
    package var inForceMax: Int {
        switch self {
        case .signed, .coordinator: 96
        case .relay: 16
        case .host: 16
        }
    }

    /// Of all relays together, and of coordinators that aren't followed: however many keys there are, what is in force fits a hello.
    package static let relaysInForceMax = 64

    var isRelay: Bool { if case .relay = self { true } else { false } }

    /// Whether both count towards one bound. A coordinator signs what nobody else has; each relay has room of its own.
    func sharesRoom(with other: Self) -> Bool {
        switch (self, other) {
        case (.signed, .signed), (.signed, .coordinator), (.coordinator, .signed), (.coordinator, .coordinator): true
        case (.relay(let a), .relay(let b)): a == b
        case (.host, .host): true
        default: false
        }
    }
}
