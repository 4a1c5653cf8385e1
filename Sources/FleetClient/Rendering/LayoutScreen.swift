package import FleetAPI
package import FleetWire

/// Hosts' layouts: what is there and who runs where, what an apply would change or has changed, and what has drifted.
package enum LayoutScreen {
    /// What the process ends with, worst of all hosts.
    package enum Condition: Int32, Comparable, Sendable {
        case asWanted = 0
        case needsAPerson = 3
        case unknown = 4

        package static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
    }

    package static func condition(_ answers: APILayoutAnswers) -> Condition {
        answers.hosts.map { host -> Condition in
            if host.hasProblem { return ["host-unknown", "no-answer", "unknown-command"].contains(host.problem.slug) ? .unknown : .needsAPerson }
            let answer = host.answer
            let undone = answer.changes.contains { !$0.refused.isEmpty } || answer.placements.contains { !$0.problems.isEmpty }
            return answer.drift.isEmpty && answer.problems.isEmpty && !undone ? .asWanted : .needsAPerson
        }.max() ?? .asWanted
    }

    package static func lines(
        _ answers: APILayoutAnswers, _ what: WireLayoutRequest.What, zone: FleetZone, style: ScreenStyle
    ) -> [String] {
        var lines: [String] = []
        for host in answers.hosts {
            if !lines.isEmpty { lines.append("") }
            if host.hasProblem {
                lines += host.problem.screen.split(separator: "\n").flatMap { ScreenText.wrapped(String($0), width: style.width, indent: "    ") }
                if !host.hasAnswer { continue }
            }
            switch what {
            case .show, .UNRECOGNIZED: lines += show(host, style)
            case .plan: lines += plan(host, style)
            case .apply: lines += applied(host, style)
            case .verify: lines += verify(host, zone, style)
            }
            lines += host.answer.notes.flatMap { ScreenText.wrapped("  NOTE     \($0)", width: style.width, indent: "           ") }
        }
        if lines.isEmpty { lines = ["no host has answered"] }
        return style.apply(lines)
    }

    // MARK: Show

    private static func show(_ host: APIHostLayout, _ style: ScreenStyle) -> [String] {
        let topology = host.answer.topology
        var head = "\(host.host)  \(ScreenText.plural(Int(topology.sockets), "socket")) · \(ScreenText.plural(topology.nodes.count, "node"))"
        head += " · \(ScreenText.plural(Int(topology.cores), "core")) · \(ScreenText.plural(Int(topology.cpus), "CPU")) · SMT \(topology.smt ? "on" : "off")"
        var lines = [head]
        func list(_ name: String, _ cpus: String) { lines.append("  \(ScreenText.left(name, 13)) \(cpus.isEmpty ? "-" : cpus)") }
        list("online", topology.online)
        list("housekeeping", topology.housekeeping)
        list("shared", topology.shared)
        list("isolated", topology.isolated)
        list("nohz_full", topology.nohzFull)
        lines += nodes(topology, style)
        lines += placements(host.answer.placements, style)
        lines += interrupts(topology.irqs, style)
        lines += host.answer.problems.flatMap { ScreenText.wrapped("! \($0)", width: style.width, indent: "    ") }
        return lines
    }

    private static func nodes(_ topology: WireLayoutTopology, _ style: ScreenStyle) -> [String] {
        guard !topology.nodes.isEmpty else { return [] }
        var table = ScreenTable([
            .init(title: "  NODE", kept: true), .init(title: "SOCKET"), .init(title: "CPUS", kept: true, flexible: true), .init(title: "MEMORY", right: true),
            .init(title: "HUGEPAGES used/reserved", kept: true),
        ])
        for node in topology.nodes {
            table.add([
                "  \(node.node)", node.socket < 0 ? "?" : "\(node.socket)", node.cpus.isEmpty ? "-" : node.cpus,
                node.memoryBytes > 0 ? ScreenText.bytes(node.memoryBytes) : "?", StatusScreen.hugepages(node.hugepages, placed: true),
            ])
        }
        return table.render(width: style.width)
    }

    private static func placements(_ placements: [WireLayoutPlacement], _ style: ScreenStyle) -> [String] {
        guard !placements.isEmpty else { return ["  no worker is declared here"] }
        var table = ScreenTable([
            .init(title: "  WORKER", kept: true, name: true), .init(title: "PID", right: true), .init(title: "EXCLUSIVE", kept: true),
            .init(title: "HELPERS", kept: true),
            .init(title: "NODE"), .init(title: "THREADS", flexible: true),
        ])
        for placement in placements {
            func word(_ text: String) -> String { text.isEmpty ? "-" : text }
            table.add([
                "  \(placement.service)", placement.pid > 0 ? "\(placement.pid)" : "-", word(placement.exclusive), word(placement.helpers),
                word(placement.node), word(placement.threads.joined(separator: ", ")),
            ])
        }
        return table.render(width: style.width)
            + placements.flatMap { placement in
                placement.problems.flatMap { ScreenText.wrapped("! \(placement.service): \($0)", width: style.width, indent: "    ") }
            }
    }

    private static func interrupts(_ irqs: [WireLayoutTopology.IRQ], _ style: ScreenStyle) -> [String] {
        guard !irqs.isEmpty else { return [] }
        var table = ScreenTable([
            .init(title: "  IRQ", kept: true), .init(title: "NAME", kept: true, flexible: true), .init(title: "INTERFACE"), .init(title: "CPUS", kept: true),
            .init(title: "NODE"),
        ])
        for irq in irqs {
            table.add(["  \(irq.number)", irq.name, irq.interface, irq.cpus.isEmpty ? "?" : irq.cpus, irq.node < 0 ? "?" : "\(irq.node)"])
        }
        return table.render(width: style.width)
    }

    // MARK: Plan and apply

    private static func plan(_ host: APIHostLayout, _ style: ScreenStyle) -> [String] {
        let answer = host.answer
        let count = answer.changes.count
        var lines = ["\(host.host)  \(count == 0 ? "nothing to change" : ScreenText.plural(count, "change"))"]
        for change in answer.changes {
            lines += ScreenText.wrapped("  \(words(change))", width: style.width, indent: "      ")
            if !change.workers.isEmpty {
                lines += ScreenText.wrapped("      touches the live \(change.workers.joined(separator: ", "))", width: style.width, indent: "        ")
            }
            if !change.refused.isEmpty { lines += ScreenText.wrapped("      ! \(change.refused)", width: style.width, indent: "        ") }
        }
        lines += problems(answer, style)
        if answer.changes.contains(where: { $0.refused.isEmpty || !$0.workers.isEmpty }) {
            let live = Set(answer.changes.flatMap(\.workers)).sorted()
            lines.append("  Carry it out:  trading layout apply --host \(host.host)\(live.map { " --override \($0)" }.joined()) --reason \"…\"")
        }
        return lines
    }

    private static func applied(_ host: APIHostLayout, _ style: ScreenStyle) -> [String] {
        let answer = host.answer
        let done = answer.changes.filter(\.done).count
        var lines = [
            "\(host.host)  \(answer.changes.isEmpty ? "nothing to change" : "\(done) of \(ScreenText.plural(answer.changes.count, "change")) carried out")"
        ]
        for change in answer.changes {
            let mark = change.done ? "✓" : "!"
            let result = change.result.isEmpty ? "" : " · read back \(change.result)"
            lines += ScreenText.wrapped("\(mark) \(words(change))\(result)", width: style.width, indent: "      ")
            if !change.done {
                let why = change.refused.isEmpty ? change.result.isEmpty ? "not carried out" : "" : change.refused
                if !why.isEmpty { lines += ScreenText.wrapped("      \(why)", width: style.width, indent: "        ") }
                // An agent's own words may have said it.
                if !change.workers.isEmpty, !change.refused.isEmpty, !change.refused.contains("--override") {
                    lines.append(
                        "      Stop it first, or: trading layout apply --host \(host.host)\(change.workers.map { " --override \($0)" }.joined()) --reason \"…\""
                    )
                }
            }
        }
        return lines + problems(answer, style)
    }

    private static func words(_ change: WireLayoutChange) -> String {
        "\(change.subject)  \(change.from.isEmpty ? "?" : change.from) -> \(change.to)"
    }

    private static func problems(_ answer: WireLayoutAnswer, _ style: ScreenStyle) -> [String] {
        let placed = answer.placements.flatMap { placement in placement.problems.map { "\(placement.service): \($0)" } }
        // A planner may say the same of a worker and of the whole.
        let all = answer.problems + placed.filter { text in !answer.problems.contains { text.hasSuffix($0) || $0.hasSuffix(text) } }
        return all.flatMap { ScreenText.wrapped("! \($0)", width: style.width, indent: "    ") }
    }

    // MARK: Verify

    private static func verify(_ host: APIHostLayout, _ zone: FleetZone, _ style: ScreenStyle) -> [String] {
        let drift = host.answer.drift
        guard !drift.isEmpty || !host.answer.problems.isEmpty else { return ["✓ \(host.host)  as declared"] }
        var lines = ["! \(host.host)  \(drift.isEmpty ? "as declared, and the declaration can't be had" : "DRIFT \(drift.count)")"]
        for one in drift {
            let since = one.sinceUnixUs > 0 ? " since \(zone.time(one.sinceUnixUs).prefix(5))" : ""
            lines += ScreenText.wrapped("  [\(one.slug)] \(DriftText.words(one))\(since)", width: style.width, indent: "      ")
        }
        return lines + problems(host.answer, style)
    }
}
