internal import FleetCore
internal import FleetWire
internal import LinuxHost
internal import Logging
internal import NIOCore

/// Answers with the last lines of workers' logs, and with what is added, for as long as someone listens; keeps the logs within bounds.
///
/// `@unchecked Sendable`: everything mutable is touched on the agent's loop only, but for the rotator, which its box guards.
final class LogService: @unchecked Sendable {
    struct Question: Sendable {
        let operation: String
        /// Names or aliases; `all`.
        let services: [String]
        let filter: LogFilter
        let follow: Bool
    }

    struct Answer: Sendable {
        var lines: [LogLine]
        var end: Bool
        /// Why it ended, or what could not be read.
        var text: String
    }

    /// False: nobody listens any more.
    typealias Listener = (Answer) -> Bool

    private struct Follower {
        var tails: [LogTail]
        let filter: LogFilter
        let listener: Listener
    }

    static let linesMax = 10_000
    private static let followersMax = 32
    static let followEvery: Duration = .milliseconds(200)
    /// Files that the patterns of one worker may stand for.
    private static let filesMax = 32
    /// Of text in one answer; the wire's frames hold a multiple of it.
    private static let answerBytesMax = 128 << 10
    private static let answerPause: TimeAmount = .milliseconds(20)

    private unowned let agent: Agent
    private var followers: [String: Follower] = [:]
    /// Asked for, and not answered for the first time yet: a listener who leaves meanwhile is never followed.
    private var opening: Set<String> = []
    private var timer: RepeatedTask?
    private var reading = false
    private let rotation = LogRotation()
    private var markers: [String: LogReceiptMarker] = [:]
    private var isMarking = false
    private var markingProblem = ""

    init(agent: Agent) { self.agent = agent }

    // MARK: Questions

    func read(_ question: Question, listener: @escaping Listener) {
        let shells = agent.shells.filter { shell in
            question.services.isEmpty || question.services.contains { $0 == "all" || $0 == shell.service || shell.declaration.spec.aliases.contains($0) }
        }
        guard !shells.isEmpty else {
            _ = listener(Answer(lines: [], end: true, text: "no service of \(agent.host) is called \(question.services.joined(separator: ", "))"))
            return
        }
        guard !question.follow || followers.count + opening.count < Self.followersMax else {
            _ = listener(Answer(lines: [], end: true, text: "\(Self.followersMax) others follow logs of \(agent.host) already"))
            return
        }
        var filter = question.filter
        filter.lines = min(max(0, filter.lines), Self.linesMax)
        let sources = shells.map { Source(shell: $0, agent: agent) }
        let running = shells.compactMap { shell in shell.machine.pid.map { (service: shell.service, pid: $0) } }
        let box = NIOLoopBound(listener, eventLoop: agent.loop)
        opening.insert(question.operation)
        // Beside the other threads: a long search must keep nothing waiting.
        let accepted = agent.housework.submit(lane: "logs \(question.operation)") { [self, filter] in
            let (tails, lines, said) = Self.backlog(sources, filter, follow: question.follow)
            // What writes into a file that somebody has removed is in no log: no lines are no word of it.
            let text = (Self.removed(running) + [said]).filter { !$0.isEmpty }.joined(separator: "; ")
            agent.loop.execute { [self] in
                let listener = box.value
                guard opening.remove(question.operation) != nil else { return }
                opening.insert(question.operation)
                tell(lines[...], to: listener, of: question, text: text) { [self] in
                    guard question.follow else { return }
                    followers[question.operation] = Follower(tails: tails, filter: filter, listener: listener)
                    poll()
                }
            }
        }
        if !accepted {
            opening.remove(question.operation)
            _ = listener(Answer(lines: [], end: true, text: "the agent has too much other work waiting. Ask again"))
        }
    }

    func cancel(_ operation: String) {
        opening.remove(operation)
        followers[operation] = nil
        if followers.isEmpty {
            timer?.cancel()
            timer = nil
        }
    }

    /// Blocking; one sentence for each whose file is gone. A process that can't be looked at is left out.
    private static func removed(_ running: [(service: String, pid: Int32)]) -> [String] {
        running.compactMap { service, pid in
            do throws(LinuxError) {
                return try WorkerFacts.removedLog(of: pid).map { WorkerFacts.words(removedLog: $0, of: service) }
            } catch { return nil }
        }
    }

    /// One worker's logs.
    private struct Source: Sendable {
        let service: String
        let output: String
        let errors: String
        let patterns: [String]
        private let own: String
        private let allowed: [String]
        private let programs: ProgramPolicy
        private let account: (user: String, group: String)

        init(shell: WorkerShell, agent: Agent) {
            let spec = shell.declaration.spec
            service = shell.service
            output = agent.paths.standardOutput(shell.service)
            errors = agent.paths.standardError(shell.service)
            patterns = spec.logFiles
            own = agent.paths.workerState(shell.service)
            allowed = agent.settings.allowedLogDirectories
            programs = agent.programs
            account = (spec.user, spec.group)
        }

        /// Blocking; with a sentence for each that may not be read.
        func tails() -> (tails: [LogTail], refusals: [String]) {
            var tails = [LogTail(service: service, path: output, isError: false), LogTail(service: service, path: errors, isError: true)]
            guard !patterns.isEmpty else { return (tails, []) }
            let reach: LogReach
            do {
                reach = LogReach(
                    own: own, declared: allowed, runAs: try programs.runAs(user: account.user, group: account.group), settingsFile: programs.settingsFile)
            } catch {
                return (tails, ["\(service): its own log files are not read: \(error)"])
            }
            var refusals: [String] = []
            var left = LogService.filesMax
            for pattern in patterns where left > 0 {
                let (files, refusal) = reach.files(pattern, count: left)
                left -= files.count
                tails += files.map { LogTail(service: service, path: $0, isError: false, file: $0, reach: reach) }
                if let refusal { refusals.append("\(service): \(refusal)") }
            }
            return (tails, refusals)
        }
    }

    /// Blocking: the newest lines of all in the order of their time, each file's own order kept.
    private static func backlog(_ sources: [Source], _ filter: LogFilter, follow: Bool) -> ([LogTail], [LogLine], String) {
        var (tails, said): ([LogTail], [String]) = ([], [])
        for source in sources {
            let found = source.tails()
            tails += found.tails
            said += found.refusals
        }
        var lines: [LogLine] = []
        var cut: [String] = []
        for index in tails.indices {
            let found = tails[index].last(filter, wholeOnly: follow)
            lines += found.lines
            if found.isCut { cut.append(tails[index].path) }
        }
        if !cut.isEmpty { said.append("only the last \(LogTail.searchBytesMax >> 20) MiB were searched of \(cut.joined(separator: ", "))") }
        return (tails, LogOrder.merged(lines), said.joined(separator: "\n"))
    }

    /// The last lines, at a pace at which a reader need not fall behind; then an answer without a word, where more may come.
    private func tell(_ lines: ArraySlice<LogLine>, to listener: @escaping Listener, of question: Question, text: String, then: @escaping () -> Void) {
        guard opening.contains(question.operation) else { return }
        var count = 0
        var bytes = 0
        for line in lines {
            count += 1
            bytes += line.text.count + 64
            if bytes >= Self.answerBytesMax { break }
        }
        let rest = lines.dropFirst(count)
        let isLast = rest.isEmpty
        let answer = Answer(lines: Array(lines.prefix(count)), end: isLast && !question.follow, text: isLast ? text : "")
        guard listener(answer) else {
            opening.remove(question.operation)
            return
        }
        guard isLast else {
            let box = NIOLoopBound((listener, then), eventLoop: agent.loop)
            agent.loop.scheduleTask(in: Self.answerPause) { [self] in tell(rest, to: box.value.0, of: question, text: text, then: box.value.1) }
            return
        }
        opening.remove(question.operation)
        if question.follow, !(answer.lines.isEmpty && text.isEmpty) { guard listener(Answer(lines: [], end: false, text: "")) else { return } }
        then()
    }

    /// What was added, in answers of bounded size. False: nobody listens any more.
    private func deliver(_ lines: [LogLine], to listener: Listener) -> Bool {
        var batch: [LogLine] = []
        var bytes = 0
        for line in lines {
            batch.append(line)
            bytes += line.text.count + 64
            guard bytes >= Self.answerBytesMax else { continue }
            guard listener(Answer(lines: batch, end: false, text: "")) else { return false }
            (batch, bytes) = ([], 0)
        }
        return listener(Answer(lines: batch, end: false, text: ""))
    }

    // MARK: What is added

    private func poll() {
        guard timer == nil else { return }
        let every = TimeAmount.nanoseconds(Self.followEvery.nanoseconds)
        timer = agent.loop.scheduleRepeatedTask(initialDelay: every, delay: every) { [self] _ in readGrowth() }
    }

    private func readGrowth() {
        guard !reading else { return }
        let asked = followers.mapValues { ($0.tails, $0.filter) }
        reading = agent.files.submit { [self] in
            var read: [String: [LogTail]] = [:]
            var found: [String: [LogLine]] = [:]
            for (operation, (tails, filter)) in asked {
                var tails = tails
                var lines: [LogLine] = []
                for index in tails.indices { lines += tails[index].growth().filter { line in line.text.withUnsafeBytes { filter.matches($0) } } }
                read[operation] = tails
                found[operation] = LogOrder.merged(lines)
            }
            let (tails, lines) = (read, found)
            agent.loop.execute { [self] in
                reading = false
                for (operation, tails) in tails {
                    guard let follower = followers[operation] else { continue }
                    followers[operation]?.tails = tails
                    // Also asked with nothing new: that is how a listener who left is noticed.
                    if !deliver(lines[operation] ?? [], to: follower.listener) { cancel(operation) }
                }
            }
        }
    }

    // MARK: Bounds

    /// What the rotation has to say, one sentence each.
    var warnings: [String] { rotation.warnings }

    /// Looks after the logs when it is time to.
    func tick(now: BootTime) {
        markReceipts()
        if rotation.isDue(now) { lookNow() }
    }

    var isLooking: Bool { rotation.isPassing }

    /// Once a second.
    private func markReceipts() {
        guard !isMarking else { return }
        let paths = agent.shells.flatMap { [agent.paths.standardOutput($0.service), agent.paths.standardError($0.service)] }
        isMarking = agent.housework.submit(lane: "receipts") { [self, markers] in
            var (marked, problem): ([String: LogReceiptMarker], String) = ([:], "")
            for path in paths {
                var log = markers[path] ?? LogReceiptMarker(of: path)
                do throws(LinuxError) { try log.look(at: Int64(clamping: Clock.unixMicroseconds())) } catch { problem = "\(error)" }
                marked[path] = log
            }
            agent.loop.execute { [self, marked, problem] in
                isMarking = false
                self.markers = marked
                if problem != markingProblem, !problem.isEmpty {
                    agent.log.warning("when log lines were received can't be kept", metadata: ["why": "\(problem)"])
                }
                markingProblem = problem
            }
        }
    }

    func lookNow() {
        guard !isLooking else { return }
        let streams = agent.shells.flatMap { shell -> [LogRotator.Stream] in
            let spec = shell.declaration.spec
            return [
                LogRotator.Stream(path: agent.paths.standardOutput(shell.service), declared: spec.stdout),
                LogRotator.Stream(path: agent.paths.standardError(shell.service), declared: spec.stderr),
            ]
        }
        rotation.begin(streams, on: agent)
    }

    /// Ends a pass that is going on; it is taken up by the next agent.
    func end() { rotation.end() }
}

extension LogRotator.Stream {
    init(path: String, declared: WireLogRetention) {
        self.init(
            path: path, keep: declared.keepNs == 0 ? Self.keepDefault : .nanoseconds(Int64(clamping: declared.keepNs)),
            maxBytes: declared.maxBytes == 0 ? Self.maxBytesDefault : Int64(clamping: declared.maxBytes))
    }
}

extension LogLine {
    var wire: WireLogLine {
        var line = WireLogLine()
        line.service = service
        line.text = String(decoding: text, as: UTF8.self)
        line.stderr = isError
        line.unixUs = unixMicroseconds
        line.file = file
        return line
    }
}
