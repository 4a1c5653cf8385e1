package import FleetAPI

/// The pages of several workers, asked for side by side: a host that hangs keeps no other's page back.
package enum WorkerPages {
    /// Asked at once; each has a connection of its own, and its agent five seconds.
    package static let atOnceMax = 16

    /// In the order of `workers`; what could not be had is a page with its problem.
    package static func fetch(
        _ workers: [String], atOnce: Int = atOnceMax, _ get: @escaping @Sendable (String) async throws -> APIWorkerPage
    ) async throws -> [APIWorkerPage] {
        try await withThrowingTaskGroup(of: (Int, APIWorkerPage).self) { group in
            var pages = [APIWorkerPage](repeating: APIWorkerPage(), count: workers.count)
            var next = 0
            func begin() {
                guard next < workers.count else { return }
                let (index, worker) = (next, workers[next])
                next += 1
                group.addTask { (index, try await page(worker, get)) }
            }
            for _ in 0..<max(1, atOnce) { begin() }
            while let (index, page) = try await group.next() {
                pages[index] = page
                begin()
            }
            return pages
        }
    }

    private static func page(_ worker: String, _ get: @Sendable (String) async throws -> APIWorkerPage) async throws -> APIWorkerPage {
        do {
            return try await get(worker)
        } catch let problem as APIProblem {
            // An older side has no such pages: what was reported is shown without them.
            var page = APIWorkerPage()
            page.worker = worker
            page.problem = problem
            return page
        }
    }
}
