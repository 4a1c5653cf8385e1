internal import FleetCore
internal import FleetProbes
internal import FleetWire
internal import LinuxHost

/// What a gate's question came to: unknown stays unknown (law 6).
enum GateReading {
    /// Whether a value equals the JSON text that the inventory demands.
    static func holds(_ value: JSON, _ text: String) -> Bool {
        do { return try value == JSON.parse(text) } catch { return value.text == text }
    }

    /// The value as a figure: numbers as they are, true and false as 1 and 0.
    static func figure(_ value: JSON, at: BootTime) -> WireFigure {
        var figure = WireFigure()
        figure.atBoottimeNs = at.nanoseconds
        figure.evidence = .reported
        switch value {
        case .number(let text):
            if let number = Int64(text), Bounded.value.contains(number) {
                figure.known = true
                figure.value = number
            } else {
                figure.whyUnknown = "\(Cleaned.text(text, bytesMax: 40)) is no whole number within 2^53"
            }
        case .bool(let flag):
            figure.known = true
            figure.value = flag ? 1 : 0
        default: figure.whyUnknown = "\(Cleaned.text(value.text, bytesMax: 40)) is not a number"
        }
        if !figure.known { figure.evidence = .unknown }
        return figure
    }

    static func unknown(_ why: String, at: BootTime) -> WireFigure {
        var figure = WireFigure()
        figure.atBoottimeNs = at.nanoseconds
        figure.whyUnknown = why
        return figure
    }

    /// A gate as it is read while its worker runs; blocks up to `timeout`.
    static func report(_ gate: WorkerDeclaration.Gate, timeout: Duration) -> WireGateReport {
        let (figure, value) = read(gate.probe, timeout: timeout)
        var report = WireGateReport()
        report.owner = gate.owner
        report.name = gate.name
        report.wants = gate.probe.equals
        report.atBoottimeNs = figure.atBoottimeNs
        report.value = value.map { Cleaned.text($0.text, bytesMax: 80) } ?? ""
        report.holds = value.map { holds($0, gate.probe.equals) } ?? false
        if value == nil { report.whyUnknown = figure.whyUnknown }
        return report
    }

    /// Asks over HTTP; blocks up to `timeout`.
    static func read(_ probe: HTTPProbeSpec, timeout: Duration) -> (figure: WireFigure, value: JSON?) {
        do {
            let value = try HTTPProbe.value(probe.url, pointer: probe.pointer, timeout: timeout)
            return (figure(value, at: Clock.boottime()), value)
        } catch {
            return (unknown(Cleaned.text("\(error)", bytesMax: 512), at: Clock.boottime()), nil)
        }
    }
}
