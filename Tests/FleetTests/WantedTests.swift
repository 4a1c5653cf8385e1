import Foundation
import Glibc
import TestSupport
import Testing

/// What is, beside what was ordered; and what a screen must not leave out (REVIEW P12, C9, N3, N6, N10, N11, N12).
struct WantedTests {
    private func fleet(_ script: String, _ more: String = ", ready: {delay: 0s}", top: String = "") throws -> TestFleet {
        let fleet = try TestFleet(hosts: ["md-1"], tiers: ["t"], more: top) { directory in
            "  one: {tier: t, hosts: [md-1], run: [/bin/sh, -c, \"\(script.replacingOccurrences(of: "DIR", with: directory))\"]\(more)}"
        }
        fleet.flags = ["--allow-dir", "/bin", "--allow-dir", "/usr/bin"]
        return try fleet.begun { try $0.beginWithoutRelay() }
    }

    @Test("what an order's answer said is known to the order and the status right after it")
    func orderAfterOrder() throws {
        let fleet = try fleet("exec sleep 1000", ", ready: {delay: 1ms}")
        defer { fleet.end() }
        // Reports come every 50 ms: each order and each look follows within that.
        for round in 1...6 {
            #expect(try fleet.trading("start", "--all", "--reason", "open").status == 0, "\(fleet.logs)")
            if round.isMultiple(of: 2) { #expect(try fleet.state("one") == "RUNNING", "round \(round)") }
            let stop = try fleet.trading("stop", "--all", "--reason", "close")
            #expect(stop.status == 0, "round \(round): \(stop.text)")
            #expect(try fleet.state("one") == "STOPPED", "round \(round): \(stop.text)")
        }
    }

    @Test("a worker that is not ready in time needs a person")
    func notReady() throws {
        let fleet = try fleet("exec sleep 1000", ", ready: {notify: 1s}")
        defer { fleet.end() }
        #expect(try fleet.trading("start", "--all", "--reason", "open").status == 1)
        let status = try fleet.trading("status")
        #expect(status.status == 3 && flat(status.text).contains("! one@md-1: NOT READY in time"), "\(status.text)")
    }

    @Test("a worker that ended by itself with exit 0 is not as wanted, also after its agent's restart; one that was stopped is, by whom and since when")
    func endedByItself() throws {
        let fleet = try fleet("trap 'exit 0' USR1; while :; do sleep 0.05; done")
        defer { fleet.end() }
        #expect(try fleet.trading("start", "--all", "--reason", "open").status == 0, "\(fleet.logs)")
        #expect(try fleet.trading("status").status == 0)
        kill(try fleet.pid("one"), SIGUSR1)
        for restart in [false, true] {
            if restart {
                try fleet.killAgent("md-1")
                try fleet.startAgent("md-1")
            }
            #expect(
                try eventually(within: 20) { flat(try fleet.trading("status").text).contains(/one@md-1 ended by itself .* ago \(exit 0\)/) }, "\(fleet.logs)")
            let status = try fleet.trading("status")
            #expect(status.status == 3 && flat(status.text).contains("ENDED BY ITSELF"), "\(status.text)")
        }
        // Unproven, for its sockets were never listed; and from here on down is what is wanted.
        let stop = try fleet.trading("stop", "--all", "--reason", "close")
        #expect(stop.status == 3 && flat(stop.text).contains("it ended before its sockets could be listed"), "\(stop.text)")
        let stopped = try fleet.trading("status")
        #expect(stopped.status == 0, "\(stopped.text)")
        #expect(stopped.text.contains("ago by alice: \"close\""), "\(stopped.text)")
        // What a person only should know of waits for nobody.
        #expect(try fleet.trading("note", "one", "--reason", "new disk on Monday").status == 0)
        #expect(try eventually(within: 10) { try fleet.trading("status").text.contains("new disk on Monday") })
        #expect(try fleet.trading("status").status == 0)
    }

    @Test("without a word on readiness a worker is ready once it has lived for a second, and is said to be alive, no more")
    func undeclaredReadiness() throws {
        for (script, dies) in [("exit 1", true), ("exec sleep 1000", false)] {
            let fleet = try TestFleet(hosts: ["md-1"], tiers: ["t"]) { _ in "  one: {tier: t, hosts: [md-1], run: [/bin/sh, -c, \"\(script)\"]}" }
            fleet.flags = ["--allow-dir", "/bin", "--allow-dir", "/usr/bin"]
            defer { fleet.end() }
            let text = try String(contentsOfFile: fleet.inventory, encoding: .utf8).replacingOccurrences(of: "  ready: {notify: 10s}\n", with: "")
            try text.write(toFile: fleet.inventory, atomically: true, encoding: .utf8)
            try fleet.beginWithoutRelay()
            let start = try fleet.trading("start", "--all", "--reason", "open")
            #expect((start.status == 0) == !dies, "\(start.text)")
            #expect(start.text.contains(dies ? "ended by itself: exit 1" : "launched, alive after 1.0 s"), "\(start.text)")
        }
    }

    @Test("the last words of a launch before are not those of the next")
    func lastWords() throws {
        let fleet = try fleet(
            "if [ ! -e DIR/m ]; then touch DIR/m; systemd-notify --ready --status=oldwords; sleep 0.3; exit 0; fi; systemd-notify --ready; exec sleep 1000",
            ", ready: {notify: 10s}")
        defer { fleet.end() }
        _ = try fleet.trading("start", "--all", "--reason", "open")
        #expect(try eventually(within: 10) { try fleet.state("one") == "STOPPED" }, "\(fleet.logs)")
        #expect(try fleet.trading("start", "--all", "--reason", "again").status == 0, "\(fleet.logs)")
        #expect(try eventually(within: 10) { try fleet.state("one") == "RUNNING" })
        let status = try fleet.trading("status")
        #expect(!status.text.contains("oldwords"), "\(status.text)")
        let stop = try fleet.trading("stop", "--all", "--reason", "close")
        #expect(!stop.text.contains("oldwords"), "\(stop.text)")
    }

    @Test("a quiesce by signal is refused where no handler waits for it, and harms nobody")
    func noHandler() throws {
        let fleet = try fleet("exec sleep 1000", ", ready: {delay: 0s}, quiesce: {signal: USR1, within: 2s}")
        defer { fleet.end() }
        #expect(try fleet.trading("start", "--all", "--reason", "open").status == 0, "\(fleet.logs)")
        let pid = try fleet.pid("one")
        let quiesce = try fleet.background("quiesce", "--all", "--reason", "x")
        #expect(eventually(within: 10) { quiesce.log.contains("it has no handler for SIGUSR1") }, "\(quiesce.log)")
        quiesce.signal(SIGINT)
        quiesce.process.waitUntilExit()
        #expect(kill(pid, 0) == 0)
        let check = try Program.run("\(TestFleet.bin)/trading", ["inventory", "check", fleet.inventory])
        #expect(check.status == 0 && flat(check.text).contains("one: quiesce sends SIGUSR1 and nothing says that it took effect"), "\(check.text)")
    }

    @Test("the log of a worker whose file was removed is no empty log")
    func removedLog() throws {
        let fleet = try fleet("while :; do echo line; sleep 0.1; done")
        defer { fleet.end() }
        #expect(try fleet.trading("start", "--all", "--reason", "open").status == 0, "\(fleet.logs)")
        #expect(try eventually(within: 10) { try fleet.trading("logs", "one").text.contains("line") })
        let follower = try fleet.background("logs", "one", "-f")
        defer { follower.end() }
        #expect(eventually(within: 10) { follower.log.contains("line") })
        try FileManager.default.removeItem(atPath: "\(fleet.directory)/state/md-1/logs/one.out")
        #expect(try eventually(within: 30) { try fleet.trading("logs", "one").text.contains("LOG REMOVED: what one writes is in no log until its next start") })
        // Who follows it hears of it too.
        #expect(eventually(within: 10) { follower.log.contains("LOG REMOVED") }, "\(follower.log.suffix(500))")
    }

    @Test("a quiesce that nobody declares is refused; one that some declare names the others")
    func nothingToQuiesce() throws {
        let fleet = try TestFleet(hosts: ["md-1"], tiers: ["t"]) { _ in
            """
              one: {tier: t, hosts: [md-1], run: [/usr/bin/sleep, 1000], ready: {delay: 0s}}
              two: {tier: t, hosts: [md-1], run: [/bin/sh, -c, "trap : USR1; while :; do sleep 0.05; done"], ready: {delay: 0s}, quiesce: {signal: USR1, within: 2s}}
            """
        }
        .started(allowing: "/usr/bin", "/bin")
        defer { fleet.end() }
        let nothing = try fleet.trading("quiesce", "one", "--reason", "x")
        #expect(nothing.status == 3 && flat(nothing.text).contains("REFUSED quiesce: nothing of what was named can be quiesced"), "\(nothing.text)")
        let some = try fleet.trading("quiesce", "--all", "--reason", "x")
        #expect(some.status == 0, "\(some.text)")
        let plan = try fleet.trading("quiesce", "--all", "--reason", "x", "--dry-run")
        #expect(flat(plan.text).contains("one@md-1 is not quiesced and runs on"), "\(plan.text)")
    }

    @Test("an emergency stop that spares what runs says so before and after; one that covers nothing is no success")
    func spared() throws {
        let fleet = try fleet("exec sleep 1000", top: "emergency_stop: {kills: []}")
        defer { fleet.end() }
        #expect(try fleet.trading("start", "--all", "--reason", "open").status == 0, "\(fleet.logs)")
        let pid = try fleet.pid("one")
        let check = try Program.run("\(TestFleet.bin)/trading", ["inventory", "check", fleet.inventory])
        #expect(check.status == 0 && flat(check.text).contains("emergency_stop.kills is empty"), "\(check.text)")
        let nothing = try fleet.trading("emergency-stop", "--yes", "--reason", "x")
        #expect(nothing.status != 0 && flat(nothing.text).contains("SPARED, and running on: t: one@md-1. With these: --everything"), "\(nothing.text)")
        #expect(kill(pid, 0) == 0)
        #expect(try fleet.trading("emergency-stop", "--everything", "--yes", "--reason", "x").status == 0)
        #expect(eventually(within: 5) { kill(pid, 0) != 0 })
    }
}
