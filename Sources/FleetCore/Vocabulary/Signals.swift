/// Signal names and numbers (signal(7), the x86-64 and ARM numbering).
package enum Signals {
    private static let names: [(String, Int32)] = [
        ("HUP", 1), ("INT", 2), ("QUIT", 3), ("ILL", 4), ("TRAP", 5), ("ABRT", 6), ("BUS", 7), ("FPE", 8), ("KILL", 9),
        ("USR1", 10), ("SEGV", 11), ("USR2", 12), ("PIPE", 13), ("ALRM", 14), ("TERM", 15), ("STKFLT", 16), ("CHLD", 17),
        ("CONT", 18), ("STOP", 19), ("TSTP", 20), ("TTIN", 21), ("TTOU", 22), ("URG", 23), ("XCPU", 24), ("XFSZ", 25),
        ("VTALRM", 26), ("PROF", 27), ("WINCH", 28), ("IO", 29), ("PWR", 30), ("SYS", 31),
    ]

    /// `TERM` or `SIGTERM`, in capitals, or a number from 1 to 64.
    package static func number(named name: String) -> Int32? {
        if let number = Int32(name) { return (1...64).contains(number) ? number : nil }
        let bare = name.hasPrefix("SIG") ? String(name.dropFirst(3)) : name
        return names.first { $0.0 == bare }?.1
    }

    /// Whether a process without a handler ends by it or is stopped by it (signal(7)): all but CHLD, CONT, URG and WINCH.
    package static func harms(_ number: Int32) -> Bool { ![17, 18, 23, 28].contains(number) }

    /// `SIGTERM`; a number without a name as `signal 40`.
    package static func name(_ number: Int32) -> String {
        names.first { $0.1 == number }.map { "SIG\($0.0)" } ?? "signal \(number)"
    }
}
