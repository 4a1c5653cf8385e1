import FleetAPI
import FleetClient
import Glibc

/// Shows a run's progress until it ends, across the loss of its coordinator.
struct RunFollower {
    let client: APIClient
    let zone: FleetZone
    let json: Bool

    /// How long a coordinator may be away before this command gives up; the run doesn't.
    private static let absenceMax: Duration = .seconds(60)
    private static let retryEvery: Duration = .milliseconds(500)

    /// From here on the run goes on without this command, however that ends.
    static func letGo(run: UInt64) {
        let words = "Run \(run) was ordered and goes on without this command.  trading runs \(run)  shows it;  trading runs abort \(run) --reason …  ends it."
        Terminal.whenOutputFails = (words, .unfinished)
        Interruption.say(words)
    }

    func announce(run: UInt64, kind: String, fleet: String, plan: APIPlan) {
        if json { return }
        var lines = [
            "RUN \(run) \(kind) · \(fleet) · \(ScreenText.plural(plan.steps.count, "step"))\(plan.digest.isEmpty ? "" : " · digest \(ScreenText.digest(plan.digest))")"
        ]
        lines += plan.notes.flatMap { ScreenText.wrapped("  \($0)", width: Terminal.style.width, indent: "    ") }
        Terminal.out(Terminal.style.apply(lines))
    }

    /// Follows to the end, prints the outcome, and says what the process ends with.
    func follow(run: UInt64) async throws -> ExitStatus {
        var progress = ProgressLines(zone: zone, style: Terminal.style)
        var last: UInt64?
        var screen = PassingLine(enabled: Terminal.outIsTerminal && !json)
        var awaySince: ContinuousClock.Instant?
        while true {
            do {
                for try await event in try await client.events("\(Route.run(run))/events", after: last) {
                    awaySince = nil
                    if event.name == "end" { break }
                    let said = try APIJSON.decode(APIRunEvent.self, from: event.data)
                    last = said.sequence
                    if !json { screen.show(progress.take(said)) }
                    if said.kind == "ended" {
                        screen.clear()
                        return try outcome(said.ended)
                    }
                }
                // Ended without the last event: this reader was too slow, or the coordinator is going away.
            } catch let problem as APIProblem where ["stream-broken", "no-coordinator", "no-agent", "starting"].contains(problem.slug) {
                if awaySince == nil, !json { screen.show([.kept("LOST     \(client.endpoint.words) is away; no worker is affected. Trying again …")]) }
                let since = awaySince ?? .now
                awaySince = since
                if since.duration(to: .now) > Self.absenceMax {
                    throw Failure("\(problem.screen)\n  Run \(run) was ordered and goes on without this command.", .unfinished)
                }
            }
            try await Task.sleep(for: Self.retryEvery)
        }
    }

    private func outcome(_ run: APIRun) throws -> ExitStatus {
        if json {
            Terminal.out(bytes: try APIJSON.encode(run))
        } else {
            if run.hasCertificate { Terminal.out([""] + CertificateScreen.lines(run.certificate, zone: zone, style: Terminal.style)) }
            Terminal.out(RunScreen.ending(run, style: Terminal.style))
        }
        switch run.state {
        case .completed: return ExitStatus(verdict: run.hasCertificate ? run.certificate.verdict : run.verdict)
        case .failed: return .failed
        case .aborted: return .unfinished
        case .runUnknown, .active, .blocked, .UNRECOGNIZED: return .unfinished
        }
    }
}

/// The line at the bottom of a terminal that says what happens now.
private struct PassingLine {
    let enabled: Bool
    private var isShown = false

    init(enabled: Bool) { self.enabled = enabled }

    mutating func show(_ lines: [ProgressLines.Line]) {
        for line in lines {
            switch line {
            case .kept(let text):
                clear()
                Terminal.out([text])
            case .passing(let text) where enabled:
                clear()
                Terminal.raw(Terminal.shown(text))
                isShown = true
            case .passing: break
            }
        }
    }

    mutating func clear() {
        if isShown { Terminal.raw("\r\u{1B}[K") }
        isShown = false
    }
}
