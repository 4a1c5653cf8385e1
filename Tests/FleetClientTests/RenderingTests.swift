import FleetAPI
import FleetClient
import FleetWire
import Testing

@Suite("What people see")
struct RenderingTests {
    private func figure(_ value: Int64?) -> WireFigure {
        var figure = WireFigure()
        figure.known = value != nil
        figure.value = value ?? 0
        return figure
    }

    private func status() -> APIFleetStatus {
        var status = APIFleetStatus()
        status.fleet = "ld4"
        status.unixUs = 1_795_453_121_000_000
        status.tiers = ["market-data", "execution"]
        var known = APIHostStatus()
        known.host = "md-1"
        known.known = true
        known.ever = true
        known.ageNs = 400_000_000
        known.declared = ["feed-xlon"]
        var feed = WireWorkerReport()
        feed.service = "feed-xlon"
        feed.tier = "market-data"
        feed.state = .running
        feed.pid = 6036
        feed.cpus = "2-5"
        feed.upNs = 35_892_000_000_000
        feed.status = "gaps 0"
        known.report.workers = [feed]
        known.report.agentVersion = "0.1.0"
        var silent = APIHostStatus()
        silent.host = "ex-2"
        silent.ever = true
        silent.ageNs = 14_000_000_000
        silent.declared = ["order-gateway", "drop-copy"]
        silent.declaredTiers = ["order-gateway": "execution", "drop-copy": "execution"]
        var gateway = WireWorkerReport()
        gateway.service = "order-gateway"
        gateway.tier = "execution"
        gateway.state = .running
        gateway.pid = 7098
        gateway.lock.text = "bad parameters"
        silent.report.workers = [gateway]
        status.hosts = [known, silent]
        var stream = APIStreamStatus()
        stream.stream = "ticks"
        stream.consumer = "tick-recorder"
        stream.produced = figure(41_208_113)
        stream.applied = figure(nil)
        stream.balance = "UNKNOWN"
        status.streams = [stream]
        status.needsAPerson = ["ex-2: no word for 14 s. Its workers may be running."]
        return status
    }

    @Test("a run that has ended shows why, and nothing to unblock; one that waits shows what it waits for")
    func endedRun() {
        var run = APIRun()
        run.id = 7
        run.blocked = "a@h1 failed: exit 1"
        for (state, word) in [(APIRun.State.failed, "FAILED  "), (.aborted, "ABORTED  "), (.blocked, "BLOCKED  run 7, ")] {
            run.state = state
            let lines = RunScreen.page(run, zone: FleetZone(named: "UTC"), style: ScreenStyle(width: 100))
            #expect(lines.last == "\(word)a@h1 failed: exit 1", "\(lines)")
        }
    }

    @Test("with the longest legal names every line keeps state and age, and names are shortened in the middle", arguments: [80, 100, 160, 250])
    func longNames(width: Int) {
        var status = status()
        let host = "a" + String(repeating: "h", count: 61) + "9"
        let service = "order-gateway-" + String(repeating: "s", count: 44) + "-mm"
        status.hosts[0].host = host
        status.hosts[0].report.workers[0].service = service
        status.hosts[0].report.workers[0].status = String(repeating: "words ", count: 40)
        status.streams[0].stream = "stream-" + String(repeating: "t", count: 56)
        status.streams[0].consumer = service
        status.streams[0].applied.whyUnknown = "\(service)@\(host) has not said \(String(repeating: "X", count: 40))"
        let lines = StatusScreen.lines(status, zone: FleetZone(named: "UTC"), style: ScreenStyle(width: width))
        for line in lines { #expect(line.count <= width, "\(line.count): \(line)") }
        let row = lines.first { $0.hasPrefix("✓ order-") } ?? ""
        #expect(row.contains("running") && row.hasSuffix("0.4s") && row.contains(service) == (width >= 250), "\(row)")
        if width >= 160 { #expect(row.contains("6036"), "\(row)") }
        #expect(row.contains("-mm"), "what tells two names apart stands at both ends: \(row)")
        let stream = lines.first { $0.hasPrefix("stream-") } ?? ""
        #expect(stream.contains("UNKNOWN") && stream.hasSuffix("0.0s"), "\(stream)")
        #expect(lines.contains { $0.hasPrefix("ahh") && $0.contains("0.4s") }, "\(lines)")
    }

    @Test("a silent host's workers are UNKNOWN, with what they were, and never stopped or zero")
    func unknown() {
        let lines = StatusScreen.lines(status(), zone: .utc, style: ScreenStyle())
        #expect(lines[1] == "hosts 1 of 2 reporting, 1 UNKNOWN · workers 3: 1 running, 2 UNKNOWN")
        #expect(lines.contains { $0.hasPrefix("? order-gateway") && $0.contains("UNKNOWN") && $0.contains("was 7098, running, LOCKED") && $0.hasSuffix("14s") })
        #expect(lines.contains { $0.hasPrefix("? drop-copy") && $0.contains("not heard of by this coordinator") })
        #expect(!lines.contains { $0.contains("tier not known") })
        #expect(lines.contains { $0.hasPrefix("ticks -> tick-recorder") && $0.contains("41,208,113") && $0.contains("?") })
        #expect(lines.last == "exit 4 (0 as wanted · 3 needs a person · 4 something is unknown)")
        #expect(lines.allSatisfy { $0.count <= 100 })
    }

    @Test("without UTF-8 every line is plain ASCII, and a narrow terminal keeps state and age")
    func narrow() {
        let lines = StatusScreen.lines(status(), zone: .utc, style: ScreenStyle(width: 60, unicode: false))
        #expect(lines.allSatisfy { $0.allSatisfy(\.isASCII) && $0.count <= 60 })
        #expect(lines.contains { $0.hasPrefix("+ feed-xlon") && $0.contains("running") && $0.hasSuffix("0.4s") })
    }

    private func certificate(verdict: String) -> APICertificate {
        var certificate = APICertificate()
        certificate.run = 311
        certificate.fleet = "ld4"
        certificate.reason = "end of day"
        certificate.origin = "operator/alice"
        certificate.verdict = verdict
        certificate.beganUnixUs = 1_795_453_500_412_000
        certificate.endedUnixUs = 1_795_453_521_934_000
        for (index, label) in ["market-data", "strategies"].enumerated() {
            var proof = APITierProof()
            proof.label = label
            proof.beganUnixUs = certificate.beganUnixUs + UInt64(index) * 1_000_000
            proof.provenUnixUs = proof.beganUnixUs + 900_000
            proof.proven = true
            proof.what = "3 workers, exit 0, process trees empty (measured)"
            certificate.order.append(proof)
        }
        var line = APILedgerLine()
        line.stream = "ticks"
        line.consumer = "tick-recorder"
        line.policy = "buffer"
        line.produced = figure(41_611_904)
        line.applied = figure(41_611_822)
        line.inFlight = figure(0)
        line.buffered = figure(82)
        line.discarded = figure(0)
        line.differenceKnown = true
        certificate.ledger = [line]
        return certificate
    }

    @Test("a proven certificate says so on its first line, with its order and its ledger")
    func proven() {
        let lines = CertificateScreen.lines(certificate(verdict: "proven"), zone: .utc, style: ScreenStyle())
        #expect(lines[0].hasPrefix("STOP CERTIFICATE") && lines[0].hasSuffix("verdict: proven"))
        #expect(lines.contains("No tier began before the one ahead was proven. Overrides: none. Killed: none. Held: none."))
        #expect(lines.contains { $0.hasPrefix("ticks -> tick-recorder") && $0.contains("41,611,904") && $0.contains("41,611,822") && $0.hasSuffix(" 0") })
        #expect(lines.contains { $0.contains("(21.5 s)") })
        #expect(lines.allSatisfy { $0.count <= 100 })
    }

    @Test("a tier that began too early is said to have, whatever the verdict claims")
    func early() {
        var certificate = certificate(verdict: "proven")
        certificate.order[1].beganUnixUs = certificate.order[0].provenUnixUs - 1
        let lines = CertificateScreen.lines(certificate, zone: .utc, style: ScreenStyle())
        #expect(lines.contains { $0.hasPrefix("strategies began before market-data was proven.") })
    }

    @Test("less than proven comes with its reason, and an unknown figure is a question mark")
    func unproven() {
        var certificate = certificate(verdict: "unproven")
        certificate.because = ["ex-2 has not answered since 17:05:09"]
        certificate.ledger[0].applied = figure(nil)
        certificate.ledger[0].differenceKnown = false
        let lines = CertificateScreen.lines(certificate, zone: .utc, style: ScreenStyle())
        #expect(lines[0].hasSuffix("verdict: unproven"))
        #expect(lines[1] == "because ex-2 has not answered since 17:05:09")
        #expect(lines.contains { $0.hasPrefix("ticks -> tick-recorder") && $0.contains(" ? ") && $0.hasSuffix(" ?") })
    }

    @Test("progress is one line for each step that ends, and a block is said once")
    func progress() {
        var progress = ProgressLines(zone: .utc, style: ScreenStyle())
        var event = APIRunEvent()
        event.run = 311
        event.unixUs = 1_795_453_500_412_000
        event.kind = "step"
        event.step.number = 5
        event.step.label = "market-data"
        event.step.state = "active"
        guard case .passing = progress.take(event).first else {
            Issue.record("an active step is passing")
            return
        }
        event.step.state = "done"
        event.step.detail = "tick-recorder stopped"
        event.step.tookNs = 3_100_000_000
        let done = progress.take(event)
        #expect(done.count == 1)
        guard case .kept(let line)? = done.first else { return }
        #expect(line.contains("market-data") && line.hasSuffix("3.1 s") && line.count == 100)
        #expect(progress.take(event).isEmpty)

        event.kind = "blocked"
        event.text = "step 4: order-gateway@ex-1 has 2 open orders. It goes on by itself at 0. [open-orders]"
        let blocked = progress.take(event)
        #expect(blocked.count == 2)
        guard case .kept(let head)? = blocked.first else { return }
        #expect(head.hasPrefix("BLOCKED  run 311, step 4: order-gateway@ex-1") && head.hasSuffix("[open-orders]") && head.count == 100)
        event.text = event.text.replacing("2 open", with: "1 open")
        guard case .passing = progress.take(event).first else {
            Issue.record("the same block with another figure is passing")
            return
        }
    }

    @Test("a plan's command is printed whole, however long")
    func plan() {
        var plan = APIPlan()
        plan.kind = "stop"
        plan.digest = "7c1e-90ab-44d2"
        var step = APIPlanStep()
        step.number = 1
        step.label = "check"
        step.text = "4 agents, 8 workers"
        plan.steps = [step]
        let command = "trading stop --all --reason \"" + String(repeating: "x", count: 120) + "\""
        let lines = PlanScreen.lines(plan, fleet: "ld4", command: command, style: ScreenStyle())
        #expect(lines.first == "PLAN stop · ld4 · digest 7c1e-90ab-44d2")
        #expect(lines.last == "  \(command) --plan 7c1e-90ab-44d2")
    }
}

@Suite("Time zones")
struct ZoneTests {
    @Test("London is an hour ahead in summer, also past the last transition listed")
    func london() {
        let zone = FleetZone(named: "Europe/London")
        #expect(zone.city == "London")
        #expect(zone.time(1_795_453_500_412_000, milliseconds: true) == "17:05:00.412")  // 2026-11-23
        #expect(zone.offset(at: 1_782_907_200) == 3_600)  // 2026-07-01 12:00
        #expect(zone.offset(at: 2_225_448_000) == 3_600)  // 2040-07-09, by the rule of the footer
        #expect(zone.offset(at: 2_241_000_000) == 0)  // 2041-01-05
    }

    @Test("the hour of a change is the right one on both sides")
    func edges() {
        let zone = FleetZone(named: "Europe/London")
        #expect(zone.offset(at: 1_774_745_999) == 0)  // 2026-03-29 00:59:59 UTC
        #expect(zone.offset(at: 1_774_746_000) == 3_600)
        let sydney = FleetZone(named: "Australia/Sydney")
        #expect(sydney.offset(at: 2_209_000_000) == 39_600)  // January 2040
        #expect(sydney.offset(at: 2_225_448_000) == 36_000)  // July 2040
    }

    @Test("a zone that isn't there is UTC and says so; no name leads out of the database")
    func missing() {
        #expect(FleetZone(named: "Mars/Base").name == "UTC")
        #expect(FleetZone(named: "../../../etc/passwd").name == "UTC")
        #expect(FleetZone.utc.time(0) == "?")
    }
}

@Suite("Server-sent events")
struct ServerSentEventTests {
    @Test("events arrive whole whatever the pieces, and comments are passed over")
    func pieces() throws {
        let text = ": open\n\nid: 7\nevent: step\ndata: {\"a\":1}\n\n: alive\r\n\r\ndata: x\r\ndata: y\r\n\r\n"
        for size in 1...text.utf8.count {
            var parser = ServerSentEventParser()
            var events: [ServerSentEvent] = []
            var rest = Array(text.utf8)[...]
            while !rest.isEmpty {
                events += try parser.feed(rest.prefix(size))
                rest = rest.dropFirst(size)
            }
            #expect(events == [ServerSentEvent(id: "7", name: "step", data: Array("{\"a\":1}".utf8)), ServerSentEvent(data: Array("x\ny".utf8))])
        }
    }
}
