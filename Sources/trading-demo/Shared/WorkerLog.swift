import Glibc

/// One line on standard error per event, with the time in UTC.
enum WorkerLog {
    static func line(_ text: String) {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        var parts = tm()
        gmtime_r(&now.tv_sec, &parts)
        func padded(_ value: some BinaryInteger, _ width: Int) -> String {
            let digits = String(value)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        let date = "\(parts.tm_year + 1900)-\(padded(parts.tm_mon + 1, 2))-\(padded(parts.tm_mday, 2))"
        let clock = [parts.tm_hour, parts.tm_min, parts.tm_sec].map { padded($0, 2) }.joined(separator: ":")
        let time = "\(clock).\(padded(now.tv_nsec / 1_000, 6))Z"
        let bytes = Array("\(date)T\(time) \(text)\n".utf8)
        // A log that can't be written is no reason to stop trading; the supervisor sees the worker's STATUS anyway.
        _ = bytes.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}
