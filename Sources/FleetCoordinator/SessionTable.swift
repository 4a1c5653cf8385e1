internal import FleetCore
internal import FleetTrust
internal import FleetWire
internal import NIOConcurrencyHelpers
internal import NIOCore

/// The live sessions, by host, and the latches: what an emergency stop needs and nothing else, so that it depends on no
/// loop, journal or run. The lock guards memory only.
///
/// `@unchecked` is not needed: every stored property is a `NIOLockedValueBox` of values and Sendable references.
final class SessionTable: Sendable {
    struct Entry: Sendable {
        let session: WireSession
        let restricted: Bool
    }

    private struct State {
        var sessions: [HostName: Entry] = [:]
        var book = LatchBook()
        var collectors: [String: EmergencyCollector] = [:]
    }

    private let state = NIOLockedValueBox(State())

    init(latches: [Latch]) { state.withLockedValue { $0.book = LatchBook(latches) } }

    /// Returns the session it replaces.
    func open(_ host: HostName, _ entry: Entry) -> WireSession? {
        state.withLockedValue { state in
            defer { state.sessions[host] = entry }
            return state.sessions[host]?.session
        }
    }

    /// Returns whether that session was the host's current one.
    func close(_ host: HostName, _ session: WireSession) -> Bool {
        state.withLockedValue { state in
            guard state.sessions[host]?.session === session else { return false }
            state.sessions[host] = nil
            return true
        }
    }

    func session(_ host: HostName) -> Entry? { state.withLockedValue { $0.sessions[host] } }

    var hosts: Set<HostName> { state.withLockedValue { Set($0.sessions.keys) } }

    var book: LatchBook { state.withLockedValue { $0.book } }

    /// Takes in latches that another side knows; returns what changed here.
    func merge(_ latches: [Latch]) -> [Latch] {
        latches.isEmpty ? [] : state.withLockedValue { $0.book.merge(latches) }
    }

    func release(_ id: String?, _ release: Latch.Release) -> [Latch] { state.withLockedValue { $0.book.release(id, release) } }

    /// Sets the latch in memory, then sends one encoded frame to every session. Nothing is written first (law 7).
    func fanOut(_ latch: Latch, collector: EmergencyCollector) throws {
        var envelope = WireEnvelope()
        envelope.emergencyStop.latch = WireLatch(latch)
        let frame = try encodeFrame(envelope, allocator: ByteBufferAllocator())
        let sessions = state.withLockedValue { state in
            _ = state.book.merge([latch])
            state.collectors[latch.id] = collector
            collector.expect(Set(state.sessions.keys.map(\.raw)))
            return state.sessions.values.map(\.session)
        }
        for session in sessions { session.send(encoded: frame) }
    }

    func answered(_ result: WireEmergencyResult) {
        state.withLockedValue { $0.collectors[result.latch] }?.take(result)
    }

    func forget(collector latch: String) { state.withLockedValue { $0.collectors[latch] = nil } }

    func broadcast(_ envelope: WireEnvelope) throws {
        let frame = try encodeFrame(envelope, allocator: ByteBufferAllocator())
        for entry in state.withLockedValue({ Array($0.sessions.values) }) { entry.session.send(encoded: frame) }
    }
}

/// Gathers what the agents say to one emergency stop, until all have said their last or the bound is past.
final class EmergencyCollector: Sendable {
    private struct State {
        var expected: Set<String> = []
        var results: [String: WireEmergencyResult] = [:]
        var waiter: CheckedContinuation<Void, Never>?
        var over = false

        var isComplete: Bool { expected.allSatisfy { results[$0]?.final == true } }
    }

    private let state = NIOLockedValueBox(State())

    func expect(_ hosts: Set<String>) { state.withLockedValue { $0.expected = hosts } }

    func take(_ result: WireEmergencyResult) {
        let waiter = state.withLockedValue { state -> CheckedContinuation<Void, Never>? in
            state.results[result.host] = result
            guard state.isComplete else { return nil }
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }

    /// The bound is past.
    func giveUp() {
        let waiter = state.withLockedValue { state -> CheckedContinuation<Void, Never>? in
            state.over = true
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }

    /// Returns every result so far and the hosts that have not said their last.
    func wait() async -> (results: [WireEmergencyResult], silent: [String]) {
        await withCheckedContinuation { continuation in
            let now = state.withLockedValue { state -> Bool in
                if state.isComplete || state.over { return true }
                state.waiter = continuation
                return false
            }
            if now { continuation.resume() }
        }
        return state.withLockedValue { state in
            (state.results.values.sorted { $0.host < $1.host }, state.expected.filter { state.results[$0]?.final != true }.sorted())
        }
    }
}
