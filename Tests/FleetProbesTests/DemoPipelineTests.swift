import CSQLite
import FleetCore
import FleetProbes
import FleetWire
import Glibc
import TestSupport
import Testing

/// The demo's workers as processes, against a real Redis: to the tick.
@Suite("Demo pipeline", .serialized)
struct DemoPipelineTests {
    private let redis: PrivateRedis
    private let directory: ScratchDirectory
    private var sink: String { "\(directory.path)/ticks.db" }

    init() throws {
        redis = try PrivateRedis()
        directory = try ScratchDirectory()
    }

    private func feed(_ more: String...) throws -> DemoWorker {
        try DemoWorker(["exchange-to-redis", "--redis", redis.address] + more, in: directory)
    }

    private func recorder(_ more: String...) throws -> DemoWorker {
        try DemoWorker(["redis-to-questdb", "--redis", redis.address, "--sqlite", sink] + more, in: directory)
    }

    private func reading() -> WireStreamReading {
        var probe = WireStreamProbe()
        probe.redisAddress = redis.address
        probe.redisKey = "ticks"
        probe.redisGroup = "recorder"
        probe.sqlitePath = sink
        probe.sqliteTable = "ticks"
        probe.sqliteColumn = "id"
        return StreamReader.read(probe, timeout: .seconds(10))
    }

    private func isReady(_ worker: DemoWorker) -> Bool { worker.said["READY"] == "1" }

    /// Whether the feed's sequence numbers stand in the stream from 1 to the count, once each and in order.
    private func demandSequence(_ count: Int) throws {
        let script = """
            local n = 0
            for _, e in ipairs(redis.call('XRANGE', 'ticks', '-', '+')) do
                if tonumber(e[2][4]) ~= n + 1 then return -1 - n end
                n = n + 1
            end
            return n
            """
        #expect(try redis.run("EVAL", script, "0") == .integer(Int64(count)))
    }

    @Test("produced = stored + left in the stream, over kill -9 of the recorder in mid-batch")
    func balanceOverKills() throws {
        let feed = try feed()
        #expect(feed.waits { isReady($0) })
        var stored = -1
        for round in 0..<6 {
            let victim = try recorder()
            // Killed while it stores: after its first new rows, at a moment that differs from round to round.
            #expect(victim.waits { isReady($0) && $0.number("X_APPLIED") > round * 40 })
            victim.process.signal(SIGKILL)
            #expect(victim.process.ended() == 128 + SIGKILL)
            let now = try SQLiteProbe.countDistinct(path: sink, table: "ticks", column: "id", timeout: .seconds(10))
            #expect(now > stored)
            stored = Int(now)
        }
        let last = try recorder()
        #expect(last.waits { isReady($0) })
        #expect(last.stopped() == 0)
        #expect(feed.waits(until: { $0.number("X_PRODUCED") > stored }))
        #expect(feed.stopped() == 0)
        let end = reading()
        let produced = feed.number("X_PRODUCED")
        #expect(end.known && end.appliedKnown && end.lagKnown)
        #expect(end.pending == 0)
        #expect(Int64(produced) == end.applied + end.lag)
        #expect(end.entriesAdded == Int64(produced))
        #expect(feed.said["STOPPING"] == "1" && feed.number("X_INFLIGHT") == 0)
        try demandSequence(produced)
        let marker = try JSON.parse(try #require(try redis.run("GET", "ticks:shutdown").text))
        #expect(marker["produced"]?.intValue == Int64(produced))
        #expect(marker["last_id"]?.stringValue == end.lastID)
    }

    @Test("a recorder killed before it has stored, or before it has acknowledged, loses and repeats nothing")
    func killedInMidBatch() throws {
        let first = try recorder()
        #expect(first.waits { isReady($0) })
        var handle: OpaquePointer?
        try #require(sqlite3_open(sink, &handle) == SQLITE_OK)
        defer { sqlite3_close(handle) }
        sqlite3_busy_timeout(handle, 10_000)

        // Another writer holds the sink: the batch is read and can't be stored. It must not be acknowledged.
        try #require(sqlite3_exec(handle, "BEGIN IMMEDIATE", nil, nil, nil) == SQLITE_OK)
        let addTen = "for n = 1, 10 do redis.call('XADD', 'ticks', n .. '-0', 'n', n, 'sym', 'A') end"
        try redis.run("EVAL", addTen, "0")
        #expect(first.waits { $0.said["STATUS"]?.contains("locked") == true })
        first.process.signal(SIGKILL)
        #expect(first.process.ended() == 128 + SIGKILL)
        #expect(reading().pending == 10 && reading().applied == 0)
        try #require(sqlite3_exec(handle, "COMMIT", nil, nil, nil) == SQLITE_OK)

        // The next one may store and not acknowledge.
        try redis.run("ACL", "SETUSER", "default", "-xack")
        let second = try recorder()
        #expect(second.waits { $0.said["STATUS"]?.contains("NOPERM") == true })
        second.process.signal(SIGKILL)
        #expect(second.process.ended() == 128 + SIGKILL)
        #expect(reading().pending == 10 && reading().applied == 10)
        try redis.run("ACL", "SETUSER", "default", "+xack")

        let third = try recorder()
        #expect(third.waits { isReady($0) })
        #expect(third.stopped() == 0)
        #expect(third.number("X_APPLIED") == 0)
        #expect(reading().applied == 10 && reading().pending == 0 && reading().lag == 0)
    }

    @Test("a feed whose connections are cut loses no tick, repeats none and keeps their order")
    func cutConnections() throws {
        let feed = try feed("--rate", "20000")
        #expect(feed.waits { isReady($0) })
        for _ in 0..<12 {
            let before = feed.number("X_PRODUCED")
            try redis.run("CLIENT", "KILL", "TYPE", "normal")
            #expect(feed.waits { $0.number("X_PRODUCED") > before })
        }
        #expect(feed.stopped() == 0)
        #expect(reading().entriesAdded == Int64(feed.number("X_PRODUCED")))
        try demandSequence(feed.number("X_PRODUCED"))
    }

    @Test("a feed that gets no answers for its last ticks says so and exits 3")
    func unresolved() throws {
        let feed = try feed("--flush-within", "300")
        #expect(feed.waits { isReady($0) })
        redis.process.signal(SIGSTOP)
        // More than are ever out while Redis answers: half a second's worth.
        #expect(feed.waits { $0.number("X_INFLIGHT") > 1_000 })
        #expect(feed.stopped() == 3)
        #expect(feed.number("X_UNRESOLVED") > 0)
        #expect(feed.said["STATUS"]?.hasPrefix("UNRESOLVED") == true)
        redis.process.signal(SIGCONT)
    }

    @Test("orders sent are orders accepted, and a quiesce leaves none open")
    func orders() throws {
        let address = try freeAddress()
        let gateway = try DemoWorker(
            ["order-gateway", "--listen", address, "--life-min", "60000", "--life-max", "60000"], in: directory)
        #expect(gateway.waits { isReady($0) })
        let strategy = try DemoWorker(
            ["strategy", "--redis", redis.address, "--gateway", "http://\(address)", "--every", "20"], in: directory)
        #expect(strategy.waits { isReady($0) })
        let feed = try feed()
        #expect(strategy.waits { $0.number("X_SENT") >= 20 })
        strategy.process.signal(SIGUSR1)
        #expect(strategy.waits { $0.number("X_QUIESCED") == 1 })
        let sent = strategy.number("X_SENT")
        #expect(try open(address) == sent)
        #expect(try HTTPProbe.post("http://\(address)/quiesce", timeout: .seconds(5)).status == 200)
        let deadline = Deadline(in: .seconds(10))
        while try open(address) > 0, !deadline.isPast { poll(nil, 0, 5) }
        #expect(try open(address) == 0)
        #expect(
            try HTTPProbe.post(
                "http://\(address)/order", body: Array(#"{"id":"late","owner":"x"}"#.utf8), timeout: .seconds(5)
            ).status == 503)
        let acknowledged = strategy.number("X_APPLIED")
        #expect(strategy.waits { $0.number("X_APPLIED") > acknowledged }, "a quiesced strategy goes on reading")
        #expect(strategy.number("X_SENT") == sent)
        strategy.process.signal(SIGUSR2)
        #expect(strategy.waits { $0.number("X_QUIESCED") == 0 })
        #expect(feed.stopped() == 0)
        #expect(strategy.stopped() == 0)
        #expect(gateway.stopped() == 0)
        #expect(strategy.number("X_SENT") == gateway.number("X_ACCEPTED"))
    }

    @Test("a gateway with orders left open exits 4; once the venue answers, 0")
    func ordersLeft() throws {
        let address = try freeAddress()
        let stuck = try DemoWorker(
            ["order-gateway", "--listen", address, "--stuck-orders", "2", "--stop-within", "100"], in: directory)
        #expect(stuck.waits { isReady($0) })
        #expect(try open(address) == 2)
        #expect(stuck.stopped() == 4)
        #expect(stuck.number("X_INFLIGHT") == 2)
        let other = try freeAddress()
        let freed = try DemoWorker(["order-gateway", "--listen", other, "--stuck-orders", "2"], in: directory)
        #expect(freed.waits { isReady($0) })
        #expect(try HTTPProbe.post("http://\(other)/venue/unstick", timeout: .seconds(5)).status == 200)
        #expect(freed.stopped() == 0)
    }

    private func open(_ address: String) throws -> Int {
        Int(
            try #require(
                try HTTPProbe.value("http://\(address)/orders", pointer: "/open", timeout: .seconds(5)).intValue))
    }

    private func freeAddress() throws -> String {
        let listener = try LoopbackListener()
        listener.close()
        return "127.0.0.1:\(listener.port)"
    }
}
