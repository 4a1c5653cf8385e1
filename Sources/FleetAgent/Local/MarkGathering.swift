internal import FleetAPI
internal import FleetWire

/// Waits for every worker's word on one order, then says what came of it, once.
///
/// `@unchecked Sendable`: touched on the agent's loop only.
final class MarkGathering: @unchecked Sendable {
    private var waiting: Set<String>
    private var done: [String] = []
    private var problems: [(worker: String, result: WireCommandResult)] = []
    private let finish: (APIProblem?) -> Void

    init(names: [String], _ finish: @escaping (APIProblem?) -> Void) {
        waiting = Set(names)
        self.finish = finish
    }

    func take(_ result: WireCommandResult, of worker: String) {
        guard result.outcome != .progress, waiting.remove(worker) != nil else { return }
        if result.outcome == .done { done.append(worker) } else { problems.append((worker, result)) }
        guard waiting.isEmpty else { return }
        guard let first = problems.first else { return finish(nil) }
        finish(
            APIProblem(
                slug: first.result.slug, what: "REFUSED  \(first.result.text)",
                why: (done.isEmpty ? ["Nothing was done."] : ["Done for \(done.joined(separator: ", "))."]).joined()
                    + problems.dropFirst().map { "\n\($0.worker): \($0.result.text)" }.joined()))
    }
}
