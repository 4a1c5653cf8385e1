import FleetCore
import FleetProbes

/// The loop of `order-gateway`: one thread, one poll, the book advanced to the present before every answer.
final class GatewayWorker {
    private let inbox: SignalInbox
    private let server: HTTPServer
    private let notifier = Notifier()
    private let stopWithin: Duration
    private let address: String
    private var book: OrderBook
    private var stopDeadline: Deadline?

    init(inbox: SignalInbox, server: HTTPServer, book: OrderBook, stopWithin: Duration, address: String) {
        self.inbox = inbox
        self.server = server
        self.book = book
        self.stopWithin = stopWithin
        self.address = address
    }

    func run() -> WorkerExit {
        count()
        // The listener is open: the kernel takes connections from here on, and the next turn answers them.
        notifier.ready("listening on \(address)")
        while true {
            book.advance(to: Deadline.now)
            if !inbox.take().isEmpty, stopDeadline == nil {
                // Stopping is a quiesce that can't be taken back.
                book.quiesce(now: Deadline.now)
                stopDeadline = Deadline(in: stopWithin)
            }
            if let stopDeadline, book.open == 0 || stopDeadline.isPast { return finish() }
            report()
            var until = notifier.due
            if let due = book.nextDue { until = min(until, Deadline(nanoseconds: due)) }
            if let stopDeadline { until = min(until, stopDeadline) }
            server.turn(until: until, other: inbox.descriptor) { answer($0) }
        }
    }

    private func answer(_ request: HTTPRequest) -> HTTPServer.Reply {
        let now = Deadline.now
        book.advance(to: now)
        switch (request.method, request.path) {
        case ("GET", "/orders"):
            let open = request.parameter("owner").map { book.open(of: $0) } ?? book.open
            return ok([.init("open", .int(open))])
        case ("GET", "/stats"):
            let counts = book.counts
            return ok([
                .init("accepted", .int(counts.accepted)), .init("fills", .int(counts.fills)),
                .init("cancelled", .int(counts.cancelled)), .init("refused", .int(counts.refused)),
                .init("repeated", .int(counts.repeated)),
            ])
        case ("GET", "/state"): return state()
        case ("POST", "/quiesce"):
            book.quiesce(now: now)
            changed("quiesced: no new orders, \(book.cancelling) cancels at the venue")
            return state()
        case ("POST", "/resume"):
            guard stopDeadline == nil else { return problem(409, "the gateway is stopping; start it again instead") }
            book.resume()
            changed("taking orders")
            return state()
        case ("POST", "/order"): return takeOrder(request.body, now: now)
        case ("POST", "/venue/unstick"):
            book.unstick(now: now)
            return state()
        case (_, "/orders"), (_, "/stats"), (_, "/state"), (_, "/quiesce"), (_, "/resume"), (_, "/order"),
            (_, "/venue/unstick"):
            return problem(405, "another method is wanted for this path")
        default: return problem(404, "there is no such path")
        }
    }

    private func takeOrder(_ body: [UInt8], now: UInt64) -> HTTPServer.Reply {
        let document: JSON
        do throws(JSON.ParseError) { document = try JSON.parse(body) } catch { return problem(400, "\(error)") }
        guard let id = document["id"]?.stringValue, !id.isEmpty, id.utf8.count <= 128,
            let owner = document["owner"]?.stringValue,
            owner.utf8.count <= 64
        else { return problem(400, "an order needs an id of 1 to 128 bytes and an owner of at most 64") }
        switch book.take(id: id, owner: owner, now: now) {
        case .accepted: return ok([.init("id", .string(id)), .init("repeated", .bool(false))])
        case .repeated: return ok([.init("id", .string(id)), .init("repeated", .bool(true))])
        case .quiesced: return problem(503, "quiesced: no new orders", retryAfter: 1)
        case .full: return problem(503, "too many open orders", retryAfter: 1)
        }
    }

    private func state() -> HTTPServer.Reply {
        ok([
            .init("quiesced", .bool(book.isQuiesced)), .init("open", .int(book.open)),
            .init("cancelling", .int(book.cancelling)),
        ])
    }

    private func ok(_ members: [JSON.Member]) -> HTTPServer.Reply {
        HTTPServer.Reply(status: 200, body: JSON.object(members).text)
    }

    private func problem(_ status: Int, _ text: String, retryAfter: Int? = nil) -> HTTPServer.Reply {
        HTTPServer.Reply(
            status: status, headers: retryAfter.map { [HTTPAnswer.Header(name: "Retry-After", value: "\($0)")] } ?? [],
            body: JSON.object([.init("error", .string(text))]).text)
    }

    private func changed(_ text: String) {
        WorkerLog.line(text)
        describe()
        notifier.changed()
    }

    private func report() {
        describe()
        notifier.tell()
    }

    private func describe() {
        count()
        let open = "\(book.open) open order\(book.open == 1 ? "" : "s")"
        notifier.status = stopDeadline != nil ? "stopping, \(open)" : book.isQuiesced ? "quiesced, \(open)" : open
    }

    private func count() {
        notifier.set("X_ACCEPTED", book.counts.accepted)
        notifier.set("X_APPLIED", book.counts.accepted)
        notifier.set("X_FILLS", book.counts.fills)
        notifier.set("X_INFLIGHT", book.open)
        notifier.set("X_QUIESCED", book.isQuiesced ? 1 : 0)
    }

    private func finish() -> WorkerExit {
        count()
        guard book.open == 0 else {
            notifier.final(
                "\(book.open) ORDERS LEFT OPEN: the venue has not acknowledged their cancels within \(stopWithin.words)"
            )
            return .ordersLeft
        }
        notifier.final("stopped, no open orders, \(book.counts.accepted) accepted")
        return .fine
    }
}
