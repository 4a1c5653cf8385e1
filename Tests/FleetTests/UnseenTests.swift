import Foundation
import Glibc
import TestSupport
import Testing

/// What a run didn't see makes no proof, and what it can add up it doesn't accuse (REVIEW C2, N1, N2, N4, N5, N8).
struct UnseenTests {
    private func demo() throws -> TestFleet {
        try TestFleet().begun { fleet in
            try fleet.begin()
            #expect(try fleet.trading("start", "--all", "--reason", "open").status == 0, "\(fleet.logs)")
            #expect(try eventually(within: 20) { try (fleet.streamFigure("ticks", "produced") ?? 0) > 300 }, "\(fleet.logs)")
        }
    }

    @Test("restarts by order and by policy are a part of the sum: the stop after them is proven")
    func restartsAddUp() throws {
        let fleet = try demo()
        defer { fleet.end() }
        let restart = try fleet.trading("restart", "strategy", "--reason", "new parameters")
        #expect(restart.text.contains("open: order-gateway@ex-1 is not shown stopped"), "\(restart.text)")
        #expect(try eventually(within: 20) { try fleet.state("strategy") == "RUNNING" })
        // A feed that dies and is started again by its policy: its word does not cover the time, the buffer's own count does.
        let feed = try fleet.pid("exchange-to-redis")
        kill(feed, SIGKILL)
        #expect(try eventually(within: 20) { try fleet.state("exchange-to-redis") == "RUNNING" && fleet.pid("exchange-to-redis") != feed }, "\(fleet.logs)")
        // Nor does a coordinator that knows of neither but from its journal and the agents.
        fleet.coordinator?.signal(SIGKILL)
        try fleet.startCoordinator()
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 4 })
        let stop = try fleet.trading("stop", "--all", "--reason", "end of day")
        #expect(stop.status == 0 && stop.text.contains("verdict: proven"), "\(stop.text)\n\(fleet.logs)")
        #expect(flat(stop.text).contains("produced as the buffer counted it: exchange-to-redis@md-1's launch 1 ended with signal 9"), "\(stop.text)")
        try fleet.verifyAudits()
    }

    @Test("a stream that ended in an earlier run and was trimmed since contradicts the later one, and status says it too")
    func trimmedBetweenStops() throws {
        let fleet = try demo()
        defer { fleet.end() }
        // The recorder stops first in its tier; what it has not read stays in the stream.
        let first = try fleet.trading("stop", "exchange-to-redis", "redis-to-questdb", "--reason", "feeds first")
        #expect(first.text.contains("ticks -> strategy"), "\(first.text)")
        #expect(first.text.contains("open: strategy@st-1 is not shown stopped"), "\(first.text)")
        let unread = try fleet.unread(group: "recorder")
        #expect(unread > 0)
        _ = try fleet.run("/usr/bin/redis-cli", ["-p", "\(fleet.ports.redis)", "XTRIM", "ticks", "MAXLEN", "0"])
        #expect(try eventually(within: 10) { flat(try fleet.trading("status").text).contains("SHORT") })
        let second = try fleet.trading("stop", "--all", "--reason", "the rest")
        #expect(second.status == 5 && second.text.contains("verdict: contradicted"), "\(second.text)")
        #expect(flat(second.text).contains("ticks -> redis-to-questdb: \(unread) short: Redis trimmed entries the group had not read"), "\(second.text)")
    }

    @Test("a second stop of what is stopped looks again, names the run that settled each stream, and lists all that it covers")
    func stoppedTwice() throws {
        let fleet = try demo()
        defer { fleet.end() }
        #expect(try fleet.trading("stop", "--all", "--reason", "one").status == 0)
        let again = try fleet.trading("stop", "--all", "--reason", "two")
        #expect(again.status == 0 && again.text.contains("verdict: proven"), "\(again.text)")
        #expect(flat(again.text).contains("settled by run 2, unchanged since"), "\(again.text)")
        let path = "\(fleet.directory)/state/ctl-1/certificates/stop-3.json"
        let full = try fleet.trading("certificate", "show", "--full", path)
        for line in ["worker measured", "strategy@st-1: stopped before; its process tree is empty", "stream", "ticks -> strategy"] {
            #expect(flat(full.text).contains(line), "\(line) in \(full.text)")
        }
        let first = try fleet.trading("certificate", "show", "--full", "\(fleet.directory)/state/ctl-1/certificates/stop-2.json")
        for line in ["gate reported", "quiesce reported", "order-gateway@ex-1 sockets", "tree measured", "exit measured"] {
            #expect(flat(first.text).contains(line), "\(line) in \(first.text)")
        }
    }

    @Test("what runs and is no longer declared is stopped with everything, and by its name")
    func undeclared() throws {
        let services = { (gone: Bool) in
            ["one", "two", "three"].filter { !gone || $0 != "two" }.map {
                "  \($0): {tier: t, hosts: [md-1], run: [/usr/bin/sleep, 1000], ready: {delay: 0s}}"
            }.joined(separator: "\n")
        }
        for all in [true, false] {
            let fleet = try TestFleet(hosts: ["md-1"], tiers: ["t"]) { _ in services(false) }
            fleet.flags = ["--allow-dir", "/usr/bin"]
            defer { fleet.end() }
            try fleet.beginWithoutRelay()
            #expect(try fleet.trading("start", "--all", "--reason", "test").status == 0, "\(fleet.logs)")
            let pid = try fleet.pid("two")
            let declared = try String(contentsOfFile: fleet.inventory, encoding: .utf8)
            try declared.replacingOccurrences(of: services(false), with: services(true)).write(toFile: fleet.inventory, atomically: true, encoding: .utf8)
            fleet.coordinator?.signal(SIGTERM)
            #expect(eventually(within: 10) { fleet.coordinator?.process.isRunning == false })
            try fleet.startCoordinator()
            #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 && fleet.worker("two")?["note"] as? String != "" }, "\(fleet.logs)")
            let says = flat(try fleet.trading("status").text)
            #expect(says.contains("! two@md-1 runs, and the inventory doesn't have it there"), "\(says)")
            for name in ["two", "two@md-1"] { #expect(try fleet.trading("logs", name).status == 0) }
            #expect(try fleet.trading("logs", "two@md-9").status == 2)
            if !all {
                // By its name it can be killed as well: with a name that nobody knows nothing is sent.
                #expect(try fleet.trading("emergency-stop", "--service", "twoo", "--yes", "--reason", "no").text.contains("NOTHING WAS SENT"))
                let restart = try fleet.trading("restart", "two@md-1", "--reason", "no")
                #expect(restart.status != 0 && restart.text.contains("no longer in the inventory"), "\(restart.text)")
                let named = try fleet.trading("stop", "two", "--reason", "by name")
                #expect(named.status == 0 && named.text.contains("verdict: proven"), "\(named.text)")
                #expect(kill(pid, 0) != 0)
            }
            let stop = try fleet.trading("stop", "--all", "--reason", "end of day")
            #expect(stop.status == 0 && stop.text.contains("verdict: proven"), "\(stop.text)")
            if all { #expect(flat(stop.text).contains("two@md-1 is no longer in the inventory and stops last"), "\(stop.text)") }
            #expect(kill(pid, 0) != 0 && errno == ESRCH, "\(stop.text)")
        }
    }

    @Test("an agent whose host the inventory doesn't have makes a stop of everything unproven, by its name")
    func outsider() throws {
        let fleet = try TestFleet(hosts: ["md-1"], tiers: ["t"]) { _ in "  one: {tier: t, hosts: [md-1], run: [/usr/bin/sleep, 1000], ready: {delay: 0s}}" }
        fleet.flags = ["--allow-dir", "/usr/bin"]
        defer { fleet.end() }
        try fleet.beginWithoutRelay()
        try fleet.issue("agent", "st-9")
        try fleet.startAgent("st-9")
        #expect(try fleet.trading("start", "--all", "--reason", "test").status == 0)
        #expect(eventually(within: 10) { fleet.coordinator?.log.contains("st-9") == true })
        let settled = try fleet.trading("hosts", "settle", "st-9", "--reason", "it is said to be off")
        #expect(settled.status != 0 && settled.text.contains("the agent of st-9 has dialled in"), "\(settled.text)")
        let emergency = try fleet.trading("emergency-stop", "--everything", "--yes", "--reason", "test")
        #expect(emergency.status != 0 && emergency.text.contains("st-9"), "\(emergency.text)")
        #expect(try fleet.trading("emergency-stop", "release", "--reason", "test").status == 0)
        #expect(try fleet.trading("start", "--all", "--reason", "test").status == 0)
        let stop = try fleet.trading("stop", "--all", "--reason", "end of day")
        #expect(stop.status == 3 && flat(stop.text).contains("because st-9 is not in the inventory and its agent has dialled in"), "\(stop.text)")
        let status = try fleet.trading("status")
        #expect(flat(status.text).contains("st-9 is not in the inventory and its agent has dialled in"), "\(status.text)")
        // It is remembered until a person says that nothing runs there; and said again when it dials again.
        try fleet.killAgent("st-9")
        #expect(try fleet.trading("start", "--all", "--reason", "again").status == 0)
        #expect(try fleet.trading("stop", "--all", "--reason", "again").status == 3)
        // Not while its agent may be about to dial in again.
        #expect(try eventually(within: 20) { try fleet.trading("hosts", "settle", "st-9", "--reason", "it is off").status == 0 })
        #expect(try fleet.trading("start", "--all", "--reason", "again").status == 0)
        let proven = try fleet.trading("stop", "--all", "--reason", "again")
        #expect(proven.status == 0 && proven.text.contains("verdict: proven"), "\(proven.text)")
    }

    @Test(
        "a worker that ran when its host was last heard counts as running after a move and a restart: no second copy, nothing proven, nothing called gone",
        arguments: [false, true])
    func movedWhileSilent(hostToo: Bool) throws {
        let place = { (host: String) in "  one: {tier: t, hosts: [\(host)], run: [/usr/bin/sleep, 1000], ready: {delay: 0s}}" }
        let fleet = try TestFleet(hosts: ["md-1", "st-1"], tiers: ["t"]) { _ in place("st-1") }.started(allowing: "/usr/bin")
        defer { fleet.end() }
        let pid = try fleet.pid("one")
        try fleet.killAgent("st-1")
        var text = try String(contentsOfFile: fleet.inventory, encoding: .utf8).replacingOccurrences(of: place("st-1"), with: place("md-1"))
        if hostToo { text = text.split(separator: "\n").filter { !$0.hasPrefix("  st-1:") }.joined(separator: "\n") }
        try text.write(toFile: fleet.inventory, atomically: true, encoding: .utf8)
        fleet.coordinator?.end()
        try fleet.startCoordinator()
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 && fleet.worker("one") != nil }, "\(fleet.logs)")
        let says = "one@st-1 ran, or was about to, when st-1 was last heard, and the inventory no longer has it there"
        let status = try fleet.trading("status")
        #expect(flat(status.text).contains(says) && status.status == (hostToo ? 3 : 4), "\(status.status) \(status.text)")
        let start = try fleet.trading("start", "--all", "--reason", "moved")
        #expect(start.status != 0 && start.text.contains("[moved]"), "\(start.text)")
        #expect(start.text.contains("may still run on st-1, where the inventory no longer has it"), "\(start.text)")
        #expect(try fleet.state("one") == "STOPPED" && kill(pid, 0) == 0)
        let stop = try fleet.trading("stop", "one", "--reason", "by name")
        #expect(stop.status == 3 && flat(stop.text).contains("because \(says)"), "\(stop.text)")
        for scope in [["--everything"], ["--everything", "--tier", "t"], ["--service", "one"]] {
            let emergency = try Program.run(
                TestFleet.bin + "/trading", ["--config", fleet.config, "emergency-stop"] + scope + ["--yes", "--reason", "test"])
            #expect(emergency.status != 0 && emergency.text.contains("st-1"), "\(scope): \(emergency.text)")
        }
        #expect(flat(try fleet.trading("stop", "--tier", "t", "--reason", "x", "--dry-run").text).contains(says))
        #expect(try fleet.trading("emergency-stop", "release", "--reason", "test").status == 0)
        guard !hostToo else {
            // Nobody can ask it: a person who has looked says so, once.
            #expect(kill(pid, SIGKILL) == 0)
            let settled = try fleet.trading("hosts", "settle", "st-1", "--reason", "looked: nothing runs")
            #expect(settled.status == 0 && settled.text.contains("one ran on st-1"), "\(settled.text)")
            #expect(try fleet.trading("hosts", "settle", "st-1", "--reason", "again").status != 0)
            fleet.coordinator?.end()
            try fleet.startCoordinator()
            #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 && fleet.worker("one") != nil }, "\(fleet.logs)")
            #expect(try fleet.trading("start", "--all", "--reason", "settled").status == 0)
            // Its agent dials in after all: what was attested gone counts again.
            #expect(try fleet.trading("stop", "--all", "--reason", "settled").status == 0)
            try fleet.startAgent("st-1")
            #expect(
                try eventually(within: 20) {
                    let start = try fleet.trading("start", "--all", "--reason", "x", "--dry-run")
                    return start.status != 0 && start.text.contains("[moved]")
                }, "\(fleet.logs)")
            return
        }
        // Its host is back: it runs there, and is stopped there before its service is started elsewhere.
        try fleet.startAgent("st-1")
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 2 }, "\(fleet.logs)")
        let heard = try fleet.trading("start", "--all", "--reason", "moved")
        #expect(heard.status != 0 && heard.text.contains("one runs on st-1, where the inventory no longer has it"), "\(heard.text)")
        #expect(try fleet.trading("hosts", "settle", "st-1", "--reason", "it says itself").status != 0)
        #expect(try fleet.trading("stop", "one@st-1", "--reason", "moved").status == 0 && kill(pid, 0) != 0)
        #expect(try fleet.trading("start", "--all", "--reason", "moved").status == 0)
        let proven = try fleet.trading("stop", "--all", "--reason", "end of day")
        #expect(proven.status == 0 && proven.text.contains("verdict: proven"), "\(proven.text)")
    }

    @Test("a state file that takes for ever to read is given up within its bound, by name and size, and keeps no other worker from being looked at")
    func endlessStateFile() throws {
        let fleet = try TestFleet(hosts: ["md-1"], tiers: ["t"]) { _ in
            """
              one: {tier: t, hosts: [md-1], run: [/usr/bin/sleep, 1000], state_files: [$state/book.db, $state/small], ready: {delay: 0s}}
              two: {tier: t, hosts: [md-1], run: [/usr/bin/sleep, 1000], ready: {delay: 0s}}
            """
        }.started(allowing: "/usr/bin")
        defer { fleet.end() }
        let file = "\(fleet.directory)/state/md-1/workers/one/book.db"
        #expect(FileManager.default.createFile(atPath: file, contents: nil) && truncate(file, 1 << 42) == 0)
        #expect(FileManager.default.createFile(atPath: file.replacingOccurrences(of: "book.db", with: "small"), contents: Data("s".utf8)))
        let stop = try fleet.trading("stop", "--all", "--reason", "test")
        #expect(!flat(stop.text).contains("small of one@md-1 is unreadable"), "\(stop.text)")
        let why = "state file \(file) of one@md-1 is unreadable: cannot read \(file)"
        #expect(stop.status == 3 && flat(stop.text).contains(why) && flat(stop.text).contains("it has 4398046511104 bytes"), "\(stop.text)")
        #expect(try fleet.state("one") == "STOPPED" && fleet.state("two") == "STOPPED")
        // A second stop makes nothing good.
        #expect(truncate(file, 1 << 10) == 0 && chmod(file, 0) == 0 && rename(file, file + ".away") == 0)
        let again = try fleet.trading("stop", "--all", "--reason", "again")
        #expect(again.status == 3 && flat(again.text).contains("state file \(file) of one@md-1 is unreadable"), "\(again.text)")
        #expect(try fleet.trading("start", "two", "--reason", "it goes on").status == 0)
        let two = try fleet.trading("stop", "two", "--reason", "it goes on")
        #expect(two.status == 0 && two.text.contains("verdict: proven"), "\(two.text)")
    }

    @Test("a host that was last heard with its workers stopped is believed after a move, however often they were started and stopped before")
    func movedAfterStops() throws {
        let place = { (host: String) in "  one: {tier: t, hosts: [\(host)], run: [/usr/bin/sleep, 1000], ready: {delay: 0s}}" }
        let fleet = try TestFleet(hosts: ["md-1", "st-1"], tiers: ["t"]) { _ in place("st-1") }.started(allowing: "/usr/bin")
        defer { fleet.end() }
        for _ in 0..<6 {
            #expect(try fleet.trading("stop", "one", "--reason", "x").status == 0)
            #expect(try fleet.trading("start", "one", "--reason", "x").status == 0)
        }
        #expect(try fleet.trading("stop", "one", "--reason", "moves").text.contains("verdict: proven"))
        #expect(try eventually(within: 10) { try fleet.state("one") == "STOPPED" })
        fleet.agents["st-1"]?.signal(SIGTERM)
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 }, "\(fleet.logs)")
        try String(contentsOfFile: fleet.inventory, encoding: .utf8).replacingOccurrences(of: place("st-1"), with: place("md-1"))
            .write(toFile: fleet.inventory, atomically: true, encoding: .utf8)
        fleet.coordinator?.end()
        try fleet.startCoordinator()
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 && fleet.worker("one") != nil }, "\(fleet.logs)")
        let start = try fleet.trading("start", "one", "--reason", "moved")
        #expect(start.status == 0, "\(start.text)")
    }

    @Test("more running undeclared workers of a host than are kept make a stop of it or of everything unproven, by their number, until none is left")
    func manyUndeclared() throws {
        let fleet = try TestFleet(hosts: ["md-1"], tiers: ["t"]) { _ in
            (0..<66).map { "  w\($0): {tier: t, hosts: [md-1], run: [/usr/bin/sleep, 1000], ready: {delay: 0s}}" }.joined(separator: "\n")
        }
        .started(allowing: "/usr/bin")
        defer { fleet.end() }
        let text = try String(contentsOfFile: fleet.inventory, encoding: .utf8)
        try text.split(separator: "\n").filter { $0.prefixMatch(of: /\ \ w[1-9]/) == nil }.joined(separator: "\n")
            .write(toFile: fleet.inventory, atomically: true, encoding: .utf8)
        fleet.coordinator?.end()
        try fleet.startCoordinator()
        let says = "md-1 runs 1 undeclared worker more than are kept"
        #expect(try eventually(within: 20) { flat(try fleet.trading("status").text).contains(says) }, "\(fleet.logs)")
        let stop = try fleet.trading("stop", "--host", "md-1", "--reason", "end of day")
        #expect(stop.status == 3 && flat(stop.text).contains(says), "\(stop.text)")
        // What is stopped makes room for what is not.
        #expect(try eventually(within: 10) { !flat(try fleet.trading("status").text).contains("more than are kept") })
        let rest = try fleet.trading("stop", "--all", "--reason", "the rest")
        #expect(rest.status == 0 && rest.text.contains("verdict: proven"), "\(rest.text)")
    }

    @Test("a worker that died before it was ready does not keep a stop from being proven")
    func neverReady() throws {
        let fleet = try TestFleet()
        defer { fleet.end() }
        // Its first launch dies as it begins: no READY, no count.
        let marker = fleet.directory + "/second"
        let script = "\(fleet.directory)/flaky"
        try "#!/bin/sh\nif [ ! -e \(marker) ]; then touch \(marker); exit 1; fi\nexec \(TestFleet.bin)/trading-demo \"$@\"\n"
            .write(toFile: script, atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: script)
        let inventory = try String(contentsOfFile: fleet.inventory, encoding: .utf8)
        let lines = inventory.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            line.contains("run:") && line.contains("strategy") ? line.replacingOccurrences(of: "trading-demo", with: script) : String(line)
        }
        try lines.joined(separator: "\n").write(toFile: fleet.inventory, atomically: true, encoding: .utf8)
        fleet.flags = ["--allow-dir", fleet.directory]
        try fleet.begin()
        #expect(try fleet.trading("start", "--all", "--reason", "open").status != 0)
        #expect(try fleet.trading("start", "--all", "--reason", "again").status == 0, "\(fleet.logs)")
        #expect(try eventually(within: 20) { try (fleet.streamFigure("orders", "produced") ?? 0) > 3 }, "\(fleet.logs)")
        let stop = try fleet.trading("stop", "--all", "--reason", "end of day")
        #expect(stop.status == 0 && stop.text.contains("verdict: proven"), "\(stop.text)\n\(fleet.logs)")
    }

    @Test("the stop signal's own result is clean, and so is what is declared", arguments: ["143", "TERM", "declared", "other"])
    func cleanExits(_ how: String) throws {
        let handler = ["143": "trap 'exit 143' TERM", "TERM": "true", "declared": "trap 'exit 7' TERM", "other": "trap 'exit 7' TERM"][how] ?? ""
        let stop = how == "declared" ? ", stop: {clean_exit: [0, 7]}" : ""
        let fleet = try TestFleet(hosts: ["ex-1"], tiers: ["t"]) { _ in
            "  gateway: {tier: t, hosts: [ex-1], run: [/bin/sh, -c, \"\(handler); while :; do sleep 0.05; done\"], ready: {delay: 100ms}\(stop)}"
        }
        fleet.flags = ["--allow-dir", "/bin", "--allow-dir", "/usr/bin"]
        defer { fleet.end() }
        try fleet.beginWithoutRelay()
        #expect(try fleet.trading("start", "--all", "--reason", "test").status == 0, "\(fleet.logs)")
        let stopped = try fleet.trading("stop", "--all", "--reason", "end of day")
        if how == "other" {
            #expect(stopped.status == 3 && stopped.text.contains("gateway@ex-1 ended with exit 7"), "\(stopped.text)")
        } else {
            #expect(stopped.status == 0 && stopped.text.contains("verdict: proven"), "\(stopped.text)")
        }
    }
}
