import FleetAPI
import FleetClient
import Synchronization
import Testing

struct WorkerPagesTests {
    /// Holds who comes until so many have come, and nobody afterwards.
    private actor Door {
        private var missing: Int
        private var waiting: [CheckedContinuation<Void, Never>] = []

        init(opensAt: Int) { missing = opensAt }

        func enter() async {
            missing -= 1
            if missing > 0 { return await withCheckedContinuation { waiting.append($0) } }
            for one in waiting { one.resume() }
            waiting = []
        }
    }

    @Test("pages are asked for side by side, no more at once than the bound, and come in the order of their workers", .timeLimit(.minutes(1)))
    func sideBySide() async throws {
        // Opens for four together only: one after the other would never get through.
        let door = Door(opensAt: 4)
        let workers = (0..<16).map { "feed@h-\($0)" }
        let pages = try await WorkerPages.fetch(workers, atOnce: 4) { worker in
            await door.enter()
            if worker == "feed@h-5" { throw APIProblem(slug: "no-answer", what: "UNKNOWN  h-5") }
            var page = APIWorkerPage()
            page.worker = worker
            return page
        }
        #expect(pages.map(\.worker) == workers)
        #expect(pages.filter(\.hasProblem).map(\.worker) == ["feed@h-5"] && pages[5].problem.slug == "no-answer")
    }

    @Test("never more at once than the bound")
    func bounded() async throws {
        let counts = Mutex((inside: 0, most: 0))
        let pages = try await WorkerPages.fetch((0..<50).map { "w\($0)" }, atOnce: 3) { _ in
            counts.withLock { $0 = ($0.inside + 1, max($0.most, $0.inside + 1)) }
            await Task.yield()
            counts.withLock { $0.inside -= 1 }
            return APIWorkerPage()
        }
        #expect(pages.count == 50 && counts.withLock { $0.most } <= 3)
        #expect(try await WorkerPages.fetch([]) { _ in APIWorkerPage() }.isEmpty)
    }
}
