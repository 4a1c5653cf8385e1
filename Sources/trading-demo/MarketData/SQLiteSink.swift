import CSQLite
import FleetProbes

/// Ticks in an SQLite file. The entry id is the primary key, so an entry that is delivered twice is stored once.
///
/// WAL with synchronous=FULL: a commit returns after the log is on the disk (sqlite.org, "PRAGMA synchronous"). NORMAL
/// would sync only at checkpoints; a power cut could then take back commits whose entries are acknowledged already, and
/// Redis would never deliver them again. At one commit per 50 ms this costs 20 fsyncs a second.
final class SQLiteSink: TickSink {
    private let path: String
    private var database: OpaquePointer?
    private var insert: OpaquePointer?
    private var lookup: OpaquePointer?

    init(path: String) throws(SinkError) {
        self.path = path
        let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX
        guard sqlite3_open_v2(path, &database, flags, nil) == SQLITE_OK else { throw failure("open") }
        sqlite3_busy_timeout(database, 2_000)
        try execute("PRAGMA journal_mode=WAL")
        try execute("PRAGMA synchronous=FULL")
        try execute(
            """
            CREATE TABLE IF NOT EXISTS ticks (
                id TEXT PRIMARY KEY NOT NULL, symbol TEXT, price INTEGER, quantity INTEGER, venue_us INTEGER,
                producer TEXT, sequence INTEGER) WITHOUT ROWID
            """)
        insert = try prepare(
            """
            INSERT OR IGNORE INTO ticks (id, symbol, price, quantity, venue_us, producer, sequence)
            VALUES (?, ?, ?, ?, ?, ?, ?)
            """)
        lookup = try prepare("SELECT 1 FROM ticks WHERE id = ?")
    }

    deinit {
        sqlite3_finalize(insert)
        sqlite3_finalize(lookup)
        // Checkpoints and removes the log when nobody else has it open.
        sqlite3_close_v2(database)
    }

    func store(_ entries: [StreamEntry]) throws(SinkError) -> Int? {
        try execute("BEGIN IMMEDIATE")
        do throws(SinkError) {
            let before = sqlite3_total_changes64(database)
            for entry in entries { try store(entry) }
            let new = sqlite3_total_changes64(database) - before
            try execute("COMMIT")
            return Int(new)
        } catch {
            // A failed COMMIT may have ended the transaction already; then this says so and changes nothing.
            sqlite3_exec(database, "ROLLBACK", nil, nil, nil)
            throw error
        }
    }

    func holds(_ id: String) throws(SinkError) -> Bool? {
        defer { sqlite3_reset(lookup) }
        bind(lookup, 1, id)
        let code = sqlite3_step(lookup)
        guard code == SQLITE_ROW || code == SQLITE_DONE else { throw failure("look up \(id) in") }
        return code == SQLITE_ROW
    }

    private func store(_ entry: StreamEntry) throws(SinkError) {
        guard let fields = entry.fields else { return }
        bind(insert, 1, entry.id)
        bind(insert, 2, fields["sym"])
        bind(insert, 3, fields["px"])
        bind(insert, 4, fields["qty"])
        bind(insert, 5, fields["us"])
        bind(insert, 6, fields["p"])
        bind(insert, 7, fields["n"])
        let code = sqlite3_step(insert)
        let error = code == SQLITE_DONE ? nil : failure("store \(entry.id) in")
        sqlite3_reset(insert)
        if let error { throw error }
    }

    /// The column's affinity turns digits into a number.
    private func bind(_ statement: OpaquePointer?, _ index: Int32, _ text: String?) {
        guard let text else {
            sqlite3_bind_null(statement, index)
            return
        }
        // SQLITE_TRANSIENT: the text is copied before the call returns.
        sqlite3_bind_text(statement, index, text, -1, unsafeBitCast(-1, to: sqlite3_destructor_type.self))
    }

    private func prepare(_ text: String) throws(SinkError) -> OpaquePointer? {
        var statement: OpaquePointer?
        guard sqlite3_prepare_v2(database, text, -1, &statement, nil) == SQLITE_OK else {
            throw failure("prepare a statement in")
        }
        return statement
    }

    private func execute(_ text: String) throws(SinkError) {
        guard sqlite3_exec(database, text, nil, nil, nil) == SQLITE_OK else {
            throw failure("run \(text.prefix { $0 != " " && $0 != "\n" }) in")
        }
    }

    private func failure(_ operation: String) -> SinkError {
        SinkError(operation: operation, object: path, why: String(cString: sqlite3_errmsg(database)))
    }
}
