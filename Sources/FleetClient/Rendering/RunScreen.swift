package import FleetAPI
import FleetCore

/// Runs as lists and as one page.
package enum RunScreen {
    package static func list(_ runs: [APIRun], zone: FleetZone, style: ScreenStyle) -> [String] {
        guard !runs.isEmpty else { return ["no run is known here"] }
        var table = ScreenTable([
            .init(title: "RUN", right: true, kept: true), .init(title: "KIND", kept: true), .init(title: "STATE", kept: true),
            .init(title: "VERDICT", kept: true), .init(title: "BEGAN"), .init(title: "TOOK", right: true), .init(title: "BY"),
            .init(title: "REASON", flexible: true),
        ])
        for run in runs {
            table.add([
                "\(run.id)", run.kind, word(run.state), run.verdict.isEmpty ? "-" : run.verdict,
                "\(zone.date(run.beganUnixUs)) \(zone.time(run.beganUnixUs))", took(run), run.origin, run.reason,
            ])
        }
        return style.apply(table.render(width: style.width))
    }

    package static func page(_ run: APIRun, zone: FleetZone, style: ScreenStyle) -> [String] {
        var lines = [
            "run \(run.id) \(run.kind) · \(word(run.state))\(run.verdict.isEmpty ? "" : " · verdict: \(run.verdict)")",
            "\"\(run.reason)\" · ordered by \(run.origin) · \(zone.date(run.beganUnixUs)) \(zone.time(run.beganUnixUs)) \(zone.city) · \(took(run))",
        ]
        if !run.planDigest.isEmpty { lines.append("plan \(ScreenText.digest(run.planDigest))") }
        let label = max(8, run.steps.map(\.label.count).max() ?? 0)
        for step in run.steps {
            let head = "\(ScreenText.right(String(step.number), 2)) \(ScreenText.left(step.label, label)) \(ScreenText.left(step.state, 8)) "
            let end = step.tookNs > 0 ? "  \(ScreenText.took(step.tookNs))" : ""
            let text = step.detail.isEmpty ? step.text : step.detail
            let wrapped = ScreenText.wrapped(text, width: style.width - head.count - end.count, indent: "")
            lines.append(head + (wrapped.first ?? "") + end)
            lines += wrapped.dropFirst().map { String(repeating: " ", count: head.count) + $0 }
        }
        if !run.blocked.isEmpty {
            switch run.state {
            // Why it ended; nobody can unblock it.
            case .completed, .aborted, .failed:
                lines += ScreenText.wrapped("\(word(run.state))  \(Cleaned.text(run.blocked))", width: style.width, indent: "  ")
            case .active, .blocked, .runUnknown, .UNRECOGNIZED: lines += BlockText.lines(run.blocked, run: run.id, width: style.width)
            }
        }
        if run.hasCertificate { return style.apply(lines + [""]) + CertificateScreen.lines(run.certificate, zone: zone, style: style) }
        return style.apply(lines)
    }

    /// The last line of a run that was watched.
    ///
    /// A certificate has said it all before; its run's end is one word more.
    package static func ending(_ run: APIRun, style: ScreenStyle) -> [String] {
        var line = "run \(run.id) \(run.kind) \(word(run.state)) in \(took(run))"
        if run.state != .completed, !run.blocked.isEmpty { line += " · \(Cleaned.text(run.blocked))" }
        return style.apply(ScreenText.wrapped(line, width: style.width, indent: "  "))
    }

    private static func word(_ state: APIRun.State) -> String {
        switch state {
        case .active: "active"
        case .blocked: "BLOCKED"
        case .completed: "completed"
        case .aborted: "ABORTED"
        case .failed: "FAILED"
        case .runUnknown, .UNRECOGNIZED: "UNKNOWN"
        }
    }

    private static func took(_ run: APIRun) -> String {
        run.endedUnixUs > run.beganUnixUs ? ScreenText.took((run.endedUnixUs - run.beganUnixUs) * 1_000) : "-"
    }
}
