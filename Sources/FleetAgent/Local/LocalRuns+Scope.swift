internal import FleetAPI
internal import FleetCore
internal import FleetWire
internal import LinuxHost

/// Which workers of this host a run acts on, and what stands in its way.
extension LocalRuns {
    /// What a stop does with locked workers that run.
    enum LockRule: String {
        /// Nothing is stopped.
        case refuse = ""
        /// They, and the tiers behind theirs, are left running.
        case leave
        /// They are stopped too, for the host goes down with them anyway; they stay locked.
        case stop
    }

    struct Choice {
        var acting: [WorkerShell]
        var notes: [String] = []
        var throughLocks = false
        /// Why the run does not do all that was named; empty: it does.
        var stopsShort = ""
    }

    func choose(_ kind: String, _ request: APIRunRequest) throws(APIProblem) -> Choice {
        guard let rule = LockRule(rawValue: request.locked), rule == .refuse || kind == "stop" else {
            throw APIProblem(
                slug: "bad-request", what: "REFUSED  \(kind): --locked \(request.locked) is no rule for it", why: "A stop has two: leave, and stop.")
        }
        let named = try scoped(request.scope)
        let excluded = try excluded(request)
        let covered = named.filter { shell in !excluded.contains { $0 === shell } }
        guard !covered.isEmpty || named.isEmpty else {
            throw APIProblem(slug: "nothing-to-do", what: "REFUSED  \(kind): nothing is left of what was named", why: "All of it is excluded by name.")
        }
        var choice = Choice(acting: covered)
        choice.notes = named.filter { shell in excluded.contains { $0 === shell } }.map {
            "\($0.name) (\(ReportBuilder.word($0.machine.phase))) is excluded by name: not covered"
        }
        let locked = covered.filter { $0.machine.lock != nil }
        guard !locked.isEmpty else { return choice }
        let running = locked.filter { $0.machine.launch != nil }
        switch (kind, rule) {
        case ("stop", .stop):
            choice.throughLocks = true
            choice.notes += running.map { "STOPPED THOUGH LOCKED: \(said($0)). It stays locked" }
        case ("stop", .leave):
            leave(running, of: covered, &choice)
            if choice.acting.isEmpty { throw refusal(kind, running, request) }
        case ("stop", .refuse):
            if !running.isEmpty { throw refusal(kind, running, request) }
        default:
            let inTheWay = locked.filter { names($0, request.scope.services) || (kind == "restart" && $0.machine.launch != nil) }
            if !inTheWay.isEmpty { throw refusal(kind, inTheWay, request) }
        }
        let isActing = { (shell: WorkerShell) in choice.throughLocks && shell.machine.launch != nil }
        choice.acting = choice.acting.filter { $0.machine.lock == nil || isActing($0) }
        choice.notes += locked.filter { !isActing($0) }.map { "left alone: \(said($0))" }
        return choice
    }

    /// What law 1 permits without stopping these: the tiers up to the first of them.
    private func leave(_ running: [WorkerShell], of covered: [WorkerShell], _ choice: inout Choice) {
        var tiers: [String] = []
        for tier in covered.map(\.declaration.tier.raw) where !tiers.contains(tier) { tiers.append(tier) }
        func rank(_ shell: WorkerShell) -> Int { tiers.firstIndex(of: shell.declaration.tier.raw) ?? 0 }
        guard let first = running.min(by: { rank($0) < rank($1) }) else { return }
        let behind = covered.filter { rank($0) > rank(first) }
        choice.acting = covered.filter { rank($0) <= rank(first) && $0.machine.lock == nil }
        let live = behind.filter { $0.machine.launch != nil && $0.machine.lock == nil }.map(\.name.description)
        choice.stopsShort =
            "STOPPED SHORT at tier \(first.declaration.tier): \(running.map(said).joined(separator: "; ")). "
            + (live.isEmpty ? "" : "Left running behind it: \(live.joined(separator: ", ")). ")
            + "trading --local unlock \(running.map(\.service).joined(separator: " ")) --reason \"…\", then trading --local stop --reason \"…\""
        choice.notes += live.map { "left running, for it comes after a locked one in the stop order: \($0)" }
    }

    private func refusal(_ kind: String, _ inTheWay: [WorkerShell], _ request: APIRunRequest) -> APIProblem {
        let nothing = ["start": "started", "stop": "stopped"][kind] ?? "done"
        let without =
            inTheWay.contains { names($0, request.scope.services) }
            ? "" : "    Without: add " + inTheWay.map { "--except \($0.service)" }.joined(separator: " ")
        let more = inTheWay.dropFirst().map(said)
        return APIProblem(
            slug: "locked", what: "REFUSED  \(inTheWay[0].name) is locked\(more.isEmpty ? "" : ", and \(more.count) more")",
            why: (["\(inTheWay[0].machine.lock.map(words) ?? ""). Nothing was \(nothing)."] + more).joined(separator: "\n"),
            then: "trading --local unlock \(inTheWay.map(\.service).joined(separator: " ")) --reason \"…\"\(without)")
    }

    /// `strat-arb@st-1 (running, locked by ops-1 14:02 London: "bad param file")`
    private func said(_ shell: WorkerShell) -> String {
        "\(shell.name) (\(ReportBuilder.word(shell.machine.phase))\(shell.machine.lock.map { ", locked \(words($0))" } ?? ""))"
    }

    // MARK: Names

    private func names(_ shell: WorkerShell, _ texts: [String]) -> Bool {
        texts.contains { text in
            let service = WorkerName(text)?.service.raw ?? text
            return service == shell.service || shell.declaration.spec.aliases.contains(service)
        }
    }

    private func excluded(_ request: APIRunRequest) throws(APIProblem) -> [WorkerShell] {
        try check(hosts: request.excludeHosts)
        try check(services: request.excludeWorkers)
        if !request.excludeHosts.isEmpty { return agent.shells }
        return agent.shells.filter { names($0, request.excludeWorkers) }
    }

    private func scoped(_ scope: APIScope) throws(APIProblem) -> [WorkerShell] {
        try check(hosts: scope.hosts)
        try check(services: scope.services)
        let host = agent.host.raw
        for tier in scope.tiers where !agent.shells.contains(where: { $0.declaration.tier.raw == tier }) {
            throw APIProblem(slug: "unknown-tier", what: "REFUSED  no worker of tier \(tier) on \(host)", why: "")
        }
        if scope.services.isEmpty, scope.tiers.isEmpty { return agent.shells }
        return agent.shells.filter { scope.tiers.contains($0.declaration.tier.raw) || names($0, scope.services) }
    }

    private func check(hosts: [String]) throws(APIProblem) {
        for name in hosts where name != agent.host.raw {
            throw APIProblem(slug: "unknown-host", what: "REFUSED  this is \(agent.host), not \(name)", why: "--local acts on this host alone.")
        }
    }

    private func check(services: [String]) throws(APIProblem) {
        for text in services {
            guard WorkerName(text).map({ $0.host == agent.host }) ?? true, agent.shells.contains(where: { names($0, [text]) }) else {
                throw APIProblem(
                    slug: "unknown-service", what: "REFUSED  no service \(text) on \(agent.host)",
                    why: "It has \(agent.shells.map(\.service).joined(separator: ", ")).")
            }
        }
    }
}
