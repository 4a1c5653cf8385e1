import CSQLite
import Glibc

/// Counts at an SQLite sink, read-only.
package enum SQLiteProbe {
    /// The number of distinct non-null values of a column, all time.
    ///
    /// Sees what has been committed. A missing file is `.absent`, never zero: a wrong path must not look like an empty
    /// sink. It can't see that a damaged file holds less than was written (FACTS, "SQLite"): the ledger's equality
    /// does.
    package static func countDistinct(
        path: String, table: String, column: String, timeout: Duration
    ) throws(ProbeError) -> Int64 {
        let object = "column \(column) of \(table) in \(path)"
        // An index on the column (a primary key is one) serves this without a temporary table; COUNT(DISTINCT) would
        // not.
        let name = quoted(column)
        let query =
            "SELECT COUNT(*) FROM (SELECT DISTINCT \(name) FROM \(quoted(table)) WHERE \(name) IS NOT NULL)"
        return try with(path: path, object: object, deadline: Deadline(in: timeout)) { database throws(ProbeError) in
            // A double-quoted name that is no column would be read as a string literal, and counted: ask first.
            try demandColumn(column, of: table, in: database, object: object)
            return try number(query, in: database, object: object)
        }
    }

    /// Whether there is shown to be no such file, as before a sink's first start.
    package static func isAbsent(_ path: String) -> Bool { access(path, F_OK) != 0 && errno == ENOENT }

    private static func demandColumn(_ column: String, of table: String, in database: OpaquePointer, object: String)
        throws(ProbeError)
    {
        let code = sqlite3_table_column_metadata(database, nil, table, column, nil, nil, nil, nil, nil)
        guard code != SQLITE_OK else { return }
        throw failure(code, in: database, object: object)
    }

    private static func with<R>(
        path: String, object: String, deadline: Deadline, _ body: (OpaquePointer) throws(ProbeError) -> R
    ) throws(ProbeError) -> R {
        // Opening a pipe or a device would wait for ever.
        var about = stat()
        if stat(path, &about) == 0, about.st_mode & S_IFMT != S_IFREG { throw ProbeError("count", object, .refused("\(path) is no regular file")) }
        var handle: OpaquePointer?
        let opened = sqlite3_open_v2(path, &handle, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, nil)
        defer { sqlite3_close_v2(handle) }
        guard let database = handle else { throw ProbeError("count", object, .refused("out of memory")) }
        guard opened == SQLITE_OK else { throw failure(opened, in: database, object: object) }
        sqlite3_busy_timeout(database, deadline.pollMilliseconds)
        // Called every 10,000 virtual machine steps, about a millisecond.
        var limit = deadline.nanoseconds
        return try withUnsafeMutablePointer(to: &limit) { pointer throws(ProbeError) -> R in
            sqlite3_progress_handler(
                database, 10_000,
                { context in
                    guard let context else { return 1 }
                    return Deadline.now >= context.load(as: UInt64.self) ? 1 : 0
                }, pointer)
            return try body(database)
        }
    }

    private static func number(_ query: String, in database: OpaquePointer, object: String) throws(ProbeError) -> Int64 {
        var statement: OpaquePointer?
        let prepared = sqlite3_prepare_v2(database, query, -1, &statement, nil)
        defer { sqlite3_finalize(statement) }
        guard prepared == SQLITE_OK else { throw failure(prepared, in: database, object: object) }
        let stepped = sqlite3_step(statement)
        guard stepped == SQLITE_ROW else { throw failure(stepped, in: database, object: object) }
        return sqlite3_column_int64(statement, 0)
    }

    private static func failure(_ code: Int32, in database: OpaquePointer, object: String) -> ProbeError {
        let words = String(cString: sqlite3_errmsg(database))
        switch code & 0xFF {
        case SQLITE_CANTOPEN: return ProbeError("count", object, .absent("\(words) (no such file, or no right to it)"))
        case SQLITE_INTERRUPT, SQLITE_BUSY: return ProbeError("count", object, .timeout)
        default: return ProbeError("count", object, .refused(words))
        }
    }

    private static func quoted(_ name: String) -> String {
        "\"" + name.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
    }
}
