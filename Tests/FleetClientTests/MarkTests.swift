import FleetAPI
import FleetClient
import FleetWire
import Testing

@Suite("Locks, notes, pages and layouts over HTTP")
struct MarkTests {
    private func problem(_ body: () async throws -> Void) async -> APIProblem? {
        do {
            try await body()
            return nil
        } catch let problem as APIProblem {
            return problem
        } catch {
            Issue.record("no problem: \(error)")
            return nil
        }
    }

    private func mark(_ reason: String) -> APIMarkRequest {
        var request = APIMarkRequest()
        request.services = ["strat-arb", "pricer@st-1"]
        request.reason = reason
        return request
    }

    @Test("a lock and an unlock need a reason, a note without one takes it away")
    func reasons() async throws {
        try await ServedAPI.run { api in
            let locked: APIDone = try await api.unix.post(Route.lock, mark("bad param file"))
            #expect(locked.text == "lock done")
            let _: APIDone = try await api.unix.post(Route.unlock, mark("fixed"))
            let _: APIDone = try await api.unix.post(Route.note, mark(""))
            #expect(api.service.asked.map(\.verb) == ["lock strat-arb pricer@st-1", "unlock strat-arb pricer@st-1", "note strat-arb pricer@st-1"])
            for path in [Route.lock, Route.unlock] {
                #expect(await problem { let _: APIDone = try await api.unix.post(path, mark(" ")) }?.slug == "no-reason")
            }
        }
    }

    @Test("a layout is looked at without a reason and applied only with one")
    func layout() async throws {
        try await ServedAPI.run { api in
            var ask = APILayoutAsk()
            ask.hosts = ["md-1"]
            let shown: APILayoutAnswers = try await api.unix.post(Route.layout, ask)
            #expect(shown.hosts.map(\.host) == ["md-1"])
            ask.request.what = .apply
            #expect(await problem { let _: APILayoutAnswers = try await api.unix.post(Route.layout, ask) }?.slug == "no-reason")
            ask.reason = "new pages"
            let _: APILayoutAnswers = try await api.unix.post(Route.layout, ask)
            #expect(api.service.asked.last?.reason == "new pages")
        }
    }

    @Test("a worker's page is asked for by its whole name")
    func page() async throws {
        try await ServedAPI.run { api in
            let page: APIWorkerPage = try await api.unix.get(Route.worker("order-gateway@ex-1"))
            #expect(page.worker == "order-gateway@ex-1")
        }
    }
}

@Suite("Since when logs are wanted")
struct SinceTests {
    /// 2026-11-23 00:10:00 in London.
    private let now: UInt64 = 1_795_392_600_000_000
    private let london = FleetZone(named: "Europe/London")

    @Test("a time of day is the last that has been, a duration counts back, and Z is UTC")
    func times() {
        #expect(SinceText.parse("00:05", now: now, zone: london) == now - 300_000_000)
        #expect(SinceText.parse("23:50", now: now, zone: london) == now - 1_200_000_000)
        #expect(SinceText.parse("2h", now: now, zone: london) == now - 7_200_000_000)
        #expect(SinceText.parse("10min", now: now, zone: london) == now - 600_000_000)
        #expect(SinceText.parse("2026-11-22T10:15Z", now: now, zone: london) == 1_795_342_500_000_000)
        #expect(SinceText.parse("2026-07-01 12:00:30", now: now, zone: london) == 1_782_903_630_000_000)
        #expect(SinceText.parse("2026-11-22", now: now, zone: london) == 1_795_305_600_000_000)
    }

    @Test("what is no time is refused", arguments: ["", "soon", "25:00", "10:60", "10:5x", "2026-13-01T10:00", "2026-11-22T", "12", "-5h", "2026-11T10:00"])
    func refused(text: String) {
        #expect(SinceText.parse(text, now: now, zone: london) == nil)
    }
}
