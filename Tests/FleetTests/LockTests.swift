import Foundation
import Glibc
import TestSupport
import Testing

/// Locks, notes, detail pages and logs, through command line, coordinator and agents.
@Suite(.serialized) struct LockTests {
    @Test("a locked worker is left alone by --all, refused by name and by a stop in its way, and outlives its agent; an emergency stop goes through")
    func locks() throws {
        let fleet = try TestFleet()
        defer { fleet.end() }
        try fleet.begin()
        let locked = try fleet.trading("lock", "strategy", "--reason", "bad param file")
        #expect(locked.status == 0 && locked.text.contains("strategy@st-1 locked"), "\(locked.text)\n\(fleet.logs)")
        #expect(try eventually(within: 10) { try fleet.worker("strategy")?["lock"] != nil }, "\(fleet.logs)")

        // A stopped one: everything else starts, and the plan says who was left alone.
        let start = try fleet.trading("start", "--all", "--reason", "test")
        #expect(start.status == 0 && start.text.contains("left alone: strategy@st-1 (stopped, locked by alice"), "\(start.text)\n\(fleet.logs)")
        #expect(try fleet.state("strategy") == "STOPPED" && fleet.state("order-gateway") == "RUNNING")
        let named = try fleet.trading("start", "strategy", "--reason", "too early")
        #expect(named.status == 3 && named.text.contains("REFUSED  strategy@st-1 is locked"), "\(named.text)")
        #expect(named.text.contains("\"bad param file\". Nothing was started.") && named.text.contains("trading unlock strategy@st-1"), "\(named.text)")
        let status = try fleet.trading("status").text
        #expect(status.contains("LOCKED") && status.contains("strategy@st-1 locked by alice"), "\(status)")

        // It is the agent's to keep: on the host itself, and after the agent's end.
        let onHost = try fleet.local("st-1", "start", "strategy", "--reason", "too early")
        #expect(onHost.status != 0 && onHost.text.contains("locked"), "\(onHost.text)")
        fleet.agents["st-1"]?.killNow()
        try fleet.startAgent("st-1")
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 4 && fleet.worker("strategy")?["lock"] != nil }, "\(fleet.logs)")
        let unlocked = try fleet.trading("unlock", "strategy", "--reason", "file corrected")
        #expect(unlocked.status == 0, "\(unlocked.text)")
        let nothing = try fleet.trading("unlock", "strategy", "--reason", "again")
        #expect(nothing.status == 0 && nothing.text.contains("was not locked: nothing was changed"), "\(nothing.text)")
        #expect(try eventually(within: 10) { try fleet.worker("strategy")?["lock"] == nil })
        #expect(try fleet.trading("start", "strategy", "--reason", "test").status == 0)

        // A running one, locked on its own host: a stop would have to stop it.
        let local = try fleet.local("ex-1", "lock", "order-gateway", "--reason", "watching a fill")
        #expect(local.status == 0, "\(local.text)")
        #expect(try eventually(within: 10) { try fleet.worker("order-gateway")?["lock"] != nil })
        let stop = try fleet.trading("stop", "--all", "--reason", "x")
        #expect(stop.status == 3 && stop.text.contains("order-gateway@ex-1 is locked") && stop.text.contains("[locked]"), "\(stop.text)")
        #expect(try fleet.state("exchange-to-redis") == "RUNNING")
        let emergency = try fleet.trading("emergency-stop", "--yes", "--reason", "through the lock")
        #expect(emergency.text.contains("GONE 2 of 2"), "\(emergency.text)")
        #expect(try fleet.audit("ex-1").contains { $0["event"] as? String == "WORKER_LOCKED" })
        #expect(try fleet.audit().contains { $0["event"] as? String == "WORKER_LOCKED" && $0["worker"] as? String == "strategy@st-1" })
        try fleet.verifyAudits()
    }

    @Test(
        "with the disk full and its reserve used up a lock is no success; ordered again with room it outlives its agent",
        .enabled(if: getuid() == 0, "mounting a small file system needs root"))
    func diskFull() throws {
        let fleet = try TestFleet()
        defer { fleet.end() }
        let small = try fleet.mountSmallState(of: "ex-1")
        defer { fleet.unmount(small) }
        try fleet.begin()
        try fleet.fill(small)
        let words = String(repeating: "a fill is being looked at ", count: 15)
        var refused: (status: Int32, text: String)?
        for number in 0..<1_000 where refused == nil {
            let lock = try fleet.local("ex-1", "lock", "order-gateway", "--reason", "\(number) \(words)")
            if lock.status != 0 { refused = (lock.status, lock.text) }
        }
        let text = flat(try #require(refused).text)
        #expect(text.contains("holds only until its agent starts again") && text.contains("Make room"), "\(text)")
        let last = try #require(try fleet.worker("order-gateway")?["lock"] as? [String: Any])["text"] as? String ?? ""
        #expect(fleet.makeRoom(in: small))
        // The same again: it changes nothing in memory, and is on record now.
        #expect(try eventually(within: 20) { try fleet.local("ex-1", "lock", "order-gateway", "--reason", last).status == 0 }, "\(fleet.logs)")
        fleet.agents["ex-1"]?.killNow()
        try fleet.startAgent("ex-1")
        #expect(try eventually(within: 20) { try (fleet.worker("order-gateway")?["lock"] as? [String: Any])?["text"] as? String == last }, "\(fleet.logs)")
    }

    @Test("a note is shown and forbids nothing; what can't be reached is named, beside what was done")
    func notes() throws {
        let fleet = try TestFleet()
        defer { fleet.end() }
        try fleet.begin()
        #expect(try fleet.trading("note", "strategy", "--reason", "vendor looks at it").status == 0)
        #expect(try eventually(within: 10) { try fleet.trading("status").text.contains("note: vendor looks at it") })
        #expect(try fleet.trading("start", "--all", "--reason", "test").status == 0, "\(fleet.logs)")
        #expect(try fleet.trading("note", "strategy", "--clear").status == 0)
        #expect(try eventually(within: 10) { try fleet.worker("strategy")?["remark"] == nil })
        #expect(try fleet.trading("lock", "strategy").status == 2)
        #expect(try fleet.trading("lock", "nobody", "--reason", "x").status == 2)
        fleet.agents["ex-1"]?.killNow()
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 3 })
        let partly = try fleet.trading("lock", "strategy", "order-gateway", "--reason", "x")
        #expect(partly.status == 4 && partly.text.contains("PARTLY") && partly.text.contains("not order-gateway@ex-1"), "\(partly.text)")
        #expect(partly.text.contains("strategy@st-1 locked") && partly.text.contains("[host-unknown]"), "\(partly.text)")
        try fleet.startAgent("ex-1")
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 4 })
    }

    @Test("a worker's page has its threads and events, its logs come with their times and only what is asked for")
    func pageAndLogs() throws {
        let fleet = try TestFleet()
        defer { fleet.end() }
        try fleet.begin()
        #expect(try fleet.trading("start", "--all", "--reason", "test").status == 0, "\(fleet.logs)")
        for page in [try fleet.trading("status", "order-gateway"), try fleet.local("ex-1", "status", "order-gateway@ex-1")] {
            #expect(page.text.contains("  threads    ") && page.text.contains("  launch     "), "\(page.text)")
            #expect(page.text.contains("WORKER_READY"), "\(page.text)")
            #expect(!page.text.contains("NOT SEEN"), "\(page.text)")
        }
        let host = try fleet.trading("status", "ex-1")
        #expect(host.text.contains("  kernel     ") && host.text.contains("  layout     "), "\(host.text)")
        for layout in [try fleet.trading("layout", "show", "--host", "ex-1"), try fleet.local("ex-1", "layout")] {
            #expect(layout.status == 0 || layout.status == 3, "\(layout.text)")
            #expect(layout.text.contains("ex-1  ") && layout.text.contains("housekeeping") && layout.text.contains("order-gateway"), "\(layout.text)")
            #expect(layout.text.split(separator: "\n").allSatisfy { $0.count <= 100 }, "\(layout.text)")
        }
        let verified = try fleet.trading("layout", "verify")
        #expect(verified.status == 0 && fleet.hosts.allSatisfy { verified.text.contains("\($0)  as declared") }, "\(verified.text)")
        #expect(try fleet.trading("layout", "apply").status == 2)
        #expect(try fleet.trading("layout", "plan", "--host", "nowhere").status == 2)
        let stop = try fleet.trading("stop", "--all", "--reason", "test")
        #expect(stop.text.contains("verdict: proven") && stop.text.contains("0 sockets of ours left\n"), "\(stop.text)")
        #expect(stop.text.contains("MARKERS    4 of 4 shutdown markers found"), "\(stop.text)")
        let all = try fleet.trading("logs", "all", "-n", "50")
        #expect(all.status == 0, "\(all.text)")
        let none = try fleet.trading("logs", "all", "--since", "1h", "--grep", "a text that nobody writes")
        #expect(none.status == 0 && !none.text.contains("redis"), "\(none.text)")
        #expect(try fleet.trading("logs", "all", "--since", "yesterday").status == 2)
    }
}
