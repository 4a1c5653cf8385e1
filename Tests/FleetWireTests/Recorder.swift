import FleetWire
import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix

/// Collects what happens and lets a test wait for it: on the level, not for a time.
final class Recorder<Element: Sendable>: Sendable {
    struct TimedOut: Error, CustomStringConvertible {
        let description: String
    }

    private struct Waiter: Sendable {
        let id: Int
        let holds: @Sendable ([Element]) -> Bool
        let promise: EventLoopPromise<[Element]>
    }

    private struct State: Sendable {
        var elements: [Element] = []
        var waiters: [Waiter] = []
        var nextID = 0
    }

    private let state = NIOLockedValueBox(State())

    var elements: [Element] { state.withLockedValue { $0.elements } }

    func append(_ element: Element) {
        let ready = state.withLockedValue { state -> [(EventLoopPromise<[Element]>, [Element])] in
            state.elements.append(element)
            let elements = state.elements
            let ready = state.waiters.filter { $0.holds(elements) }
            state.waiters.removeAll { waiter in ready.contains { $0.id == waiter.id } }
            return ready.map { ($0.promise, elements) }
        }
        for (promise, elements) in ready { promise.succeed(elements) }
    }

    /// Returns once `holds` does, or throws after `within`.
    @discardableResult
    func wait(
        for what: String, within: TimeAmount = .seconds(20), until holds: @escaping @Sendable ([Element]) -> Bool
    ) async throws -> [Element] {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let promise = loop.makePromise(of: [Element].self)
        let id = state.withLockedValue { state -> Int? in
            if holds(state.elements) { return nil }
            state.nextID += 1
            state.waiters.append(Waiter(id: state.nextID, holds: holds, promise: promise))
            return state.nextID
        }
        guard let id else {
            promise.succeed(elements)
            return try await promise.futureResult.get()
        }
        let deadline = loop.scheduleTask(in: within) {
            let waiter = self.state.withLockedValue { state -> Waiter? in
                guard let index = state.waiters.firstIndex(where: { $0.id == id }) else { return nil }
                return state.waiters.remove(at: index)
            }
            waiter?.promise.fail(TimedOut(description: "waited for \(what); there is: \(self.elements)"))
        }
        defer { deadline.cancel() }
        return try await promise.futureResult.get()
    }
}

/// A logger that keeps what it is told.
struct RecordingLog: LogHandler {
    struct Entry: Sendable, CustomStringConvertible {
        let message: String
        let metadata: [String: String]
        var slug: String? { metadata["slug"] }
        var description: String { "\(message) \(metadata.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" })" }
    }

    let recorder: Recorder<Entry>
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.trace

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let metadata = (event.metadata ?? [:]).mapValues { "\($0)" }
        recorder.append(Entry(message: "\(event.message)", metadata: metadata))
    }

    static func logger(_ recorder: Recorder<Entry>) -> Logger {
        Logger(label: "test", factory: { _ in RecordingLog(recorder: recorder) })
    }
}

/// A delegate that keeps what it is told.
final class RecordingDelegate: WireSessionDelegate {
    enum Event: Sendable {
        case opened(WireSession)
        case received(WireEnvelope, WireSession)
        case closed(WireSession, why: String)
        case limitsChanged(WireSession)
    }

    let events = Recorder<Event>()
    private let answer: (@Sendable (WireEnvelope, WireSession) -> Void)?

    init(answer: (@Sendable (WireEnvelope, WireSession) -> Void)? = nil) { self.answer = answer }

    func opened(_ session: WireSession) { events.append(.opened(session)) }
    func received(_ envelope: WireEnvelope, on session: WireSession) {
        events.append(.received(envelope, session))
        answer?(envelope, session)
    }
    func limitsChanged(_ session: WireSession) { events.append(.limitsChanged(session)) }
    func closed(_ session: WireSession, why: String) { events.append(.closed(session, why: why)) }

    func session(_ count: Int = 1) async throws -> WireSession {
        let events = try await events.wait(for: "session \(count)") { Self.sessions($0).count >= count }
        return Self.sessions(events)[count - 1]
    }

    func whyClosed() async throws -> String {
        let events = try await events.wait(for: "a session to close") { !Self.closings($0).isEmpty }
        return Self.closings(events)[0]
    }

    func message(_ what: String, where holds: @escaping @Sendable (WireEnvelope) -> Bool) async throws {
        try await events.wait(for: what) { events in
            events.contains { if case .received(let envelope, _) = $0 { holds(envelope) } else { false } }
        }
    }

    private static func sessions(_ events: [Event]) -> [WireSession] {
        events.compactMap { if case .opened(let session) = $0 { session } else { nil } }
    }

    private static func closings(_ events: [Event]) -> [String] {
        events.compactMap { if case .closed(_, let why) = $0 { why } else { nil } }
    }
}

/// Waits for a level that nothing announces: looks at it from an event loop, with a bound.
func wait(until what: String, _ holds: @escaping @Sendable () -> Bool) async throws {
    let seen = Recorder<Bool>()
    let task = TestFleet.group.next().scheduleRepeatedTask(initialDelay: .zero, delay: .milliseconds(5)) { task in
        guard holds() else { return }
        seen.append(true)
        task.cancel()
    }
    defer { task.cancel() }
    try await seen.wait(for: what) { !$0.isEmpty }
}
