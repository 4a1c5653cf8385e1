import FleetClient
import FleetCore
import Glibc
import LinuxHost

/// Standard output and error, unbuffered: a line that was printed is there, whatever happens next.
enum Terminal {
    static let outIsTerminal = isatty(1) == 1
    static let inIsTerminal = isatty(0) == 1

    /// How screens look here.
    ///
    /// Colour only on a terminal, and not with NO_COLOR; plain ASCII without a UTF-8 locale. The width is the terminal's of now.
    static var style: ScreenStyle {
        ScreenStyle(width: size?.columns ?? ScreenStyle.widthUsual, unicode: isUTF8, colour: isColoured)
    }

    /// What the terminal has room for now; nil: no terminal, or one that doesn't say.
    static var size: (columns: Int, rows: Int)? {
        var size = winsize()
        guard outIsTerminal, ioctl(1, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else { return nil }
        return (Int(size.ws_col), Int(size.ws_row))
    }

    private static let isColoured = outIsTerminal && variable("NO_COLOR") == nil && variable("TERM") != "dumb"

    /// All text passes through here cleaned: escape sequences are this program's own.
    static func out(_ lines: [String]) { write(lines.map { shown($0) + "\n" }.joined(), to: 1) }
    static func err(_ lines: [String]) { write(lines.map { Cleaned.lines($0) + "\n" }.joined(), to: 2) }

    /// A line of a screen as it goes to standard output: cleaned, in its colour.
    static func shown(_ line: String) -> String { style.coloured(Cleaned.lines(line)) }

    /// Without a line's end, as it is: prompts, and lines that are rewritten with this program's own escape sequences.
    static func raw(_ text: String) { write(text, to: 1) }

    static func out(bytes: [UInt8]) { write(bytes + [10], to: 1) }

    static func variable(_ name: String) -> String? {
        guard let value = getenv(name) else { return nil }
        let text = String(cString: value)
        return text.isEmpty ? nil : text
    }

    /// The environment that the settings are looked up by.
    static var environment: [String: String] {
        var found: [String: String] = [:]
        for name in ["HOME", "TRADING_CONFIG"] { found[name] = variable(name) }
        return found
    }

    private static let isUTF8: Bool = {
        // The order of setlocale(3): the first that is set counts.
        let locale = variable("LC_ALL") ?? variable("LC_CTYPE") ?? variable("LANG") ?? ""
        let upper = locale.uppercased()
        return upper.hasSuffix("UTF-8") || upper.hasSuffix("UTF8")
    }()

    private static func write(_ text: String, to descriptor: Int32) { write(Array(text.utf8), to: descriptor) }

    /// What is said to standard error when standard output can't be written, and what the process then ends with: a run that was ordered
    /// goes on. Nil: only why it can't be written, and `failed`.
    nonisolated(unsafe) static var whenOutputFails: (text: String, status: ExitStatus)?

    /// When standard output can't be written, says why and `whenOutputFails` to standard error and ends the process with its status.
    private static func write(_ bytes: [UInt8], to descriptor: Int32) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { left in Glibc.write(descriptor, left.baseAddress?.advanced(by: sent), left.count - sent) }
            if count < 0 {
                if errno == EINTR { continue }
                if errno == EAGAIN {
                    var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    _ = poll(&waiting, 1, -1)
                    continue
                }
                let why = LinuxError.text(errno)
                guard descriptor == 1 else { exit(ExitStatus.failed.rawValue) }
                err(["standard output can't be written: \(why)\(whenOutputFails.map { "\n\($0.text)" } ?? "")"])
                exit((whenOutputFails?.status ?? .failed).rawValue)
            }
            sent += count
        }
    }
}
