import FleetAPI
import HTTPTypes
import Hummingbird
import NIOCore

/// A stream of values as server-sent events (HTML standard, section 9.2), with a comment while nothing happens so that
/// both ends notice a dead connection.
struct ServerSentEvents<Element: Sendable>: Sendable {
    /// One event as it goes out; the data is a single line of JSON.
    struct Event: Sendable {
        var id: UInt64?
        var name: String?
        var data: [UInt8]
        /// Nothing follows this one.
        var isLast = false
    }

    let source: AsyncStream<Element>
    let keepAlive: Duration
    let event: @Sendable (Element) throws -> Event

    private enum Item: Sendable {
        case element(Element)
        case alive
    }

    var response: Response {
        Response(
            status: .ok, headers: [.contentType: "text/event-stream", .cacheControl: "no-store"],
            body: ResponseBody { writer in
                try await write(to: &writer)
                try await writer.finish(nil)
            })
    }

    /// Ends with the source, after the last event, or once the reader is further behind than the bound.
    private func write(to writer: inout any ResponseBodyWriter) async throws {
        let (items, feed) = AsyncStream.makeStream(
            of: Item.self, bufferingPolicy: .bufferingOldest(FleetServerSettings.eventsPendingMax))
        let source = source
        let keepAlive = keepAlive
        let pump = Task {
            await withDiscardingTaskGroup { group in
                group.addTask {
                    for await element in source {
                        if case .enqueued = feed.yield(.element(element)) { continue }
                        break
                    }
                    feed.finish()
                }
                group.addTask {
                    do {
                        while true {
                            try await Task.sleep(for: keepAlive)
                            guard case .enqueued = feed.yield(.alive) else { return }
                        }
                    } catch {
                        return  // cancelled: the stream has ended
                    }
                }
            }
        }
        defer {
            pump.cancel()
            feed.finish()
        }
        // Tells the reader at once that it is connected.
        try await writer.write(ByteBuffer(string: ": open\n\n"))
        for await item in items {
            switch item {
            case .alive:
                try await writer.write(ByteBuffer(string: ": alive\n\n"))
            case .element(let element):
                let event = try event(element)
                try await writer.write(Self.bytes(event))
                if event.isLast { return }
            }
        }
        try await writer.write(ByteBuffer(string: "event: end\ndata: {}\n\n"))
    }

    private static func bytes(_ event: Event) -> ByteBuffer {
        var buffer = ByteBuffer()
        if let id = event.id { buffer.writeString("id: \(id)\n") }
        if let name = event.name { buffer.writeString("event: \(name)\n") }
        buffer.writeString("data: ")
        buffer.writeBytes(event.data)
        buffer.writeString("\n\n")
        return buffer
    }
}
