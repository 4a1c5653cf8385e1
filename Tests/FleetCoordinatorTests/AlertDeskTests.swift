import FleetAPI
import FleetCore
import FleetJournal
import FleetWire
import Glibc
import LinuxHost
import Logging
import NIOCore
import NIOPosix
import Testing

@testable import FleetCoordinator

/// Against real receivers and a real journal.
@Suite("Telling receivers")
struct AlertDeskTests {
    /// A desk with its journal, as a coordinator has it.
    private final class Office {
        let directory: String
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let journal: Journal
        let desk: AlertDesk
        let home: any EventLoop

        static func directory() throws -> String {
            var template = Array("/tmp/trading-alerts-XXXXXX".utf8CString)
            guard mkdtemp(&template) != nil else { throw LinuxError("make a directory like", "/tmp/trading-alerts-XXXXXX", errno: errno) }
            return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }

        init(
            _ alerts: [AlertSpec], in directory: String, page: String? = nil, instance: String = "i1", attemptWithin: Duration = .milliseconds(200),
            bounds: AlertWatch.Bounds = AlertWatch.Bounds(), timezone: String = ""
        ) throws {
            self.directory = directory
            let opened = try Journal.open(path: directory + "/journal")
            journal = opened.journal
            home = group.next()
            var service = ServiceSpec(name: "feed", tier: "market-data", run: ["feed"], hosts: ["md-1"])
            service.holdPage = page
            var inventory = Inventory(
                fleet: "test", tiers: [TierSpec(name: "market-data")], hosts: [HostSpec(name: "md-1")], services: [service])
            inventory.alerts = alerts
            if !timezone.isEmpty { inventory.timezone = timezone }
            let fold = CoordinatorFold(opened.records)
            journal.append(AlertDesk.unfinished(fold.alerts)) { _ in }
            desk = try #require(
                AlertDesk(
                    inventory: inventory, coordinator: "ctl-1", instance: instance, journal: journal, past: fold.alerts, home: home,
                    log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
                    pace: AlertDesk.Pace(
                        attemptWithin: attemptWithin, pauses: [.milliseconds(5), .milliseconds(5)], tick: .milliseconds(5)),
                    bounds: bounds))
        }

        func report(_ state: WireWorkerState, service: String = "feed", launch: String = "l1", note: String = "", lockedBy: String? = nil) throws {
            var worker = WireWorkerReport()
            if let lockedBy {
                worker.lock.by = lockedBy
                worker.lock.text = "bad param file"
                worker.lock.unixUs = Clock.unixMicroseconds()
            }
            worker.service = service
            worker.state = state
            worker.launch = launch
            worker.note = note
            var report = WireHostReport()
            report.workers = [worker]
            let words = report
            try home.submit { [desk] in desk.reported("md-1", words) }.wait()
        }

        var status: [APIAlertStatus] { get throws { try home.submit { [desk] in desk.status() }.wait() } }

        /// This many were told, and all of them are delivered.
        func delivered(_ count: Int) throws -> Bool {
            let status = try status
            return status.count == count && status.allSatisfy { $0.deliveredUnixUs > 0 }
        }

        func paged(_ event: AlertSpec.Event, _ subject: String) throws -> String { try home.submit { [desk] in desk.paged(event, subject) }.wait() }

        func close() throws {
            try desk.close().wait()
            journal.close()
            try group.syncShutdownGracefully()
        }

        /// What the journal holds of alerts, in order.
        static func records(_ directory: String) throws -> [AuditRecord] {
            let opened = try Journal.open(path: directory + "/journal")
            defer { opened.journal.close() }
            return opened.records.filter { $0.event.hasPrefix("ALERT_") }
        }
    }

    private func inOffice(
        _ alerts: [AlertSpec], page: String? = nil, attemptWithin: Duration = .milliseconds(200), bounds: AlertWatch.Bounds = AlertWatch.Bounds(),
        timezone: String = "", _ body: (Office) throws -> Void
    ) throws -> [AuditRecord] {
        let directory = try Office.directory()
        defer { do { try Files.removeTree(directory) } catch { Issue.record("\(error)") } }
        let office = try Office(alerts, in: directory, page: page, attemptWithin: attemptWithin, bounds: bounds, timezone: timezone)
        do { try body(office) } catch { Issue.record("\(error)") }
        try office.close()
        return try Office.records(directory)
    }

    @Test("an alert is on record before it is posted, and so is its delivery")
    func delivered() throws {
        let receiver = try Receiver(.status(204))
        let records = try inOffice([AlertSpec(name: "desk", webhook: receiver.url)]) { office in
            try office.report(.running)
            try office.report(.failed, note: "3 starts within 60 s")
            #expect(try eventually { try office.status.first?.deliveredUnixUs ?? 0 > 0 })
            try office.report(.failed)
            #expect(try office.paged(.failed, "feed@md-1").hasPrefix(" · Paged: desk "))
            #expect(try office.paged(.hold, "feed@md-1").isEmpty)
        }
        #expect(receiver.bodies.count == 1)
        let body = try JSON.parse(try #require(receiver.bodies.first))
        #expect(body["event"]?.stringValue == "failed" && body["subject"]?.stringValue == "feed@md-1" && body["fleet"]?.stringValue == "test")
        #expect(body["text"]?.stringValue == "feed@md-1 failed: 3 starts within 60 s" && body["coordinator"]?.stringValue == "ctl-1")
        #expect(body["then"]?.stringValue?.contains("trading logs feed") == true && body["id"]?.stringValue == "i1/alert-1")
        #expect(body["unix_us"]?.uintValue ?? 0 > 0 && body["receiver"]?.stringValue == "desk")
        #expect(records.map(\.event) == ["ALERT_SENT", "ALERT_DELIVERED"] && records[1]["attempts"] == "1" && records[0]["mark"] == "l1")
        try receiver.stop()
    }

    @Test("when who was paged is in the fleet's time, with the name of its zone")
    func zone() throws {
        let receiver = try Receiver(.status(204))
        _ = try inOffice([AlertSpec(name: "desk", webhook: receiver.url)], timezone: "Asia/Tokyo") { office in
            try office.report(.failed)
            #expect(try eventually { try office.delivered(1) })
            let at = try #require(try office.status.first?.deliveredUnixUs)
            #expect(try office.paged(.failed, "feed@md-1") == " · Paged: desk \(FleetZone(named: "Asia/Tokyo").time(at)) Tokyo")
        }
        try receiver.stop()
    }

    @Test("an unlocking is told to those who take it, and to one who is named after who locked it")
    func unlocking() throws {
        let (desk, person, other) = (try Receiver(.status(204)), try Receiver(.status(204)), try Receiver(.status(204)))
        let alerts = [
            AlertSpec(name: "desk", webhook: desk.url), AlertSpec(name: "ops-1", webhook: person.url, events: [.failed]),
            AlertSpec(name: "eng", webhook: other.url, events: [.failed]),
        ]
        _ = try inOffice(alerts) { office in
            try office.report(.stopped, lockedBy: "operator/ops-1")
            try office.home.submit { [desk = office.desk] in desk.unlocks(WorkerName("feed", on: "md-1"), by: "operator/alice", reason: "corrected") }.wait()
            try office.report(.stopped)
            #expect(try eventually { try office.delivered(2) })
        }
        #expect(other.bodies.isEmpty && desk.bodies.count == 1 && person.bodies.count == 1)
        #expect(person.bodies.first?.contains("was unlocked by alice") == true && person.bodies.first?.contains("\"event\":\"unlocked\"") == true)
        for receiver in [desk, person, other] { try receiver.stop() }
    }

    @Test("one that answers 500 is asked three times, with the same id, and then it is on record as failed")
    func refused() throws {
        let receiver = try Receiver(.status(500))
        let records = try inOffice([AlertSpec(name: "desk", webhook: receiver.url)]) { office in
            try office.report(.failed)
            #expect(try eventually { try office.status.first?.problem == "HTTP 500, 3 attempts" })
            #expect(try office.paged(.failed, "feed@md-1") == " · NOT paged: desk (HTTP 500, 3 attempts)")
        }
        #expect(receiver.bodies.count == 3 && Set(receiver.bodies).count == 1)
        #expect(records.map(\.event) == ["ALERT_SENT", "ALERT_FAILED"] && records[1]["why"] == "HTTP 500, 3 attempts" && records[1]["attempts"] == "3")
        try receiver.stop()
    }

    @Test("one that recovers in between has it at the third attempt")
    func recovers() throws {
        let receiver = try Receiver(.status(503), .hang, .status(200))
        let records = try inOffice([AlertSpec(name: "desk", webhook: receiver.url)]) { office in
            try office.report(.held)
            #expect(try eventually { try office.status.first?.deliveredUnixUs ?? 0 > 0 })
        }
        #expect(receiver.bodies.count == 3 && records.map(\.event) == ["ALERT_SENT", "ALERT_DELIVERED"] && records[1]["attempts"] == "3")
        try receiver.stop()
    }

    @Test("one that hangs is given up after three bounded attempts, and keeps nobody else waiting")
    func hangs() throws {
        let hanging = try Receiver(.hang)
        let fine = try Receiver(.status(200))
        let alerts = [AlertSpec(name: "hung", webhook: hanging.url), AlertSpec(name: "desk", webhook: fine.url)]
        let records = try inOffice(alerts) { office in
            try office.report(.failed)
            #expect(try eventually { try office.status.contains { $0.receiver == "desk" && $0.deliveredUnixUs > 0 } })
            #expect(try office.status.contains { $0.receiver == "hung" && $0.deliveredUnixUs == 0 })
            #expect(try eventually { try office.status.contains { $0.problem.hasSuffix(", 3 attempts") } })
            let hung = try #require(try office.status.first { $0.receiver == "hung" })
            #expect(hung.problem.hasPrefix("no answer within 200"), "\(hung)")
            let words = try office.paged(.failed, "feed@md-1")
            #expect(words.contains("Paged: desk ") && words.contains("NOT paged: hung (no answer within 200"), "\(words)")
        }
        #expect(hanging.bodies.count == 3 && records.count == 4)
        try hanging.stop()
        try fine.stop()
    }

    @Test("one that isn't there, and one that sends elsewhere, are failures with their reason")
    func absent() throws {
        let gone = try Receiver(.status(200))
        let place = gone.url
        try gone.stop()
        let other = try Receiver(.status(200))
        let redirecting = try Receiver(.redirect(other.url))
        let alerts = [AlertSpec(name: "gone", webhook: place), AlertSpec(name: "elsewhere", webhook: redirecting.url)]
        _ = try inOffice(alerts) { office in
            try office.report(.failed)
            #expect(try eventually { try office.status.allSatisfy { $0.problem.hasSuffix(", 3 attempts") } })
            #expect(try office.status.map(\.problem) == ["Connection refused, 3 attempts", "HTTP 307, 3 attempts"])
        }
        #expect(other.bodies.isEmpty && redirecting.bodies.count == 3)
        try other.stop()
        try redirecting.stop()
    }

    @Test("what the coordinator's end cut short is on record as unknown, and is not sent again")
    func restart() throws {
        let receiver = try Receiver(.hang)
        let directory = try Office.directory()
        defer { do { try Files.removeTree(directory) } catch { Issue.record("\(error)") } }
        let alerts = [AlertSpec(name: "desk", webhook: receiver.url)]
        let first = try Office(alerts, in: directory, attemptWithin: .seconds(30))
        try first.report(.failed)
        #expect(eventually { receiver.bodies.count == 1 })
        try first.close()
        let second = try Office(alerts, in: directory, instance: "i2")
        #expect(try second.status.first?.problem.hasPrefix("unknown: the coordinator ended") == true)
        #expect(try second.paged(.failed, "feed@md-1").contains("NOT paged: desk (unknown"))
        try second.report(.failed)
        try second.report(.failed)
        #expect(try second.status.count == 1)
        #expect(receiver.bodies.count == 1)
        try second.close()
        let records = try Office.records(directory)
        #expect(records.map(\.event) == ["ALERT_SENT", "ALERT_FAILED"] && records[1]["outcome"] == "unknown")
        try receiver.stop()
    }

    @Test("a receiver gets what it wants, and the one that a hold pages gets the hold")
    func wanted() throws {
        let desk = try Receiver(.status(200))
        let engineers = try Receiver(.status(200))
        let alerts = [
            AlertSpec(name: "desk", webhook: desk.url, events: [.failed, .unknownHost]), AlertSpec(name: "eng", webhook: engineers.url, events: [.drift]),
        ]
        _ = try inOffice(alerts, page: "eng") { office in
            try office.report(.held)
            #expect(try eventually { try office.delivered(1) })
            try office.report(.failed, launch: "")
            #expect(try eventually { try office.delivered(2) })
            #expect(try office.status.map(\.receiver) == ["eng", "desk"])
            #expect(try office.paged(.unprovenStop, "run 1") == " · NOT paged: no receiver takes unproven-stop")
        }
        #expect(desk.bodies.count == 1 && engineers.bodies.count == 1)
        try desk.stop()
        try engineers.stop()
    }

    @Test("what an emergency stop ended is nobody's alarm")
    func latched() throws {
        let receiver = try Receiver(.status(200))
        let records = try inOffice([AlertSpec(name: "desk", webhook: receiver.url)]) { office in
            var worker = WireWorkerReport()
            worker.service = "feed"
            worker.state = .failed
            worker.latched = true
            var report = WireHostReport()
            report.workers = [worker]
            let words = report
            try office.home.submit { [desk = office.desk] in desk.reported("md-1", words) }.wait()
            #expect(try office.status.isEmpty)
        }
        #expect(records.isEmpty && receiver.bodies.isEmpty)
        try receiver.stop()
    }

    @Test("a silent host is told without anybody asking")
    func silence() throws {
        let receiver = try Receiver(.status(200))
        let bounds = AlertWatch.Bounds(unknownAfter: .milliseconds(50), startGrace: .milliseconds(50), window: .seconds(60))
        _ = try inOffice([AlertSpec(name: "desk", webhook: receiver.url)], bounds: bounds) { office in
            office.desk.begin { _ in "the connection was closed" }
            let told = try eventually { try office.status.contains { $0.event == "unknown-host" && $0.deliveredUnixUs > 0 } }
            #expect(told)
        }
        #expect(receiver.bodies.count == 1 && receiver.bodies[0].contains("the connection was closed"))
        try receiver.stop()
    }

    @Test("no more than 256 are under way: the next fails at once and says so")
    func bounded() throws {
        let receiver = try Receiver(.hang)
        let records = try inOffice([AlertSpec(name: "desk", webhook: receiver.url)], attemptWithin: .seconds(30)) { office in
            for number in 0..<257 { try office.report(.failed, service: "feed-\(number)") }
            #expect(try office.status.last?.problem == "not sent: 256 alerts were under way already")
            #expect(try office.status.count == 20)
        }
        #expect(records.filter { $0.event == "ALERT_SENT" }.count == 256 && records.filter { $0.event == "ALERT_FAILED" }.count == 1)
        try receiver.stop()
    }
}
