import FleetProbes
import Glibc

/// A small single-threaded HTTP/1.1 server on a loopback address: `turn` waits by poll(2) and answers what has come.
///
/// Every client is bounded: in number, in what it may send unparsed, in what it may leave unread, and in how long half
/// a request may take. One that breaks a bound loses its connection and nobody else anything.
final class HTTPServer {
    static let clientLimit = 64
    static let unreadLimit = 65_536
    static let requestLimit = Duration.seconds(10)
    static let idleLimit = Duration.seconds(300)

    struct Reply {
        var status: Int
        var headers: [HTTPAnswer.Header] = []
        var body: String
    }

    private final class Client {
        let descriptor: Int32
        var parser = HTTPRequestParser()
        var outgoing: [UInt8] = []
        var head = 0
        var isClosing = false
        var deadline = Deadline(in: HTTPServer.idleLimit)

        init(_ descriptor: Int32) { self.descriptor = descriptor }
        deinit { close(descriptor) }

        var unsent: Int { outgoing.count - head }
    }

    private let listener: Int32
    private var clients: [Client] = []
    /// After a failed accept (no descriptors left) the listener is left alone for a while: it stays readable.
    private var acceptNotBefore = Deadline(nanoseconds: 0)

    init(_ endpoint: Endpoint) throws(ProbeError) {
        guard endpoint.isLoopback else {
            throw ProbeError("listen on", "\(endpoint)", .malformed("it is no loopback address; use 127.0.0.1:PORT"))
        }
        let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        listener = socket(endpoint.host.contains(":") ? AF_INET6 : AF_INET, type, 0)
        guard listener >= 0 else { throw ProbeError("open a socket for", "\(endpoint)", .system(errno)) }
        var on: Int32 = 1
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
        let file = listener
        guard endpoint.withSocketAddress({ bind(file, $0, $1) }) == 0, listen(file, 128) == 0 else {
            throw ProbeError("listen on", "\(endpoint)", .system(errno))
        }
    }

    deinit { if listener >= 0 { close(listener) } }

    /// Waits until something happens on a client, on the other descriptor, or the deadline is past; answers every whole
    /// request that has come. Never spends longer than it takes to answer those.
    func turn(until deadline: Deadline, other: Int32, answer: (HTTPRequest) -> Reply) {
        let canAccept = clients.count < Self.clientLimit && acceptNotBefore.isPast
        var entries = [pollfd(fd: other, events: Int16(POLLIN), revents: 0)]
        entries.append(pollfd(fd: canAccept ? listener : -1, events: Int16(POLLIN), revents: 0))
        for client in clients {
            // A client that leaves its answers unread is not read from either.
            let events =
                (client.unsent < Self.unreadLimit && !client.isClosing ? POLLIN : 0) | (client.unsent > 0 ? POLLOUT : 0)
            entries.append(pollfd(fd: client.descriptor, events: Int16(events), revents: 0))
        }
        let first = clients.reduce(deadline) { min($0, $1.deadline) }
        let ready = poll(&entries, nfds_t(entries.count), first.pollMilliseconds)
        if ready > 0 {
            clients = zip(clients, entries.dropFirst(2)).filter { client, entry in
                entry.revents == 0 || serve(client, Int32(entry.revents), answer)
            }.map(\.0)
            if entries[1].revents != 0 { accept() }
        }
        clients.removeAll { $0.deadline.isPast }
    }

    /// false: the client is done for.
    private func serve(_ client: Client, _ events: Int32, _ answer: (HTTPRequest) -> Reply) -> Bool {
        if events & POLLIN != 0 {
            var count = 0
            let piece = [UInt8](unsafeUninitializedCapacity: 16_384) { space, used in
                count = recv(client.descriptor, space.baseAddress, 16_384, 0)
                used = max(0, count)
            }
            if count == 0 { return false }
            if count < 0 { return errno == EAGAIN || errno == EINTR }
            client.parser.append(piece)
            answerRequests(of: client, answer)
        } else if events & (POLLERR | POLLHUP | POLLNVAL) != 0 {
            return false
        }
        return flush(client)
    }

    private func answerRequests(of client: Client, _ answer: (HTTPRequest) -> Reply) {
        while !client.isClosing {
            switch client.parser.next() {
            case .needsMore:
                client.deadline = Deadline(in: client.parser.isInside ? Self.requestLimit : Self.idleLimit)
                return
            case .refuse(let status, let why):
                client.isClosing = true
                write(
                    Reply(status: status, body: #"{"error":"\#(why.filter { $0 != "\"" && $0 != "\\" })"}"#), to: client
                )
            case .request(let request):
                client.isClosing = request.closes
                write(answer(request), to: client)
            }
        }
    }

    private func write(_ reply: Reply, to client: Client) {
        var text = "HTTP/1.1 \(reply.status) \(Self.reason(reply.status))\r\nContent-Type: application/json\r\n"
        text += "Content-Length: \(reply.body.utf8.count)\r\n"
        for header in reply.headers { text += "\(header.name): \(header.value)\r\n" }
        if client.isClosing { text += "Connection: close\r\n" }
        client.outgoing += (text + "\r\n" + reply.body).utf8
    }

    /// false: nothing more to do for this client.
    private func flush(_ client: Client) -> Bool {
        while client.unsent > 0 {
            let count = client.outgoing.withUnsafeBytes {
                send(client.descriptor, $0.baseAddress?.advanced(by: client.head), client.unsent, Int32(MSG_NOSIGNAL))
            }
            if count < 0 { return errno == EAGAIN || errno == EINTR }
            client.head += count
        }
        client.outgoing.removeAll(keepingCapacity: true)
        client.head = 0
        return !client.isClosing
    }

    private func accept() {
        while clients.count < Self.clientLimit {
            let descriptor = Glibc.accept(listener, nil, nil)
            guard descriptor >= 0 else {
                if errno != EAGAIN, errno != EINTR, errno != ECONNABORTED {
                    acceptNotBefore = Deadline(in: .milliseconds(100))
                }
                return
            }
            var on: Int32 = 1
            setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
            guard fcntl(descriptor, F_SETFL, O_NONBLOCK) == 0, fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0 else {
                close(descriptor)
                continue
            }
            clients.append(Client(descriptor))
        }
    }

    private static func reason(_ status: Int) -> String {
        switch status {
        case 200: "OK"
        case 400: "Bad Request"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 409: "Conflict"
        case 413: "Content Too Large"
        case 431: "Request Header Fields Too Large"
        case 501: "Not Implemented"
        case 503: "Service Unavailable"
        default: "Status"
        }
    }
}
