/// Cuts one HTTP/1.1 response at a time out of the bytes of a connection (RFC 9112), whatever pieces they arrive in.
///
/// Understands Content-Length, chunked, and bodies that end with the connection. Lines end in CR LF or LF.
package struct HTTPAnswerParser: Sendable {
    package static let headLimit = 65_536
    /// No probe reads a larger document: what it looks at is a number.
    package static let bodyLimit = 1 << 20

    private enum Phase {
        case head
        case length(Int)
        case chunkSize
        case chunk(Int)
        case trailer
        case untilEnd
    }

    private var buffer: [UInt8] = []
    private var head = 0
    private var phase = Phase.head
    private var answer = HTTPAnswer(status: 0, headers: [], body: [])
    /// Whether the connection can carry another request after the answer that `next()` returned last.
    package private(set) var isReusable = true

    package init() {}

    package mutating func append(_ bytes: [UInt8]) { buffer += bytes }

    /// The next complete answer, nil: more bytes are needed. `ended`: there are no more bytes.
    package mutating func next(ended: Bool = false) throws(ProbeError) -> HTTPAnswer? {
        while true {
            switch phase {
            case .head:
                guard try readHead() else { return nil }
            case .length(let count):
                guard buffer.count - head >= count else { return nil }
                answer.body = Array(buffer[head..<(head + count)])
                head += count
                return finish()
            case .chunkSize:
                guard let line = try line() else { return nil }
                let digits = line.split(separator: ";").first.map { $0.filter { $0 != " " } } ?? ""
                guard let count = Int(digits, radix: 16), count >= 0 else {
                    throw Self.malformed("a chunk without a size")
                }
                guard answer.body.count + count <= Self.bodyLimit else { throw Self.tooLarge() }
                phase = count == 0 ? .trailer : .chunk(count)
            case .chunk(let count):
                guard buffer.count - head >= count + 2 else { return nil }
                guard buffer[head + count] == 13, buffer[head + count + 1] == 10 else {
                    throw Self.malformed("a chunk without its end")
                }
                answer.body += buffer[head..<(head + count)]
                head += count + 2
                phase = .chunkSize
            case .trailer:
                guard let line = try line() else { return nil }
                if line.isEmpty { return finish() }
            case .untilEnd:
                guard buffer.count - head <= Self.bodyLimit else { throw Self.tooLarge() }
                guard ended else { return nil }
                answer.body = Array(buffer[head...])
                head = buffer.count
                isReusable = false
                return finish()
            }
        }
    }

    private mutating func finish() -> HTTPAnswer {
        let finished = answer
        answer = HTTPAnswer(status: 0, headers: [], body: [])
        phase = .head
        buffer.removeFirst(head)
        head = 0
        return finished
    }

    /// Reads the status line and the headers once they are all there; false: they aren't.
    private mutating func readHead() throws(ProbeError) -> Bool {
        guard Self.headEnd(of: buffer, from: head) != nil else {
            guard buffer.count - head <= Self.headLimit else {
                throw Self.malformed("a head of more than \(Self.headLimit) bytes")
            }
            return false
        }
        let first = try line() ?? ""
        let parts = first.split(separator: " ", maxSplits: 2)
        guard parts.count >= 2, parts[0].hasPrefix("HTTP/1."), parts[1].utf8.count == 3, let status = Int(parts[1])
        else {
            throw Self.malformed("no HTTP/1 status line")
        }
        answer.status = status
        answer.headers = []
        while let line = try line(), !line.isEmpty {
            guard let colon = line.firstIndex(of: ":") else { throw Self.malformed("a header without a colon") }
            answer.headers.append(
                HTTPAnswer.Header(
                    name: line[..<colon].lowercased(), value: Self.trimmed(line[line.index(after: colon)...])))
        }
        if (100..<200).contains(status) { return true }
        isReusable = parts[0] == "HTTP/1.1" && answer.header("connection")?.lowercased() != "close"
        if status == 204 || status == 304 {
            phase = .length(0)
        } else if let encoding = answer.header("transfer-encoding") {
            guard encoding.lowercased() == "chunked" else {
                throw Self.malformed("the transfer encoding \"\(encoding)\"")
            }
            phase = .chunkSize
        } else if let text = answer.header("content-length") {
            guard let length = Int(text), length >= 0 else { throw Self.malformed("the length \"\(text)\"") }
            guard length <= Self.bodyLimit else { throw Self.tooLarge() }
            phase = .length(length)
        } else {
            phase = .untilEnd
        }
        return true
    }

    private mutating func line() throws(ProbeError) -> String? {
        guard let end = buffer[head...].firstIndex(of: 10) else {
            guard buffer.count - head <= Self.headLimit else {
                throw Self.malformed("a line of more than \(Self.headLimit) bytes")
            }
            return nil
        }
        let stop = end > head && buffer[end - 1] == 13 ? end - 1 : end
        let text = String(decoding: buffer[head..<stop], as: UTF8.self)
        head = end + 1
        return text
    }

    /// The index after the empty line that ends a head.
    package static func headEnd(of bytes: [UInt8], from start: Int) -> Int? {
        var at = start
        while let end = bytes[at...].firstIndex(of: 10) {
            let next = end + 1
            if next < bytes.count, bytes[next] == 10 { return next + 1 }
            if next + 1 < bytes.count, bytes[next] == 13, bytes[next + 1] == 10 { return next + 2 }
            at = next
        }
        return nil
    }

    package static func trimmed(_ text: Substring) -> String {
        var text = text
        while let first = text.first, first == " " || first == "\t" { text.removeFirst() }
        while let last = text.last, last == " " || last == "\t" { text.removeLast() }
        return String(text)
    }

    private static func malformed(_ what: String) -> ProbeError {
        ProbeError("understand", "an HTTP answer", .malformed(what))
    }

    private static func tooLarge() -> ProbeError {
        ProbeError("read", "an HTTP answer", .tooLarge("its body is larger than \(bodyLimit) bytes"))
    }
}
