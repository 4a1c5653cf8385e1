/// One HTTP/1.1 connection that carries request after request. One thread owns it.
///
/// After a thrown error, or once `isReusable` is false, it must be dropped. It never repeats a request by itself:
/// whether that is harmless only the caller knows.
package final class HTTPConnection {
    package let endpoint: Endpoint
    package private(set) var isReusable = true
    /// Whether the last request may have reached the other side though its answer never came. False when nothing of it
    /// was written.
    package private(set) var lastRequestMayHaveArrived = false

    private let socket: StreamSocket
    private var parser = HTTPAnswerParser()

    package init(_ endpoint: Endpoint, by deadline: Deadline) throws(ProbeError) {
        self.endpoint = endpoint
        socket = try StreamSocket(connectingTo: endpoint, by: deadline)
    }

    /// Sends one request and waits for the whole answer, whatever its status. `closing`: asks the server to close.
    package func exchange(
        _ method: String, _ target: String, headers: [HTTPAnswer.Header] = [], body: [UInt8] = [],
        closing: Bool = false,
        by deadline: Deadline
    ) throws(ProbeError) -> HTTPAnswer {
        precondition(isReusable, "a request on an HTTP connection that has ended")
        isReusable = false
        lastRequestMayHaveArrived = false
        var request = Array("\(method) \(target) HTTP/1.1\r\nHost: \(endpoint)\r\nAccept: */*\r\n".utf8)
        for header in headers { request += "\(header.name): \(header.value)\r\n".utf8 }
        if !body.isEmpty || method != "GET" { request += "Content-Length: \(body.count)\r\n".utf8 }
        if closing { request += "Connection: close\r\n".utf8 }
        request += "\r\n".utf8
        request += body
        lastRequestMayHaveArrived = true
        try socket.write(request, by: deadline)
        while true {
            if let answer = try parser.next() { return finish(answer, closing: closing) }
            var piece: [UInt8] = []
            do throws(ProbeError) {
                try socket.read(into: &piece, by: deadline)
            } catch {
                guard error.cause == .closed, let answer = try parser.next(ended: true) else { throw error }
                return finish(answer, closing: true)
            }
            parser.append(piece)
        }
    }

    private func finish(_ answer: HTTPAnswer, closing: Bool) -> HTTPAnswer {
        isReusable = parser.isReusable && !closing
        lastRequestMayHaveArrived = false
        return answer
    }
}
