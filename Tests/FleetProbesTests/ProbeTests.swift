import CSQLite
import FleetCore
import FleetProbes
import FleetWire
import Glibc
import TestSupport
import Testing

/// Everything here talks to a real Redis, a real SQLite file or a peer on a socket, and blocks while it does.
@Suite("Probes", .serialized)
struct ProbeTests {
    static let timeout = Duration.seconds(5)

    // MARK: Redis

    @Test("a stream and its group are read at one instant")
    func redisReading() throws {
        let redis = try PrivateRedis()
        for number in 1...5 { try redis.run("XADD", "ticks", "\(number)-0", "n", "\(number)") }
        try redis.run("XGROUP", "CREATE", "ticks", "recorder", "0")
        try redis.run("XREADGROUP", "GROUP", "recorder", "r-1", "COUNT", "3", "STREAMS", "ticks", ">")
        try redis.run("XACK", "ticks", "recorder", "1-0")
        let reading = RedisProbe.read(address: redis.address, key: "ticks", group: "recorder", timeout: Self.timeout)
        #expect(reading.known, "\(reading.whyUnknown)")
        #expect(reading.length == 5 && reading.entriesAdded == 5)
        #expect(reading.firstID == "1-0" && reading.lastID == "5-0")
        #expect(reading.groupExists && reading.groupConsumers == 1)
        #expect(reading.pending == 2 && reading.lagKnown && reading.lag == 2)
        #expect(reading.entriesReadKnown && reading.entriesRead == 3)
        #expect(reading.lastDeliveredID == "3-0")
        #expect(reading.runID.count == 40)
        #expect(!reading.appliedKnown)
    }

    @Test("a lag that Redis can't tell is unknown, not zero")
    func unknownLag() throws {
        let redis = try PrivateRedis()
        for number in 1...5 { try redis.run("XADD", "ticks", "\(number)-0", "n", "\(number)") }
        try redis.run("XGROUP", "CREATE", "ticks", "recorder", "0")
        try redis.run("XREADGROUP", "GROUP", "recorder", "r-1", "COUNT", "1", "STREAMS", "ticks", ">")
        try redis.run("XDEL", "ticks", "4-0")
        let reading = RedisProbe.read(address: redis.address, key: "ticks", group: "recorder", timeout: Self.timeout)
        #expect(reading.known && reading.groupExists)
        #expect(!reading.lagKnown)
        #expect(reading.maxDeletedID == "4-0")
    }

    @Test("a missing key and a missing group are measured, each as what it is")
    func missingKeyAndGroup() throws {
        let redis = try PrivateRedis()
        let nothing = RedisProbe.read(address: redis.address, key: "ticks", group: "recorder", timeout: Self.timeout)
        #expect(nothing.known && nothing.length == 0 && nothing.lastID.isEmpty && !nothing.groupExists)
        try redis.run("XADD", "ticks", "1-0", "n", "1")
        let ungrouped = RedisProbe.read(address: redis.address, key: "ticks", group: "recorder", timeout: Self.timeout)
        #expect(ungrouped.known && ungrouped.length == 1 && !ungrouped.groupExists && !ungrouped.lagKnown)
    }

    @Test("a key of another type, a server that wants a password and a dead port are unknown, with the reason")
    func redisUnknown() throws {
        let redis = try PrivateRedis()
        try redis.run("SET", "ticks", "x")
        let wrongType = RedisProbe.read(address: redis.address, key: "ticks", group: "", timeout: Self.timeout)
        #expect(!wrongType.known && wrongType.whyUnknown.contains("WRONGTYPE"))
        try redis.run("CONFIG", "SET", "requirepass", "secret")
        let locked = RedisProbe.read(address: redis.address, key: "ticks", group: "", timeout: Self.timeout)
        #expect(!locked.known && locked.whyUnknown.contains("NOAUTH"))
        let listener = try LoopbackListener()
        listener.close()
        let dead = RedisProbe.read(
            address: "127.0.0.1:\(listener.port)", key: "ticks", group: "", timeout: Self.timeout)
        #expect(!dead.known && dead.whyUnknown.contains("Connection refused"))
    }

    @Test("a stopped Redis costs the timeout and no more")
    func hungRedis() throws {
        let redis = try PrivateRedis()
        redis.process.signal(SIGSTOP)
        let began = Deadline.now
        let reading = RedisProbe.read(address: redis.address, key: "ticks", group: "g", timeout: .milliseconds(200))
        let took = Deadline.now - began
        #expect(!reading.known && reading.whyUnknown.contains("no answer in time"))
        #expect(took >= 200_000_000 && took < 2_000_000_000)
    }

    @Test("a dependency is answering only when it has answered")
    func dependencies() throws {
        let redis = try PrivateRedis()
        var spec = WireDependencySpec()
        spec.name = "redis"
        spec.probe = .redis(redis.address)
        let report = DependencyProbe.check(spec, timeout: Self.timeout)
        #expect(report.answering && report.pid == redis.process.pid && !report.cpus.isEmpty)
        #expect(report.text.hasPrefix("Redis "))
        redis.process.signal(SIGSTOP)
        #expect(!DependencyProbe.check(spec, timeout: .milliseconds(100)).answering)
        // The kernel still takes connections for a stopped process: that is all a tcp check can see.
        spec.probe = .tcp(redis.address)
        #expect(DependencyProbe.check(spec, timeout: Self.timeout).answering)
        spec.probe = nil
        #expect(!DependencyProbe.check(spec, timeout: Self.timeout).answering)
    }

    // MARK: SQLite

    private func database(_ path: String, _ statements: String) throws -> OpaquePointer {
        var handle: OpaquePointer?
        try #require(sqlite3_open(path, &handle) == SQLITE_OK)
        let database = try #require(handle)
        try #require(sqlite3_exec(database, statements, nil, nil, nil) == SQLITE_OK)
        return database
    }

    @Test("distinct committed values are counted while a writer is in mid-transaction")
    func sqliteCount() throws {
        let directory = try ScratchDirectory()
        let path = "\(directory.path)/sink.db"
        let writer = try database(
            path,
            """
            PRAGMA journal_mode=WAL; CREATE TABLE ticks (id TEXT, n INTEGER);
            INSERT INTO ticks VALUES ('a', 1), ('b', 1), ('b', 2), (NULL, 3);
            BEGIN IMMEDIATE; INSERT INTO ticks VALUES ('c', 4)
            """)
        defer { sqlite3_close(writer) }
        #expect(try SQLiteProbe.countDistinct(path: path, table: "ticks", column: "id", timeout: Self.timeout) == 2)
        sqlite3_exec(writer, "COMMIT", nil, nil, nil)
        #expect(try SQLiteProbe.countDistinct(path: path, table: "ticks", column: "id", timeout: Self.timeout) == 3)
    }

    @Test("a missing file, table or column and a file that is no database are errors, never zero")
    func sqliteUnknown() throws {
        let directory = try ScratchDirectory()
        let path = "\(directory.path)/sink.db"
        #expect(throws: ProbeError.self) {
            try SQLiteProbe.countDistinct(path: path, table: "t", column: "c", timeout: Self.timeout)
        }
        #expect(access(path, F_OK) != 0)
        sqlite3_close(try database(path, "CREATE TABLE t (c TEXT)"))
        for (table, column) in [("u", "c"), ("t", "d"), ("t", "c\" --"), ("t; DROP TABLE t", "c")] {
            #expect(throws: ProbeError.self, "\(table).\(column)") {
                try SQLiteProbe.countDistinct(path: path, table: table, column: column, timeout: Self.timeout)
            }
        }
        #expect(try SQLiteProbe.countDistinct(path: path, table: "t", column: "c", timeout: Self.timeout) == 0)
        #expect(throws: ProbeError.self) {
            try SQLiteProbe.countDistinct(path: "/proc/self/status", table: "t", column: "c", timeout: Self.timeout)
        }
    }

    @Test("a count past its deadline is interrupted")
    func sqliteDeadline() throws {
        let directory = try ScratchDirectory()
        let path = "\(directory.path)/sink.db"
        sqlite3_close(
            try database(
                path,
                """
                CREATE TABLE t (c INTEGER);
                WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)
                INSERT INTO t SELECT i FROM n
                """))
        let error = #expect(throws: ProbeError.self) {
            try SQLiteProbe.countDistinct(path: path, table: "t", column: "c", timeout: .milliseconds(1))
        }
        #expect(error?.cause == .timeout)
    }

    // MARK: HTTP

    @Test("a value is read through a chunked answer in pieces")
    func httpValue() throws {
        let peer = try ScriptedPeer([
            "HTTP/1.1 200 OK\r\nTransfer-", "Encoding: chunked\r\n\r\n4\r\n{\"a\"\r\n", "7\r\n:{\"b\":3\r\n2\r\n}}",
            "\r\n0\r\n\r\n",
        ])
        #expect(try HTTPProbe.value(peer.url, pointer: "/a/b", timeout: Self.timeout) == .number("3"))
    }

    @Test(
        "an error status, no JSON, a missing value and half an answer are errors",
        arguments: [
            ("HTTP/1.1 500 Oops\r\nContent-Length: 10\r\n\r\n{\"open\":0}", "HTTP 500"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nopen", "not JSON"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{\"x\":0} ", "nothing at"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{\"op", "closed the connection"),
            ("", "closed the connection"),
        ])
    func httpUnknown(answer: String, reason: String) throws {
        let peer = try ScriptedPeer([answer])
        let error = #expect(throws: ProbeError.self) {
            try HTTPProbe.value(peer.url, pointer: "/open", timeout: Self.timeout)
        }
        #expect(error?.description.contains(reason) == true, "\(error?.description ?? "")")
    }

    @Test("a peer that never answers costs the timeout and no more")
    func httpHung() throws {
        let peer = try ScriptedPeer(["HTTP/1.1 200 OK\r\n"], closes: false)
        let began = Deadline.now
        let error = #expect(throws: ProbeError.self) { _ = try HTTPProbe.get(peer.url, timeout: .milliseconds(150)) }
        #expect(error?.cause == .timeout)
        #expect(Deadline.now - began < 2_000_000_000)
    }

    // MARK: both ends of a hop

    @Test("buffer and sink are known or unknown each for itself")
    func streamReader() throws {
        let redis = try PrivateRedis()
        try redis.run("XADD", "ticks", "1-0", "n", "1")
        let directory = try ScratchDirectory()
        var probe = WireStreamProbe()
        probe.stream = "ticks"
        probe.consumer = "recorder"
        probe.redisAddress = redis.address
        probe.redisKey = "ticks"
        probe.redisGroup = "recorder"
        probe.sqlitePath = "\(directory.path)/sink.db"
        probe.sqliteTable = "ticks"
        probe.sqliteColumn = "id"
        let early = StreamReader.read(probe, timeout: Self.timeout)
        #expect(early.known && early.stream == "ticks" && early.consumer == "recorder")
        #expect(!early.appliedKnown && early.whyAppliedUnknown.contains("no such file"))
        sqlite3_close(
            try database(probe.sqlitePath, "CREATE TABLE ticks (id TEXT PRIMARY KEY); INSERT INTO ticks VALUES ('1-0')")
        )
        let later = StreamReader.read(probe, timeout: Self.timeout)
        #expect(later.appliedKnown && later.applied == 1 && later.whyAppliedUnknown.isEmpty)
        probe.redisAddress = "127.0.0.1:1"
        let half = StreamReader.read(probe, timeout: Self.timeout)
        #expect(!half.known && half.appliedKnown)
    }
}
