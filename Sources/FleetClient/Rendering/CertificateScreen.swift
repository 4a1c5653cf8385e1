package import FleetAPI
import FleetCore
import FleetWire

/// A stop certificate as text.
package enum CertificateScreen {
    /// `full`: with the list of everything that it covers, one line each.
    package static func lines(_ certificate: APICertificate, zone: FleetZone, style: ScreenStyle, full: Bool = false) -> [String] {
        var lines: [String] = []
        let verdict = certificate.verdict.isEmpty ? "unproven" : certificate.verdict
        lines.append(ScreenText.left("STOP CERTIFICATE", min(71, style.width - 22)) + "verdict: \(verdict)")
        if verdict != "proven" {
            let reasons = certificate.because.isEmpty ? ["the certificate gives no reason"] : certificate.because
            for reason in reasons {
                lines += ScreenText.wrapped("because \(reason)", width: style.width, indent: "        ")
            }
        }
        lines += ScreenText.wrapped(
            "run \(certificate.run) · fleet \(certificate.fleet) · \"\(certificate.reason)\" · ordered by \(certificate.origin)",
            width: style.width, indent: "  ")
        let what = "plan \(ScreenText.digest(certificate.planDigest)) · inventory \(ScreenText.digest(certificate.inventoryDigest))"
        let when = span(certificate, zone)
        lines += what.count + 3 + when.count <= style.width ? ["\(what) · \(when)"] : [what, when]
        lines.append("")
        lines += order(certificate, zone, style)
        lines += ledger(certificate, style)
        lines.append("")
        lines += released(certificate, zone, style)
        if full { lines += covers(certificate, zone, style) }
        return style.apply(lines)
    }

    // MARK: What it covers

    /// `3 hosts, 5 workers, 20 checks, 2 streams · not covered: 1 stream`
    private static func summary(_ certificate: APICertificate) -> String {
        func counts(_ items: [APICovered]) -> String {
            var parts: [String] = []
            for (what, one, many) in [
                ("host", "host", "hosts"), ("worker", "worker", "workers"), ("exit", "exit", "exits"), ("tree", "tree's end", "trees' ends"),
                ("check", "check", "checks"), ("state", "worker's state files", "workers' state files"), ("quiesce", "quiesce", "quiesces"),
                ("gate", "gate", "gates"), ("stream", "stream", "streams"), ("latch", "emergency stop", "emergency stops"),
                ("override", "override", "overrides"), ("unseen", "unknown host", "unknown hosts"), ("run", "run", "runs"),
            ] {
                let count = Set(items.filter { $0.what == what }.map { "\($0.subject)\(what == "override" ? $0.text : "")" }).count
                if count > 0 { parts.append(ScreenText.plural(count, one, many)) }
            }
            return parts.joined(separator: ", ")
        }
        let proven = certificate.covers.filter { $0.verdict == "proven" }
        let lacking = certificate.covers.filter { $0.verdict != "proven" }
        return "\(proven.isEmpty ? "nothing" : counts(proven)) · less than proven: \(lacking.isEmpty ? "nothing" : counts(lacking))"
    }

    private static func covers(_ certificate: APICertificate, _ zone: FleetZone, _ style: ScreenStyle) -> [String] {
        guard !certificate.covers.isEmpty else { return [] }
        let what = max(4, certificate.covers.map(\.what.count).max() ?? 0)
        let head = ScreenText.left("WHAT", what) + "  EVIDENCE  AT            SUBJECT, AND WHAT COVERS IT"
        return ["", head]
            + certificate.covers.flatMap { item -> [String] in
                let at = item.unixUs > 0 ? zone.time(item.unixUs, milliseconds: true) : "-"
                let start = "\(ScreenText.left(item.what, what))  \(ScreenText.left(item.evidence, 8))  \(ScreenText.left(at, 12))  "
                let said =
                    item.verdict == "proven" ? "\(item.subject)\(item.text.isEmpty ? "" : ": \(item.text)")" : "\(item.verdict.uppercased())  \(item.text)"
                let wrapped = ScreenText.wrapped(said, width: max(24, style.width - start.count), indent: "  ")
                return wrapped.enumerated().map { ($0 == 0 ? start : String(repeating: " ", count: start.count)) + $1 }
            }
    }

    private static func span(_ certificate: APICertificate, _ zone: FleetZone) -> String {
        let took = certificate.endedUnixUs > certificate.beganUnixUs ? certificate.endedUnixUs - certificate.beganUnixUs : 0
        return "\(zone.date(certificate.beganUnixUs)) \(zone.time(certificate.beganUnixUs, milliseconds: true)) -> "
            + "\(zone.time(certificate.endedUnixUs, milliseconds: true)) \(zone.city) (\(ScreenText.took(took * 1_000)))"
    }

    // MARK: Order

    private static func order(_ certificate: APICertificate, _ zone: FleetZone, _ style: ScreenStyle) -> [String] {
        let label = max(11, certificate.order.map(\.label.count).max() ?? 0)
        var lines = ["\(ScreenText.left("ORDER", label))  began         proven        what proves it"]
        for proof in certificate.order {
            let head =
                "\(ScreenText.left(proof.label, label))  \(ScreenText.left(zone.time(proof.beganUnixUs, milliseconds: true), 12))  "
                + "\(ScreenText.left(proof.proven ? zone.time(proof.provenUnixUs, milliseconds: true) : "NOT PROVEN", 12))  "
            let indent = String(repeating: " ", count: head.count)
            let wrapped = ScreenText.wrapped(proof.what, width: style.width - head.count, indent: "")
            lines.append(head + (wrapped.first ?? ""))
            lines += wrapped.dropFirst().map { indent + $0 }
        }
        let killed =
            certificate.workers.filter(\.killed).map(\.worker)
            + certificate.workers.compactMap { worker in
                worker.exit.tree.killed > 0 ? "\(TreeEnd.children(Int(worker.exit.tree.killed))) of \(worker.worker)" : nil
            }
        let held = certificate.workers.filter(\.held).map(\.worker)
        lines += ScreenText.wrapped(
            "\(ahead(certificate)) Overrides: \(list(certificate.overrides)). Killed: \(list(killed)). Held: \(list(held)).",
            width: style.width, indent: "")
        lines.append("")
        return lines
    }

    /// Read off the times, never taken on trust: law 1.
    private static func ahead(_ certificate: APICertificate) -> String {
        for (before, next) in zip(certificate.order, certificate.order.dropFirst()) {
            if !before.proven { return "\(next.label) began although \(before.label) was not proven." }
            if next.beganUnixUs > 0, next.beganUnixUs < before.provenUnixUs { return "\(next.label) began before \(before.label) was proven." }
        }
        return "No tier began before the one ahead was proven."
    }

    private static func list(_ names: [String]) -> String { names.isEmpty ? "none" : names.joined(separator: ", ") }

    // MARK: Ledger

    /// `  DIFFERENCE`, or a figure and a verdict in its place.
    private static let differenceWidth = 12

    private static func ledger(_ certificate: APICertificate, _ style: ScreenStyle) -> [String] {
        guard !certificate.ledger.isEmpty else { return ["LEDGER       no stream has an end in this run"] }
        let names = certificate.ledger.map { "\($0.stream) -> \($0.consumer)" }
        // What lay in the buffer before is a term of the sum: without it the line would not add up.
        let hasBefore = certificate.ledger.contains { $0.carried != 0 }
        let rows = certificate.ledger.map { line in
            (hasBefore ? ["\(ScreenText.number(line.carried))  "] : [])
                + [line.produced, line.applied, line.inFlight, line.buffered, line.discarded].map(ScreenText.figure)
        }
        var head = (hasBefore ? ["BEFORE +"] : []) + ["PRODUCED", "=   APPLIED", "+ IN FLIGHT", "+  BUFFERED", "+ DISCARDED"]
        var widths = (hasBefore ? [10] : []) + [11, 13, 12, 12, 12]
        var name = min(26, max(24, names.map(\.count).max() ?? 0))
        // Where names and figures don't fit one line, each name has its own: figures never lose a digit.
        let isStacked = name + widths.reduce(0, +) + Self.differenceWidth > style.width
        if isStacked {
            head = (hasBefore ? ["BEFORE +"] : []) + ["PRODUCED", "= APPLIED", "+ IN FLIGHT", "+ BUFFERED", "+ DISCARDED"]
            widths = head.indices.map { index in max(head[index].count, rows.map { $0[index].count }.max() ?? 0) + 1 }
            name = 1
        }
        let title = isStacked ? ["LEDGER"] : []
        var lines =
            title + [
                ScreenText.left(isStacked ? "" : "LEDGER", name) + zip(head, widths).map { ScreenText.right($0, $1) }.joined()
                    + (isStacked ? " DIFFERENCE" : "  DIFFERENCE")
            ]
        for ((line, title), columns) in zip(zip(certificate.ledger, names), rows) {
            let figures = [line.produced, line.applied, line.inFlight, line.buffered, line.discarded]
            let difference = line.differenceKnown ? ScreenText.number(line.difference) : "?"
            let long = isStacked || title.count > name
            if long { lines.append(ScreenText.middle(title, style.width)) }
            lines.append(
                ScreenText.left(long ? "" : title, name)
                    + zip(columns, widths).map { ScreenText.right($0, $1) }.joined()
                    + "  \(ScreenText.right(difference, 2))"
                    + (line.verdict.isEmpty || line.verdict == "proven" || line.verdict == "exact" ? "" : " \(line.verdict)"))
            if line.policy == "discard", line.discarded.value > 0 {
                lines.append("  \(ScreenText.number(line.discarded.value)) discarded by the stream's policy")
            }
            if !line.note.isEmpty { lines += ScreenText.wrapped("  \(line.note)", width: style.width, indent: "  ") }
            for (figure, what) in zip(figures, ["produced", "applied", "in flight", "buffered", "discarded"]) where !figure.known && !figure.whyUnknown.isEmpty
            {
                lines += ScreenText.wrapped("  \(what) unknown: \(figure.whyUnknown)", width: style.width, indent: "    ")
            }
        }
        return lines
    }

    // MARK: What was released, kept, signed

    private static func released(_ certificate: APICertificate, _ zone: FleetZone, _ style: ScreenStyle) -> [String] {
        let workers = certificate.workers
        let empty = workers.filter(\.treeEmpty).count
        let indent = String(repeating: " ", count: 11)
        var lines = ScreenText.wrapped(holdings(workers, empty: empty), width: style.width - indent.count, indent: "").enumerated().map {
            ($0 == 0 ? ScreenText.left("RELEASED", indent.count) : indent) + $1
        }
        for worker in workers {
            for check in worker.checks where check.state == .left || check.state == .checkUnknown {
                let word = check.state == .left ? "LEFT BEHIND" : "UNKNOWN"
                lines += ScreenText.wrapped(
                    "           \(worker.worker) \(check.what) \(word)\(check.text.isEmpty ? "" : ": \(check.text)")", width: style.width,
                    indent: "             ")
            }
        }
        if let markers = markers(workers) { lines.append("MARKERS    \(markers)") }
        for worker in workers where isNews(worker.exit) {
            guard worker.hasExit || worker.killed else { continue }
            lines.append("EXIT       \(worker.worker)  \(exit(worker.exit))")
        }
        if !certificate.snapshotFile.isEmpty {
            lines += ScreenText.wrapped(
                "STATE      \(certificate.snapshotFile) sha256 \(ScreenText.digest(certificate.snapshotSha256))", width: style.width,
                indent: "           ")
        }
        for worker in workers {
            for (path, digest) in worker.snapshot.stateFileSha256.sorted(by: { $0.key < $1.key }) {
                let name = path.split(separator: "/").last.map(String.init) ?? path
                let value = digest.hasPrefix("unreadable") ? digest : "sha256 \(ScreenText.digest(digest))"
                lines.append("           \(worker.worker) \(name) \(value)")
            }
        }
        if !certificate.covers.isEmpty {
            lines += ScreenText.wrapped(summary(certificate), width: style.width - indent.count, indent: "").enumerated().map {
                ($0 == 0 ? ScreenText.left("COVERS", indent.count) : indent) + $1
            }
        }
        for one in certificate.notCovered { lines += ScreenText.wrapped("NOT COVERED \(one)", width: style.width, indent: "            ") }
        for note in certificate.notes { lines += ScreenText.wrapped("NOTE       \(note)", width: style.width, indent: "           ") }
        lines.append("DOES NOT CLAIM what the venue holds. It says what our own programs said of it.")
        lines.append(
            "Evidence: \(certificate.measured) measured · \(certificate.reported) reported by workers · "
                + "\(certificate.attested) attested by a person · \(certificate.unknown) unknown")
        let record = certificate.auditSequence > 0 ? " · audit record \(ScreenText.number(certificate.auditSequence))" : ""
        lines.append(
            certificate.signedBy.isEmpty
                ? "Not signed\(record)" : "Signed \(certificate.signedBy) \(zone.time(certificate.endedUnixUs, milliseconds: true))\(record)")
        return lines
    }

    /// `8 of 8 process trees empty · sockets closed (8) · hugepages back (2) · not looked at: …`
    private static func holdings(_ workers: [APIWorkerProof], empty: Int) -> String {
        var parts = ["\(ScreenText.plural(empty, "process tree")) of \(workers.count) shown empty"]
        for (what, clear) in [
            ("sockets", "sockets of ours left"), ("hugepages", "hugepages back"), ("locks", "lock files gone"), ("pid-file", "PID files gone"),
        ] {
            let checks = workers.flatMap(\.checks).filter { $0.what == what && $0.state != .unchecked }
            guard !checks.isEmpty else { continue }
            let good = checks.count { $0.state == .clear }
            let unknown = checks.count { $0.state == .checkUnknown }
            if what == "sockets" {
                if good > 0 { parts.append(good == checks.count ? "0 \(clear)" : "0 \(clear) by \(good) of \(checks.count)") }
            } else {
                parts.append("\(clear) \(good) of \(checks.count)")
            }
            if unknown > 0 { parts.append("\(what) UNKNOWN of \(unknown)") }
        }
        return parts.joined(separator: " · ")
    }

    /// Of the workers that are known to leave one, or to say STOPPING=1; nil: none of them.
    private static func markers(_ workers: [APIWorkerProof]) -> String? {
        let checked = workers.filter { $0.checks.contains { $0.what == "marker" && $0.state != .unchecked } }
        let found = checked.filter { $0.checks.contains { $0.what == "marker" && $0.state == .clear } }
        let snapshots = workers.filter { worker in worker.hasSnapshot && !worker.checks.contains { $0.what == "marker" } }
        let all = checked.count + snapshots.count
        guard all > 0 else { return nil }
        return "\(found.count + snapshots.filter(\.snapshot.markerFound).count) of \(all) shutdown markers found"
    }

    /// Anything but an exit with status 0 that left nothing to be killed.
    static func isNews(_ exit: WireExit) -> Bool { !exit.known || exit.signalled || exit.code != 0 || exit.tree.killed > 0 }

    static func exit(_ exit: WireExit) -> String {
        if !exit.known { return "exit status unknown: its shim was lost" }
        let words = exit.hasTree ? TreeEnd(exit.tree).words : ""
        let tree = words.isEmpty ? "" : ", \(words)"
        if exit.signalled {
            let latch = exit.killedByLatch.isEmpty ? "" : ", by emergency stop \(exit.killedByLatch)"
            return "signal \(exit.code)\(exit.core ? ", core dumped" : "")\(latch)\(tree)"
        }
        return "exit \(exit.code)\(tree)"
    }
}
