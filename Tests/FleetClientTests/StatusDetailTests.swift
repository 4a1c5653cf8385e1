import FleetAPI
import FleetClient
import FleetWire
import Testing

@Suite("Status and detail pages")
struct StatusDetailTests {
    private func status(_ change: (inout WireWorkerReport, inout APIHostStatus) -> Void = { _, _ in }) -> APIFleetStatus {
        var status = APIFleetStatus()
        status.fleet = "ld4"
        status.unixUs = 1_795_453_121_000_000
        status.tiers = ["strategies"]
        var host = APIHostStatus()
        host.host = "st-1"
        host.known = true
        host.ever = true
        host.declared = ["strat-arb"]
        host.report.agentVersion = "0.2.0"
        var worker = WireWorkerReport()
        worker.service = "strat-arb"
        worker.tier = "strategies"
        worker.state = .running
        worker.pid = 5120
        worker.launch = "l-1"
        change(&worker, &host)
        host.report.workers = [worker]
        status.hosts = [host]
        return status
    }

    private func lines(_ status: APIFleetStatus) -> [String] {
        let lines = StatusScreen.lines(status, zone: .utc, style: ScreenStyle())
        #expect(lines.allSatisfy { $0.count <= 100 })
        return lines
    }

    @Test("NOTE has the lock, health, the note, what is in flight, and is cut at a word")
    func note() {
        let long = lines(
            status { worker, _ in
                worker.lock.text = "bad param file"
                worker.remark.text = "vendor looks at it on Thursday, do not touch its files before that"
                worker.inFlight.known = true
                worker.inFlight.value = 1_234
            })
        let row = long.first { $0.hasPrefix("✓ strat-arb") } ?? ""
        #expect(row.contains("LOCKED, note: vendor") && row.contains("…"), "\(row)")
        let cut = row.split(separator: "…").first?.split(separator: " ").last ?? ""
        #expect("vendor looks at it on Thursday, do not touch".contains(cut), "\(row)")
        #expect(lines(status { worker, _ in (worker.inFlight.known, worker.inFlight.value) = (true, 1_234) }).contains { $0.contains("in flight 1,234") })
        #expect(lines(status { worker, _ in worker.health = "unhealthy: HTTP 503" }).contains { $0.contains("unhealthy: HTTP 503") })
        let dumping = lines(status { worker, _ in (worker.state, worker.dumpedBytes) = (.dumping, 2 << 30) })
        #expect(dumping.contains { $0.hasPrefix("! strat-arb") && $0.contains("DUMPING CORE") && $0.contains("2.0 GiB of core written") })
    }

    @Test("HOSTS has drift, the clock with its offset, and the pools used and reserved")
    func hosts() {
        let shown = lines(
            status { _, host in
                host.report.drift = [WireLayoutDrift()]
                host.report.facts.time.known = true
                host.report.facts.time.synchronised = true
                host.report.facts.time.source = "ptp"
                host.report.facts.time.offsetKnown = true
                host.report.facts.time.offsetNs = -40
                var pool = WireHugepagePool()
                pool.pageBytes = 2 << 20
                pool.total = 4_096
                pool.free = 996
                host.report.facts.hugepages = [pool]
            })
        let row = shown.first { $0.hasPrefix("st-1") } ?? ""
        #expect(row.contains("DRIFT 1") && row.contains("2M 3,100/4,096") && row.contains("ptp -0.04 us"), "\(row)")
        #expect(lines(status()).contains { $0.hasPrefix("st-1") && $0.contains(" ok ") && $0.contains("?") })
        let unsynced = lines(status { _, host in host.report.facts.time.known = true })
        #expect(unsynced.contains { $0.contains("NOT SYNCED") })
    }

    @Test("what a person should only know of has no mark, and stands with its indent")
    func needs() {
        var status = status()
        status.needsAPerson = ["! ex-2: no word", "  strat-arb@st-1 locked by ops-1 14:02: \"bad param file\""]
        let shown = lines(status)
        #expect(shown.contains("! ex-2: no word") && shown.contains("  strat-arb@st-1 locked by ops-1 14:02: \"bad param file\""))
    }

    @Test("a worker's page has threads, sockets, files, events, lock, note and last exit; without an answer it says so")
    func page() {
        let status = status { worker, _ in
            worker.lock.by = "operator/ops-1"
            worker.lock.text = "bad param file"
            worker.lock.unixUs = 1_795_442_521_000_000
            worker.health = "ok"
            worker.lastExit.known = true
            worker.lastExit.code = 3
        }
        #expect(DetailScreen.workers("strat-arb", status) == ["strat-arb@st-1"])
        #expect(DetailScreen.workers("st-1", status) == [] && DetailScreen.workers("nobody", status) == nil)
        var page = APIWorkerPage()
        page.worker = "strat-arb@st-1"
        page.report = status.hosts[0].report.workers[0]
        var thread = WireWorkerDetail.Thread()
        thread.tid = 5121
        thread.name = "rx"
        thread.cpus = "6"
        thread.policy = "fifo 50"
        thread.lastCpu = 6
        page.detail.threads = [thread]
        page.detail.openFileCount = 80
        page.detail.openFiles = ["/var/lib/trd/x"]
        var connection = WireWorkerDetail.Connection()
        connection.`protocol` = "tcp"
        connection.local = "10.0.0.1:5000"
        connection.remote = "10.0.0.2:80"
        connection.state = "ESTAB"
        page.detail.connections = [connection]
        page.detail.connectionCount = 1
        page.detail.events = ["17:05:00 WORKER_READY"]
        let lines = DetailScreen.lines("strat-arb", status, pages: [page], zone: .utc, style: ScreenStyle()) ?? []
        #expect(lines.contains("  LOCKED     by ops-1 13:22: \"bad param file\"") || lines.contains { $0.hasPrefix("  LOCKED     by ops-1 1") }, "\(lines)")
        #expect(lines.contains { $0.contains("5121  rx  CPUs 6") && $0.contains("fifo 50") })
        #expect(lines.contains("    tcp  10.0.0.1:5000 -> 10.0.0.2:80  ESTAB"))
        #expect(lines.contains("  open files 80, the first 1") && lines.contains("    17:05:00 WORKER_READY") && lines.contains("  last exit  exit 3"))
        #expect(lines.allSatisfy { $0.count <= 100 })
        page.clearDetail()
        page.problem = APIProblem(slug: "no-answer", what: "UNKNOWN  st-1 has not answered within 5 s")
        let silent = DetailScreen.lines("strat-arb", status, pages: [page], zone: .utc, style: ScreenStyle()) ?? []
        #expect(silent.contains("  NOT SEEN   UNKNOWN  st-1 has not answered within 5 s"))
    }

    @Test("a certificate says what was released, what was left and what is unknown, and counts the markers")
    func released() {
        var certificate = APICertificate()
        certificate.verdict = "unproven"
        certificate.because = ["x"]
        func check(_ what: String, _ state: WireCheck.State, _ text: String = "") -> WireCheck {
            var check = WireCheck()
            check.what = what
            check.state = state
            check.text = text
            return check
        }
        for (name, checks) in [
            ("a@h", [check("tree", .clear), check("sockets", .clear), check("marker", .clear), check("hugepages", .unchecked)]),
            ("b@h", [check("tree", .clear), check("sockets", .checkUnknown, "the kernel can't list kernel-bypass sockets"), check("marker", .unchecked)]),
            ("c@h", [check("tree", .clear), check("sockets", .clear), check("locks", .left, "/run/c.lock is still there"), check("marker", .left)]),
        ] {
            var proof = APIWorkerProof()
            proof.worker = name
            proof.treeEmpty = true
            proof.checks = checks
            certificate.workers.append(proof)
        }
        let lines = CertificateScreen.lines(certificate, zone: .utc, style: ScreenStyle())
        let whole = lines.map { String($0.drop { $0 == " " }) }.joined(separator: " ")
        #expect(lines.contains { $0.hasPrefix("RELEASED   3 process trees of 3 shown empty") }, "\(whole)")
        #expect(whole.contains("0 sockets of ours left by 2 of 3") && whole.contains("sockets UNKNOWN of 1"), "\(whole)")
        #expect(lines.contains("           c@h locks LEFT BEHIND: /run/c.lock is still there"))
        #expect(lines.contains("           b@h sockets UNKNOWN: the kernel can't list kernel-bypass sockets"))
        #expect(lines.contains("MARKERS    1 of 2 shutdown markers found"), "\(whole)")
        #expect(lines.allSatisfy { $0.count <= 100 })
    }

    @Test("a relay's word confirms no host that a coordinator has not seen done, and alone it is all there is")
    func relaysWord() {
        func answer(_ gone: Bool, silent: [String]) -> APIEmergencyAnswer {
            var answer = APIEmergencyAnswer()
            answer.covered = 1
            answer.silentHosts = silent
            guard silent.isEmpty else { return answer }
            var worker = WireEmergencyResult.Gone()
            worker.service = "strat-arb"
            worker.gone = gone
            worker.pid = 7
            var host = WireEmergencyResult()
            host.host = "st-1"
            host.final = true
            host.workers = [worker]
            answer.hosts = [host]
            return answer
        }
        var relay = EmergencyCall.Path(name: "ctl-2", answer: .success(answer(true, silent: [])))
        relay.isRelay = true
        for word in [answer(true, silent: ["st-1"]), answer(false, silent: [])] {
            var outcome = EmergencyCall.Outcome(paths: [relay, EmergencyCall.Path(name: "ctl-1", answer: .success(word))])
            EmergencyCall.merge(&outcome)
            #expect(!outcome.allGone, "\(outcome)")
        }
        var alone = EmergencyCall.Outcome(paths: [relay])
        EmergencyCall.merge(&alone)
        #expect(alone.allGone && alone.confirmed == ["st-1"])
        // Of two coordinators one knows of an instance that is not heard.
        var divided = answer(true, silent: [])
        divided.hosts[0].final = false
        divided.silentHosts = ["st-1"]
        for words in [[divided, answer(true, silent: [])], [answer(true, silent: []), divided]] {
            var outcome = EmergencyCall.Outcome(paths: words.enumerated().map { EmergencyCall.Path(name: "ctl-\($0)", answer: .success($1)) })
            EmergencyCall.merge(&outcome)
            #expect(!outcome.isComplete && outcome.partly == ["st-1"] && outcome.confirmed.isEmpty, "\(outcome)")
        }
        var unkept = answer(true, silent: [])
        unkept.hosts[0].notKept = "no room"
        var kills = EmergencyCall.Outcome(paths: [EmergencyCall.Path(name: "ctl-1", answer: .success(unkept))])
        EmergencyCall.merge(&kills)
        #expect(!kills.allGone && kills.notKept == ["st-1: no room"])
    }

    @Test("after an emergency stop a silent host's workers have names")
    func emergencyNames() {
        var status = status()
        status.hosts[0].known = false
        status.hosts[0].report.workers[0].emergencyKilled = true
        let outcome = EmergencyCall.Outcome(paths: [], unconfirmed: ["st-1"])
        let lines = EmergencyScreen.lines(outcome, latch: "es-1", scope: WireScope(), status: status, style: ScreenStyle())
        #expect(lines.contains { $0.contains("UNKNOWN 1: strat-arb@st-1 (host not answering)") }, "\(lines)")
        #expect(lines.contains { $0.hasPrefix("? st-1") && $0.contains("strat-arb may be running") })
    }
}
