import FleetCore
import FleetProbes

/// An order as the strategy sends it. The id is the tick's entry id behind the owner's name: sent again, it is the same
/// order, and the gateway answers for it without taking it twice.
struct Order: Equatable, Sendable {
    let id: String
    let owner: String
    let symbol: String
    let price: Int64
    let quantity: Int64

    var document: [UInt8] {
        Array(
            JSON.object([
                .init("id", .string(id)), .init("owner", .string(owner)), .init("symbol", .string(symbol)),
                .init("price", .int(price)), .init("quantity", .int(quantity)),
            ]).text.utf8)
    }
}

/// Sends orders to the gateway over one persistent connection.
final class OrderSender {
    enum Outcome: Equatable {
        case accepted
        /// The gateway said no: there is no such order.
        case refused(status: Int, retryAfterSeconds: Int?)
        /// Nothing of it left this process.
        case notSent(String)
        /// It may have arrived: only sending the same order again tells.
        case unanswered(String)
    }

    private let endpoint: Endpoint
    private let limit: Duration
    private var connection: HTTPConnection?

    /// `limit` bounds one attempt.
    init(_ endpoint: Endpoint, limit: Duration) {
        self.endpoint = endpoint
        self.limit = limit
    }

    func send(_ order: Order) -> Outcome {
        let deadline = Deadline(in: limit)
        let open: HTTPConnection
        do throws(ProbeError) { open = try connected(by: deadline) } catch { return .notSent("\(error)") }
        do throws(ProbeError) {
            let answer = try exchange(open, "POST", "/order", order.document, by: deadline)
            if answer.status == 200 { return .accepted }
            return .refused(status: answer.status, retryAfterSeconds: answer.header("retry-after").flatMap { Int($0) })
        } catch {
            return .unanswered("\(error)")
        }
    }

    /// Whether the gateway answers at all.
    func reach() throws(ProbeError) {
        let deadline = Deadline(in: limit)
        let answer = try exchange(try connected(by: deadline), "GET", "/state", [], by: deadline)
        guard answer.status == 200 else {
            throw ProbeError("reach", "the order gateway at \(endpoint)", .refused("HTTP \(answer.status)"))
        }
    }

    private func connected(by deadline: Deadline) throws(ProbeError) -> HTTPConnection {
        if let connection { return connection }
        let fresh = try HTTPConnection(endpoint, by: deadline)
        connection = fresh
        return fresh
    }

    private func exchange(
        _ open: HTTPConnection, _ method: String, _ target: String, _ body: [UInt8], by deadline: Deadline
    ) throws(ProbeError) -> HTTPAnswer {
        connection = nil
        let answer = try open.exchange(method, target, body: body, by: deadline)
        if open.isReusable { connection = open }
        return answer
    }
}
