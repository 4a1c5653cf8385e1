package import FleetAPI
import FleetCore
import FleetWire

/// An emergency stop sent to every coordinator and relay at once; the first complete answer counts.
package struct EmergencyCall: Sendable {
    /// What one path said.
    package struct Path: Sendable {
        package let name: String
        /// nil: it has not answered yet.
        package var answer: Result<APIEmergencyAnswer, APIProblem>?
    }

    /// What is known of one worker: gone on one path's word is gone.
    package struct Worker: Equatable, Sendable {
        package let name: String
        package let host: String
        package var gone: Bool
        package var text: String
        package var pid: Int32
    }

    package struct Outcome: Sendable {
        package var paths: [Path]
        package var workers: [Worker] = []
        /// Hosts of which no path has a final word.
        package var unconfirmed: [String] = []
        /// Hosts of which a path has one.
        package var confirmed: [String] = []
        /// Until the answer that made it complete, or the last one.
        package var took: Duration = .zero

        package init(paths: [Path], workers: [Worker] = [], unconfirmed: [String] = []) {
            self.paths = paths
            self.workers = workers
            self.unconfirmed = unconfirmed
        }

        package var isAnswered: Bool { paths.contains { if case .success = $0.answer { true } else { false } } }
        package var isComplete: Bool { isAnswered && unconfirmed.isEmpty }
        package var allGone: Bool { isComplete && workers.allSatisfy(\.gone) }
    }

    /// How long any path may take: a coordinator itself stops waiting for silent hosts after 3 s.
    package static let answerBound: Duration = .seconds(5)
    /// Once all is confirmed, how long the other paths may still take to acknowledge the latch.
    package static let othersBound: Duration = .milliseconds(500)

    /// Sends on every path and puts the answers together.
    ///
    /// `began` is what durations count from. Returns as soon as every host is confirmed, at the latest after the bound.
    package static func send(
        _ request: APIEmergencyRequest, to endpoints: [APIEndpoint], began: ContinuousClock.Instant
    ) async -> Outcome {
        let (answers, feed) = AsyncStream.makeStream(of: Word.self)
        for (index, endpoint) in endpoints.enumerated() {
            // Not children: once all is confirmed nobody waits for a path that hangs. Each ends by its own bound.
            Task { feed.yield(.answer(index, await call(request, endpoint))) }
        }
        var outcome = Outcome(paths: endpoints.map { Path(name: $0.words) })
        var complete = false
        for await word in answers {
            switch word {
            case .othersLate:
                return outcome
            case .answer(let index, let answer):
                outcome.paths[index].answer = answer
                if !complete {
                    merge(&outcome)
                    outcome.took = began.duration(to: .now)
                    if outcome.isComplete {
                        complete = true
                        Task {
                            do { try await Task.sleep(for: othersBound) } catch { return }
                            feed.yield(.othersLate)
                        }
                    }
                }
                if outcome.paths.allSatisfy({ $0.answer != nil }) { return outcome }
            }
        }
        return outcome
    }

    private enum Word: Sendable {
        case answer(Int, Result<APIEmergencyAnswer, APIProblem>)
        case othersLate
    }

    private static func call(_ request: APIEmergencyRequest, _ endpoint: APIEndpoint) async -> Result<APIEmergencyAnswer, APIProblem> {
        do {
            return .success(try await APIClient(endpoint).post(Route.emergencyStop, request, within: answerBound))
        } catch let problem as APIProblem {
            return .failure(problem)
        } catch {
            return .failure(APIProblem(slug: "no-coordinator", what: "UNREACHABLE \(endpoint.words): \(error)"))
        }
    }

    /// Puts every path's word together.
    static func merge(_ outcome: inout Outcome) {
        var workers: [Worker] = []
        var confirmed: Set<String> = []
        var named: Set<String> = []
        for case .success(let answer)? in outcome.paths.map(\.answer) {
            named.formUnion(answer.silentHosts)
            for result in answer.hosts {
                named.insert(result.host)
                if result.final { confirmed.insert(result.host) }
                for gone in result.workers {
                    let worker = Worker(name: gone.service, host: result.host, gone: gone.gone, text: gone.text, pid: gone.pid)
                    if let known = workers.firstIndex(where: { $0.name == worker.name && $0.host == worker.host && $0.pid == worker.pid }) {
                        if gone.gone { workers[known] = worker }
                    } else {
                        workers.append(worker)
                    }
                }
            }
        }
        outcome.workers = workers.sorted { ($0.host, $0.name) < ($1.host, $1.name) }
        outcome.confirmed = confirmed.sorted()
        outcome.unconfirmed = named.subtracting(confirmed).sorted()
    }
}
