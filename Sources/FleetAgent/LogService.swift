internal import FleetCore
internal import FleetWire
internal import Glibc
internal import LinuxHost
internal import NIOCore

/// Answers with the last lines of workers' logs, and with what is added, for as long as someone listens.
///
/// `@unchecked Sendable`: everything mutable is touched on the agent's loop only; reading is done on the files thread.
final class LogService: @unchecked Sendable {
    struct Question: Sendable {
        let operation: String
        /// Names or aliases; `all`.
        let services: [String]
        let lines: Int
        let follow: Bool
    }

    struct Line: Sendable {
        let service: String
        let text: [UInt8]
        let isError: Bool

        var wire: WireLogLine {
            var line = WireLogLine()
            line.service = service
            line.text = String(decoding: text, as: UTF8.self)
            line.stderr = isError
            return line
        }
    }

    struct Answer: Sendable {
        var lines: [Line]
        var end: Bool
        /// Why it ended, or what could not be read.
        var text: String
    }

    /// False: nobody listens any more.
    typealias Listener = (Answer) -> Bool

    private struct Follower {
        var tails: [LogTail]
        let listener: Listener
    }

    private static let linesMax = 10_000
    private static let followersMax = 32
    static let followEvery: Duration = .milliseconds(200)

    private unowned let agent: Agent
    private var followers: [String: Follower] = [:]
    private var timer: RepeatedTask?
    private var reading = false

    init(agent: Agent) { self.agent = agent }

    func read(_ question: Question, listener: @escaping Listener) {
        let shells = agent.shells.filter { shell in
            question.services.isEmpty || question.services.contains { $0 == "all" || $0 == shell.service || shell.declaration.spec.aliases.contains($0) }
        }
        guard !shells.isEmpty else {
            _ = listener(Answer(lines: [], end: true, text: "no service of \(agent.host) is called \(question.services.joined(separator: ", "))"))
            return
        }
        guard !question.follow || followers.count < Self.followersMax else {
            _ = listener(Answer(lines: [], end: true, text: "\(Self.followersMax) others follow logs of \(agent.host) already"))
            return
        }
        let paths = agent.paths
        let files = shells.flatMap { shell in
            [
                LogTail(service: shell.service, path: paths.standardOutput(shell.service), isError: false),
                LogTail(service: shell.service, path: paths.standardError(shell.service), isError: true),
            ] + shell.declaration.spec.logFiles.map { LogTail(service: shell.service, path: $0, isError: false) }
        }
        let count = min(max(0, question.lines), Self.linesMax)
        let box = NIOLoopBound(Follower(tails: [], listener: listener), eventLoop: agent.loop)
        let accepted = agent.files.submit { [self] in
            var files = files
            var lines: [Line] = []
            for index in files.indices { lines += files[index].last(count) }
            let (tails, found) = (files, lines)
            agent.loop.execute {
                let listener = box.value.listener
                guard listener(Answer(lines: found, end: !question.follow, text: "")), question.follow else { return }
                self.followers[question.operation] = Follower(tails: tails, listener: listener)
                self.poll()
            }
        }
        if !accepted { _ = listener(Answer(lines: [], end: true, text: "the agent has too much other work waiting. Ask again")) }
    }

    func cancel(_ operation: String) {
        followers[operation] = nil
        if followers.isEmpty {
            timer?.cancel()
            timer = nil
        }
    }

    private func poll() {
        guard timer == nil else { return }
        let every = TimeAmount.nanoseconds(Self.followEvery.nanoseconds)
        timer = agent.loop.scheduleRepeatedTask(initialDelay: every, delay: every) { [self] _ in readGrowth() }
    }

    private func readGrowth() {
        guard !reading else { return }
        let tails = followers.mapValues(\.tails)
        reading = agent.files.submit { [self] in
            var tails = tails
            var lines: [String: [Line]] = [:]
            for operation in tails.keys {
                for index in tails[operation, default: []].indices {
                    lines[operation, default: []] += tails[operation]?[index].growth() ?? []
                }
            }
            let (read, found) = (tails, lines)
            agent.loop.execute {
                self.reading = false
                for (operation, tails) in read {
                    guard let follower = self.followers[operation] else { continue }
                    self.followers[operation]?.tails = tails
                    let lines = found[operation] ?? []
                    // Also asked with nothing new: that is how a listener who left is noticed.
                    if !follower.listener(Answer(lines: lines, end: false, text: "")) { self.cancel(operation) }
                }
            }
        }
    }
}
