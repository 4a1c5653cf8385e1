internal import CLinux
package import FleetCore
internal import Glibc

/// How well this host's clock follows its source.
package enum TimeSynchronisation {
    /// What the kernel knows (adjtimex(2), read-only): whether it is synchronised and its bound of error, not by whom.
    ///
    /// One system call: fit for an event loop.
    package static func kernel() -> TimeReading {
        var clock = clinux_clock()
        guard clinux_read_clock(&clock) == 0 else {
            return TimeReading(text: LinuxError.last("read", "the kernel's clock (adjtimex)").description)
        }
        return reading(clock)
    }

    static func reading(_ clock: clinux_clock) -> TimeReading {
        // The kernel counts what a clock that nobody corrects may have lost since: 500 ppm, up to 16 s.
        let error = Duration.microseconds(clock.max_error_us)
        return TimeReading(
            synchronised: !clock.unsynchronised, source: clock.pulse ? "pps" : nil,
            // chrony and phc2sys steer the frequency themselves: the kernel's offset is then 0 and says nothing.
            offset: clock.disciplined ? .nanoseconds(clock.offset_ns) : nil, maxError: error,
            text: clock.unsynchronised
                ? "the kernel says: not synchronised (status 0x\(String(clock.status, radix: 16)))"
                : "the kernel says: synchronised, at most \(clock.max_error_us) us off")
    }

    /// `via` as the inventory declares it: `chronyc:` and the path of chronyd's command socket; nil: the kernel's own word.
    ///
    /// Runs chronyc on the caller's thread, for at most `within`.
    package static func read(via: String?, within: Duration = .seconds(2)) -> TimeReading {
        guard let via else { return kernel() }
        guard via.hasPrefix("chronyc:"), case let path = String(via.dropFirst("chronyc:".count)), path.hasPrefix("/") else {
            return TimeReading(text: "expect.time.via \"\(via)\" is not understood: write chronyc:/run/chrony/chronyd.sock")
        }
        guard let program = chronyc.first(where: Files.isExecutable) else {
            return TimeReading(text: "chronyc is not installed (looked for \(chronyc.joined(separator: ", ")))")
        }
        // -n: an address stays an address, and no name server is asked; -c: a line of commas.
        let command = CommandRunner([program, "-n", "-c", "-h", path, "tracking"], environment: ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"])
        let outcome: CommandRunner.Outcome
        do throws(LinuxError) { outcome = try command.run(within: within) } catch { return TimeReading(text: "\(error)") }
        if let problem = outcome.problem {
            return TimeReading(text: "chronyc \(problem) (socket \(path): is chronyd running, and may this agent use it?)")
        }
        return outcome.output.split(separator: "\n").lazy.compactMap { tracking(String($0)) }.first
            ?? TimeReading(text: "what chronyc says of its tracking is not understood: \"\(outcome.output.prefix(120))\"")
    }

    /// Never by PATH: the agent may run as root.
    private static let chronyc = ["/usr/bin/chronyc", "/usr/local/bin/chronyc", "/usr/sbin/chronyc", "/opt/chrony/bin/chronyc"]

    /// `chronyc -c tracking` (chronyc(1)): reference id, its name, stratum, reference time, the system clock's correction,
    /// last offset, RMS offset, frequency, residual frequency, skew, root delay, root dispersion, interval, leap status.
    static func tracking(_ line: String) -> TimeReading? {
        let fields = line.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        guard fields.count >= 14, let identifier = UInt32(fields[0], radix: 16), let stratum = Int(fields[2]), (0...16).contains(stratum),
            let slow = seconds(fields[4]), let delay = seconds(fields[10]), let dispersion = seconds(fields[11])
        else { return nil }
        let leap = fields[13]
        guard ["Normal", "Insert second", "Delete second", "Not synchronised"].contains(leap) else { return nil }
        guard leap != "Not synchronised", identifier != 0 else {
            return TimeReading(synchronised: false, text: "chrony has no source that it follows")
        }
        let name = fields[1]
        let bound = delay.nanoseconds.magnitude / 2 &+ dispersion.nanoseconds.magnitude
        return TimeReading(
            synchronised: true, source: source(identifier, name),
            // The correction is still to be made: positive where the clock is behind.
            offset: .zero - slow, maxError: .nanoseconds(Int64(clamping: bound)),
            text: "chrony follows \(name.isEmpty ? "its own clock" : name), stratum \(stratum)")
    }

    /// ptp and ntp as an inventory says them; another reference clock by its own name, lower case.
    private static func source(_ identifier: UInt32, _ name: String) -> String {
        if identifier == 0x7F7F_0101 { return "local" }
        if name.contains(".") || name.contains(":") { return "ntp" }
        let upper = name.uppercased()
        // `refclock PHC /dev/ptp0` is PHC0 unless a refid is given; phc2sys and timemaster say PTP.
        if upper.hasPrefix("PTP") || upper.hasPrefix("PHC") { return "ptp" }
        if upper.hasPrefix("PPS") { return "pps" }
        return name.isEmpty ? "unknown" : name.lowercased()
    }

    /// As many digits as fit nanoseconds; nil for what isn't a number or is past ±292 years.
    private static func seconds(_ text: String) -> Duration? {
        guard let value = Double(text), value.isFinite, abs(value) < 9e9 else { return nil }
        return .nanoseconds(Int64((value * 1e9).rounded()))
    }
}
