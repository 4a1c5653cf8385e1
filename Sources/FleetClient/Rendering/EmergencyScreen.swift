package import FleetAPI
import FleetCore
package import FleetWire

/// What an emergency stop will do, and what it did.
package enum EmergencyScreen {
    // MARK: Before

    /// From the last known status; nil: nobody could say what runs.
    package static func preview(_ status: APIFleetStatus?, scope: WireScope, style: ScreenStyle) -> [String] {
        guard let status else {
            return style.apply([
                "KILLS NOW, no flushing: \(words(scope)).",
                "No coordinator or relay has said what runs. It is sent to all of them all the same.",
            ])
        }
        let running = Self.running(status)
        let killed = running.filter { covers(scope, $0) }
        let kept = running.filter { !covers(scope, $0) }
        var lines = ["KILLS NOW, no flushing: \(words(scope))."]
        lines.append(killed.isEmpty ? "  Of what is known to run that is nothing." : "  \(list(killed, status.tiers))")
        if !kept.isEmpty { lines.append("Keeps: \(list(kept, status.tiers)).") }
        let unknown = status.hosts.filter { !$0.known }.map(\.host)
        if !unknown.isEmpty { lines.append("UNKNOWN: \(unknown.joined(separator: ", ")); it is told when it answers.") }
        lines.append("Orders at the venue are NOT cancelled by this.  Softer: trading quiesce --all --reason \"…\"")
        return style.apply(lines.flatMap { ScreenText.wrapped($0, width: style.width, indent: "  ") })
    }

    private static func words(_ scope: WireScope) -> String {
        var parts: [String] = []
        if !scope.tiers.isEmpty { parts.append("tier \(scope.tiers.joined(separator: ", "))") }
        if !scope.services.isEmpty { parts.append("service \(scope.services.joined(separator: ", "))") }
        if !scope.hosts.isEmpty { parts.append("host \(scope.hosts.joined(separator: ", "))") }
        if scope.everything, !parts.isEmpty { parts.append("also what the inventory spares") }
        if parts.isEmpty { parts.append(scope.everything ? "everything, also what the inventory spares" : "what the inventory's emergency_stop names") }
        return parts.joined(separator: "; ")
    }

    private struct Running {
        let host: String
        let worker: WireWorkerReport
    }

    private static func running(_ status: APIFleetStatus) -> [Running] {
        status.hosts.flatMap { host in host.report.workers.filter { $0.pid > 0 }.map { Running(host: host.host, worker: $0) } }
    }

    private static func covers(_ scope: WireScope, _ running: Running) -> Bool {
        scope.core.covers(
            service: ServiceName(running.worker.service), tier: TierName(running.worker.tier), host: HostName(running.host),
            emergencyKilled: running.worker.emergencyKilled)
    }

    /// By tier, in stop order.
    private static func list(_ running: [Running], _ tiers: [String]) -> String {
        tiers.compactMap { tier in
            let names = running.filter { $0.worker.tier == tier }.map { "\($0.worker.service)@\($0.host)" }
            return names.isEmpty ? nil : "\(tier): \(names.joined(separator: " "))"
        }.joined(separator: ", ")
    }

    // MARK: After

    /// `status`: what was known before, so that a silent host's workers can be named; nil: nobody had said.
    ///
    /// `unchecked`: what this side itself could not look at.
    package static func lines(
        _ outcome: EmergencyCall.Outcome, latch: String, scope: WireScope, status: APIFleetStatus?, unchecked: [String] = [], style: ScreenStyle
    ) -> [String] {
        let unheard = unheard(outcome, scope, status)
        var lines: [String] = []
        for path in outcome.paths {
            switch path.answer {
            case .success: lines.append("latch set by \(path.name)")
            case .failure(let problem): lines += ScreenText.wrapped("NOT BY \(path.name): \(problem.what)", width: style.width, indent: "  ")
            case nil: lines.append("NOT YET by \(path.name): no answer so far")
            }
            for text in path.unchecked { lines += ScreenText.wrapped("NOT CHECKED: \(path.name): \(text)", width: style.width, indent: "  ") }
        }
        for text in unchecked { lines += ScreenText.wrapped("NOT CHECKED: \(text)", width: style.width, indent: "  ") }
        for text in outcome.notKept { lines += ScreenText.wrapped("! NOT KEPT: \(text)", width: style.width, indent: "  ") }
        if outcome.isAnswered, outcome.covered == 0 {
            lines.append("! COVERS NOTHING: no worker of the inventory falls under this scope. It is no stop")
        }
        let hosts = outcome.confirmed + outcome.unconfirmed
        // Two names, a mark and what became of it on one line.
        let room = max(16, style.width - 22)
        let service = min(max(24, outcome.workers.map(\.name.count).max() ?? 0), room / 2)
        let place = min(max(12, hosts.map(\.count).max() ?? 0), room - service)
        func name(_ text: String, _ width: Int) -> String { ScreenText.left(ScreenText.middle(text, width), width) }
        for host in hosts.sorted() {
            let workers = outcome.workers.filter { $0.host == host }
            let isPartly = outcome.partly.contains(host)
            if outcome.unconfirmed.contains(host), workers.isEmpty, !isPartly {
                let names = unheard.filter { $0.host == host }.map(\.name)
                lines += ScreenText.wrapped(
                    "? \(name(host, place)) not confirmed: the host does not answer; "
                        + "\(names.isEmpty ? "its workers" : names.joined(separator: ", ")) may be running", width: style.width, indent: "               ")
            } else if isPartly {
                lines += ScreenText.wrapped(
                    "? \(name(host, place)) not confirmed: it has not answered for all that may run there", width: style.width, indent: "               ")
            } else if workers.isEmpty {
                lines.append("- \(name(host, place)) nothing in scope ran")
            }
            for worker in workers {
                lines.append(
                    "\(worker.gone ? "✓" : "?") \(name(host, place)) \(name(worker.name, service)) "
                        + (worker.gone ? "gone" : "not confirmed") + (worker.text.isEmpty || worker.gone ? "" : ": \(worker.text)"))
            }
        }
        for host in outcome.onRelaysWord {
            lines += ScreenText.wrapped(
                "? \(name(host, place)) a relay says that it is done there; no coordinator has seen it", width: style.width, indent: "               ")
        }
        lines += ScreenText.wrapped(summary(outcome, unheard), width: style.width, indent: "  ")
        if outcome.isAnswered {
            lines.append("In force until: trading emergency-stop release --latch \(latch) --reason \"…\"")
        } else {
            lines += ScreenText.wrapped("On each host itself: trading --local emergency-stop --reason \"…\"", width: style.width, indent: "  ")
        }
        return style.apply(lines)
    }

    /// What runs on because the scope spares it; nothing for a scope that spares nothing.
    package static func spared(_ status: APIFleetStatus, scope: WireScope, style: ScreenStyle) -> [String] {
        let spared = running(status).filter { !covers(scope, $0) }
        guard !spared.isEmpty else { return [] }
        let more = scope.everything ? "" : ". With these: --everything"
        return style.apply(ScreenText.wrapped("SPARED, and running on: \(list(spared, status.tiers))\(more)", width: style.width, indent: "  "))
    }

    private struct Unheard {
        let host: String
        let name: String
    }

    /// The workers in scope of hosts that have not answered, as the inventory and their last words tell.
    private static func unheard(_ outcome: EmergencyCall.Outcome, _ scope: WireScope, _ status: APIFleetStatus?) -> [Unheard] {
        (status?.hosts ?? []).filter { host in
            outcome.unconfirmed.contains(host.host) && !outcome.workers.contains { $0.host == host.host }
        }.flatMap { host -> [Unheard] in
            let running = host.report.workers.filter { $0.pid > 0 && covers(scope, Running(host: host.host, worker: $0)) }.map(\.service)
            // Without a last word, all that is declared there may be meant.
            return (host.ever ? running : host.declared).map { Unheard(host: host.host, name: $0) }
        }
    }

    private static func summary(_ outcome: EmergencyCall.Outcome, _ unheard: [Unheard]) -> String {
        let gone = outcome.workers.filter(\.gone).count
        var line =
            outcome.isAnswered
            ? "GONE \(gone) of \(outcome.workers.count + unheard.count) in \(outcome.took.words)" : "NOT SENT: no coordinator and no relay took it"
        let open =
            outcome.workers.filter { !$0.gone }.map { "\($0.name)@\($0.host)" }
            + unheard.map { "\($0.name)@\($0.host) (host not answering)" }
            + outcome.unconfirmed.filter { host in !outcome.workers.contains { $0.host == host && !$0.gone } && !unheard.contains { $0.host == host } }
        if !open.isEmpty { line += " · UNKNOWN \(open.count): \(open.joined(separator: ", "))" }
        return line
    }
}
