package import FleetAPI
import FleetCore
import FleetTrust
import FleetWire
import Synchronization

/// An emergency stop sent to every coordinator and relay at once; the first complete answer counts.
package struct EmergencyCall: Sendable {
    /// What one path said.
    package struct Path: Sendable {
        package let name: String
        /// nil: it has not answered yet.
        package var answer: Result<APIEmergencyAnswer, APIProblem>?
        /// What could not be looked at, or does not hold, of who answered: it was sent all the same.
        package var unchecked: [String] = []
        /// Its certificate is a relay's.
        package var isRelay = false

        package init(name: String, answer: Result<APIEmergencyAnswer, APIProblem>? = nil, unchecked: [String] = []) {
            self.name = name
            self.answer = answer
            self.unchecked = unchecked
        }
    }

    /// What is known of one worker: gone on the word of one path that counts is gone.
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
        /// Hosts of which no path has a final word that counts (`merge`).
        package var unconfirmed: [String] = []
        /// Of these, hosts that a relay alone calls done.
        package var onRelaysWord: [String] = []
        /// Hosts of which a path has one.
        package var confirmed: [String] = []
        /// Of the unconfirmed, hosts that have answered, and of which a coordinator knows that it was not for all that may run there.
        package var partly: [String] = []
        /// Until the answer that made it complete, or the last one.
        package var took: Duration = .zero

        package init(paths: [Path], workers: [Worker] = [], unconfirmed: [String] = []) {
            self.paths = paths
            self.workers = workers
            self.unconfirmed = unconfirmed
        }

        package var isAnswered: Bool { paths.contains { if case .success = $0.answer { true } else { false } } }
        package var isComplete: Bool { isAnswered && unconfirmed.isEmpty }
        /// Everything that it covers is confirmed gone and kept down, and it covers something: nothing covered is no success.
        package var allGone: Bool { isComplete && covered > 0 && notKept.isEmpty && workers.allSatisfy(\.gone) }
        /// Workers of the inventory that its scope covers, by the paths that took it.
        package var covered: Int {
            paths.map { if case .success(let answer) = $0.answer { Int(answer.covered) } else { 0 } }.max() ?? 0
        }
        /// Why nothing keeps down what was killed: by path, where no path keeps it, and by host.
        package var notKept: [String] {
            let answers = paths.compactMap { if case .success(let answer) = $0.answer { answer } else { nil } }
            let paths = answers.contains { $0.notKept.isEmpty } ? [] : answers.map(\.notKept)
            var hosts: [String] = []
            for result in answers.flatMap(\.hosts) where !result.notKept.isEmpty {
                let text = "\(result.host): \(result.notKept)"
                if !hosts.contains(text) { hosts.append(text) }
            }
            return paths + hosts
        }
        /// A full coordinator has said what became of it, or nobody is left to say more.
        fileprivate var isDecided: Bool {
            paths.contains { path in if case .success = path.answer { !path.isRelay } else { false } } || paths.allSatisfy { $0.answer != nil }
        }
        /// What every path refused, such as a name that nobody knows; nil: it was sent somewhere, or could not be.
        package var refusal: APIProblem? {
            let problems = paths.compactMap { if case .failure(let problem) = $0.answer { problem } else { nil } }
            guard !isAnswered else { return nil }
            return problems.first { ["unknown-tier", "unknown-host", "unknown-service", "bad-request", "no-reason", "latch-released"].contains($0.slug) }
        }
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
            Task {
                let found = Findings()
                let answer = await call(request, endpoint, found)
                feed.yield(.answer(index, answer, unchecked: found.texts, isRelay: endpoint.isRelay || found.isRelay))
            }
        }
        var outcome = Outcome(paths: endpoints.map { Path(name: $0.words) })
        var complete = false
        for await word in answers {
            switch word {
            case .othersLate:
                return outcome
            case .answer(let index, let answer, let unchecked, let isRelay):
                outcome.paths[index].answer = answer
                outcome.paths[index].unchecked = unchecked
                outcome.paths[index].isRelay = isRelay
                if !complete {
                    merge(&outcome)
                    outcome.took = began.duration(to: .now)
                    // Not on a relay's word while a coordinator has yet to speak: it may know better.
                    if outcome.isComplete, outcome.isDecided {
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
        case answer(Int, Result<APIEmergencyAnswer, APIProblem>, unchecked: [String], isRelay: Bool)
        case othersLate
    }

    /// What was found against whoever answered.
    private final class Findings: Sendable {
        private let found = Mutex<(texts: [String], isRelay: Bool)>(([], false))
        var texts: [String] { found.withLock { $0.texts } }
        var isRelay: Bool { found.withLock { $0.isRelay } }
        func take(_ peer: VerifiedPeer) { found.withLock { $0 = (peer.restrictedBecause, peer.identity.role == .relay) } }
    }

    private static func call(
        _ request: APIEmergencyRequest, _ endpoint: APIEndpoint, _ found: Findings
    ) async -> Result<APIEmergencyAnswer, APIProblem> {
        var request = request
        // On a Unix socket the caller is a local user: the signature would name somebody else.
        if endpoint.isLocal { request.signature = "" }
        do {
            return .success(try await APIClient(endpoint) { found.take($0) }.post(Route.emergencyStop, request, within: answerBound))
        } catch let problem as APIProblem {
            return .failure(problem)
        } catch {
            return .failure(APIProblem(slug: "no-coordinator", what: "UNREACHABLE \(endpoint.words): \(error)"))
        }
    }

    /// Puts every path's word together.
    ///
    /// Among equals one path's word is enough. Where a full coordinator has answered, a relay's word alone confirms no host (law
    /// 13): what it calls done and no coordinator has seen done is shown as that, and is not success.
    package static func merge(_ outcome: inout Outcome) {
        let answers = outcome.paths.compactMap { path in if case .success(let answer) = path.answer { (answer, path.isRelay) } else { nil } }
        let full = answers.filter { !$0.1 }.map(\.0)
        let relays = answers.filter(\.1).map(\.0)
        let named = Set(answers.flatMap { $0.0.silentHosts + $0.0.hosts.map(\.host) })
        let deciding = full.isEmpty ? relays : full
        // One coordinator that knows of an instance without a session outweighs one that doesn't.
        let partly = Set(deciding.flatMap { answer in answer.hosts.filter { !$0.final && answer.silentHosts.contains($0.host) }.map(\.host) })
        let confirmed = done(deciding).subtracting(partly)
        outcome.partly = partly.sorted()
        outcome.workers = gone(deciding).sorted { ($0.host, $0.name) < ($1.host, $1.name) }
        outcome.confirmed = confirmed.sorted()
        outcome.unconfirmed = named.subtracting(confirmed).sorted()
        outcome.onRelaysWord = full.isEmpty ? [] : done(relays).subtracting(confirmed).sorted()
    }

    private static func done(_ answers: [APIEmergencyAnswer]) -> Set<String> { Set(answers.flatMap(\.hosts).filter(\.final).map(\.host)) }

    private static func gone(_ answers: [APIEmergencyAnswer]) -> [Worker] {
        var workers: [Worker] = []
        for result in answers.flatMap(\.hosts) {
            for gone in result.workers {
                let worker = Worker(name: gone.service, host: result.host, gone: gone.gone, text: gone.text, pid: gone.pid)
                if let known = workers.firstIndex(where: { $0.name == worker.name && $0.host == worker.host && $0.pid == worker.pid }) {
                    if gone.gone { workers[known] = worker }
                } else {
                    workers.append(worker)
                }
            }
        }
        return workers
    }
}
