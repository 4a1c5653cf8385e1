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
    private struct State {
        /// The newest of each host.
        var sessions: [HostName: WireSession] = [:]
        /// Of instances that a newer one's hello has displaced and that have not ended.
        var others: [HostName: [WireSession]] = [:]

        var all: [WireSession] { Array(sessions.values) + others.values.flatMap { $0 } }
        /// The fleet's: what coordinators, relays and operators have set. Passed on to every host.
        var book: LatchBook
        /// What hosts say that they are under and nobody else's word shows: theirs alone, never passed on.
        var hostBooks: [HostName: LatchBook] = [:]
        var collectors: [String: EmergencyCollector] = [:]
        var succession: WireSignedStatement?
        /// Hosts of the fleet's certificates that the inventory doesn't have and that have dialled in.
        /// With when each dialled in last in this coordinator's life; nil: before it.
        var outsiders: [HostName: BootTime?] = [:]
        /// What may run by its host's last word where the inventory no longer has it.
        var unplaced: [HostName: [WorkerName]] = [:]
        /// Hosts of which an instance lives that has no session.
        var divided: Set<HostName> = []
    }

    /// Outsiders that are kept; each is a certificate of this fleet's authority.
    private static let outsidersMax = 1_024

    /// Released latches that a coordinator remembers at most, for hosts that have been away.
    static let releasedMax = 4_096

    private let state: NIOLockedValueBox<State>

    init(book: LatchBook, outsiders: Set<HostName> = []) {
        state = NIOLockedValueBox(State(book: book, outsiders: Dictionary(uniqueKeysWithValues: outsiders.map { ($0, nil) })))
    }

    /// Displaced sessions of one host that are kept: more is a key gone wild, and the oldest ends.
    private static let othersMax = 4

    /// Returns the session that ends for it: one of the same instance, which dialled again. One of another instance stays until it is
    /// known whether that lives.
    func open(_ host: HostName, _ session: WireSession) -> WireSession? {
        state.withLockedValue { state in
            guard let before = state.sessions.updateValue(session, forKey: host) else { return nil }
            if before.hello.agentInstance == session.hello.agentInstance { return before }
            state.others[host, default: []].append(before)
            return state.others[host, default: []].count > Self.othersMax ? state.others[host]?.removeFirst() : nil
        }
    }

    enum Closing {
        /// The host has no session any more.
        case last
        /// It was the newest, and this one is now.
        case replaced(WireSession)
        case other
    }

    /// Nil for a session that the table doesn't have.
    func close(_ host: HostName, _ session: WireSession) -> Closing? {
        state.withLockedValue { state in
            if let index = state.others[host]?.firstIndex(where: { $0 === session }) {
                state.others[host]?.remove(at: index)
                if state.others[host]?.isEmpty == true { state.others[host] = nil }
                return .other
            }
            guard state.sessions[host] === session else { return nil }
            let next = state.others[host]?.popLast()
            if state.others[host]?.isEmpty == true { state.others[host] = nil }
            state.sessions[host] = next
            return next.map(Closing.replaced) ?? .last
        }
    }

    /// One of the host's sessions, newest or displaced.
    func session(_ host: HostName, id: String) -> WireSession? {
        state.withLockedValue { state in
            ([state.sessions[host]].compactMap { $0 } + (state.others[host] ?? [])).first { $0.id == id }
        }
    }

    func session(_ host: HostName) -> WireSession? { state.withLockedValue { $0.sessions[host] } }

    /// An operator's word on which store agents follow; told to each that opens a session.
    var succession: WireSignedStatement? {
        get { state.withLockedValue { $0.succession } }
        set { state.withLockedValue { $0.succession = newValue } }
    }

    /// True: it was not among them.
    func dials(outsider host: HostName, at now: BootTime) -> Bool {
        state.withLockedValue { state in
            let isKnown = state.outsiders[host] != nil
            guard isKnown || state.outsiders.count < Self.outsidersMax else { return false }
            state.outsiders[host] = .some(now)
            return !isKnown
        }
    }

    /// When an outsider dialled in last; nil: it has not since this coordinator began.
    func dialled(outsider host: HostName) -> BootTime? { state.withLockedValue { $0.outsiders[host] ?? nil } }

    /// A person says that nothing of it runs. False: it is not among them.
    func forget(outsider host: HostName) -> Bool { state.withLockedValue { $0.outsiders.removeValue(forKey: host) != nil } }

    var outsiders: [HostName] { state.withLockedValue { $0.outsiders.keys.sorted() } }

    /// In order.
    var unplaced: [WorkerName] { state.withLockedValue { $0.unplaced }.values.joined().sorted() }

    var divided: Set<HostName> { state.withLockedValue { $0.divided } }

    func set(isDivided: Bool, _ host: HostName) {
        state.withLockedValue { state in
            if isDivided { state.divided.insert(host) } else { state.divided.remove(host) }
        }
    }

    func set(unplaced workers: [WorkerName], on host: HostName) {
        state.withLockedValue { $0.unplaced[host] = workers.isEmpty ? nil : workers }
    }

    var book: LatchBook { state.withLockedValue { $0.book } }

    /// The fleet's latches in force, then those that hold on one host by its own word, with that host as their scope.
    var inForce: [Latch] {
        state.withLockedValue { state in
            state.book.inForce + state.hostBooks.sorted { $0.key < $1.key }.flatMap { $0.value.inForce }
        }
    }

    // MARK: The fleet's

    /// Takes in latches whose word was judged; returns what changed here.
    func merge(_ latches: [Latch]) -> [Latch] {
        latches.isEmpty
            ? []
            : state.withLockedValue { state in
                let changed = state.book.merge(latches).changed
                // What is the fleet's is no word of a host's own.
                for host in state.hostBooks.keys {
                    state.hostBooks[host]?.drop(Set(changed.map(\.id)))
                    if state.hostBooks[host]?.latches.isEmpty == true { state.hostBooks[host] = nil }
                }
                return changed
            }
    }

    func judged(_ id: String, signature: String, word: LatchWord) {
        state.withLockedValue { $0.book.judged(id, signature: signature, word: word) }
    }

    func shorten(released ids: Set<String>) { state.withLockedValue { $0.book.shorten(ids) } }

    // MARK: Hosts' own

    private static let hostReleasedMax = 64

    /// What was released of a host's own.
    func released(for host: HostName, _ id: String) -> Latch? {
        state.withLockedValue { $0.hostBooks[host]?.latches[id] }.flatMap { $0.release == nil ? nil : $0 }
    }

    /// A host's word about itself: whole with its hello, one by one afterwards. Returns what is new, or newly released.
    ///
    /// What the fleet's book has is no word of the host's own.
    func brought(_ latches: [Latch], by host: HostName, isWhole: Bool) -> [Latch] {
        state.withLockedValue { state in
            // The release of what was never the host's own here is the fleet's, or nobody's: its signature decides, elsewhere.
            let held = state.hostBooks[host]?.latches ?? [:]
            let own = latches.filter { state.book.latches[$0.id] == nil && ($0.release == nil || held[$0.id] != nil) }.map { latch in
                var latch = latch
                latch.scope.hosts = [host]
                latch.word = .host(host)
                return latch
            }
            // What was released for it while it was away is remembered: it is told with its welcome.
            let before = state.hostBooks[host] ?? LatchBook(releasedMax: Self.hostReleasedMax)
            var book = isWhole ? LatchBook(before.all.filter { $0.release != nil }, releasedMax: Self.hostReleasedMax) : before
            let known = Set(state.hostBooks[host]?.inForce.map(\.id) ?? [])
            let changed = book.merge(own).changed
            state.hostBooks[host] = book.latches.isEmpty ? nil : book
            return changed.filter { $0.release != nil || !known.contains($0.id) }
        }
    }

    // MARK: Emergency stop

    /// What came of setting a latch here.
    struct Setting {
        let isNew: Bool
        let isKept: Bool
    }

    /// Sets the latch in memory, then sends one encoded frame to every session. Nothing is written first (law 7).
    func fanOut(_ latch: Latch, collector: EmergencyCollector) throws -> Setting {
        var envelope = WireEnvelope()
        envelope.emergencyStop.latch = WireLatch(latch)
        let frame = try encodeFrame(envelope, allocator: ByteBufferAllocator())
        let (sessions, setting) = state.withLockedValue { state in
            let merge = state.book.order(latch)
            state.collectors[latch.id] = collector
            // Who is who now counts for every answer: sessions come and go meanwhile, and one instance answers for no other.
            var names: [EmergencyCollector.Asked: String] = [:]
            for (host, sessions) in state.others { for session in sessions { names[Self.asked(session, host)] = Self.name(of: session, on: host) } }
            for (host, session) in state.sessions { names[Self.asked(session, host)] = host.raw }
            collector.expect(names)
            return (
                state.all,
                Setting(isNew: !merge.changed.isEmpty, isKept: state.book.latches[latch.id]?.release == nil && state.book.latches[latch.id] != nil)
            )
        }
        for session in sessions { session.send(encoded: frame) }
        return setting
    }

    private static func asked(_ session: WireSession, _ host: HostName) -> EmergencyCollector.Asked {
        EmergencyCollector.Asked(host: host, instance: session.hello.agentInstance)
    }

    /// `st-1 (another instance, from 10.0.0.7:41022)`
    private static func name(of displaced: WireSession, on host: HostName) -> String { "\(host) (another instance, from \(displaced.remoteAddress))" }

    /// Counts for the host whose session brought it, whatever it says of itself (law 13).
    func answered(_ result: WireEmergencyResult, by host: HostName, on session: WireSession) {
        let name = self.session(host) === session ? host.raw : Self.name(of: session, on: host)
        state.withLockedValue { $0.collectors[result.latch] }?.take(result, from: Self.asked(session, host), orCalled: name)
    }

    func forget(collector latch: String) { state.withLockedValue { $0.collectors[latch] = nil } }

    func broadcast(_ envelope: WireEnvelope) throws {
        let frame = try encodeFrame(envelope, allocator: ByteBufferAllocator())
        for session in state.withLockedValue({ $0.all }) { session.send(encoded: frame) }
    }
}

/// Gathers what the agents say to one emergency stop, until all have said their last or the bound is past.
final class EmergencyCollector: Sendable {
    /// Whoever was told of the stop: an instance of the agent of one host, by that host's certificate (law 13).
    struct Asked: Hashable, Sendable {
        let host: HostName
        let instance: String
    }

    private struct State {
        var names: [Asked: String] = [:]
        var expected: Set<String> = []
        var results: [String: WireEmergencyResult] = [:]
        var waiter: CheckedContinuation<Void, Never>?
        var over = false

        var isComplete: Bool { expected.allSatisfy { results[$0]?.final == true } }
    }

    private let state = NIOLockedValueBox(State())

    /// `names`: what each that was told is called in the answer.
    func expect(_ names: [Asked: String]) {
        state.withLockedValue { state in
            state.names = names
            state.expected = Set(names.values)
        }
    }

    /// An instance that was not told is called `name`. Its answer is dropped where that is the name of one that was told.
    func take(_ result: WireEmergencyResult, from asked: Asked, orCalled name: String) {
        let waiter = state.withLockedValue { state -> CheckedContinuation<Void, Never>? in
            guard let known = state.names[asked] ?? (state.expected.contains(name) ? nil : name) else { return nil }
            var result = result
            result.host = known
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
