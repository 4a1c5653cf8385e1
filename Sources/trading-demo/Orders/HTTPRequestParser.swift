import FleetProbes

/// One HTTP/1.1 request as the gateway takes it.
struct HTTPRequest: Equatable, Sendable {
    var method: String
    var path: String
    /// The text behind `?`; empty when there is none.
    var query: String
    var body: [UInt8]
    /// The client wants the connection closed after the answer.
    var closes: Bool

    /// The value of a query parameter; no percent-decoding, the gateway's names need none.
    func parameter(_ name: String) -> String? {
        query.split(separator: "&").first { $0.hasPrefix("\(name)=") }.map { String($0.dropFirst(name.utf8.count + 1)) }
    }
}

/// Cuts requests out of a client's bytes. Bodies by Content-Length only.
struct HTTPRequestParser: Sendable {
    static let headLimit = 8_192
    static let bodyLimit = 8_192

    enum Step: Equatable {
        case request(HTTPRequest)
        case needsMore
        /// Answer with this status and close: where the next request would start is unknown.
        case refuse(status: Int, why: String)
    }

    private var buffer: [UInt8] = []

    mutating func append(_ bytes: [UInt8]) { buffer += bytes }

    /// Whether part of a request has arrived.
    var isInside: Bool { !buffer.isEmpty }

    mutating func next() -> Step {
        guard let bodyStart = HTTPAnswerParser.headEnd(of: buffer, from: 0) else {
            return buffer.count > Self.headLimit
                ? .refuse(status: 431, why: "the head is larger than \(Self.headLimit) bytes") : .needsMore
        }
        guard bodyStart <= Self.headLimit else {
            return .refuse(status: 431, why: "the head is larger than \(Self.headLimit) bytes")
        }
        let lines = String(decoding: buffer[..<bodyStart], as: UTF8.self).split(whereSeparator: \.isNewline)
        let parts = (lines.first ?? "").split(separator: " ", omittingEmptySubsequences: false)
        guard parts.count == 3, parts[2].hasPrefix("HTTP/1."), parts[1].hasPrefix("/") else {
            return .refuse(status: 400, why: "no HTTP/1 request line")
        }
        var length: Int?
        var closes = parts[2] != "HTTP/1.1"
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else {
                return .refuse(status: 400, why: "a header without a colon")
            }
            let value = HTTPAnswerParser.trimmed(line[line.index(after: colon)...])
            switch line[..<colon].lowercased() {
            case "content-length":
                guard length == nil, let number = Int(value), number >= 0,
                    value.utf8.allSatisfy({ (48...57).contains($0) })
                else {
                    return .refuse(status: 400, why: "the Content-Length \"\(value)\"")
                }
                length = number
            case "transfer-encoding": return .refuse(status: 501, why: "a transfer encoding; send Content-Length")
            case "connection": closes = closes || value.lowercased() == "close"
            default: break
            }
        }
        guard length ?? 0 <= Self.bodyLimit else {
            return .refuse(status: 413, why: "the body is larger than \(Self.bodyLimit) bytes")
        }
        let end = bodyStart + (length ?? 0)
        guard buffer.count >= end else { return .needsMore }
        let target = parts[1].split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let request = HTTPRequest(
            method: String(parts[0]), path: String(target[0]), query: target.count > 1 ? String(target[1]) : "",
            body: Array(buffer[bodyStart..<end]), closes: closes)
        buffer.removeFirst(end)
        return .request(request)
    }
}
