import FleetCore
import FleetWire
import LinuxHost
import Synchronization
import Testing

@testable import FleetAgent

/// Logs as the agent serves them, of real workers.
@Suite(.serialized) struct LogServiceTests {
    private final class Reader: Sendable {
        private let answers = Mutex<[LogService.Answer]>([])
        private let isGone = Mutex(false)

        var listener: LogService.Listener {
            { [self] answer in
                answers.withLock { $0.append(answer) }
                return !isGone.withLock { $0 }
            }
        }

        func leave() { isGone.withLock { $0 = true } }
        var lines: [LogLine] { answers.withLock { $0.flatMap(\.lines) } }
        var texts: [String] { lines.map { String(decoding: $0.text, as: UTF8.self) } }
        var said: String { answers.withLock { $0.map(\.text).joined() } }
        var hasEnded: Bool { answers.withLock { $0.contains(where: \.end) } }
        var largest: Int { answers.withLock { $0.map { $0.lines.reduce(0) { $0 + $1.text.count } }.max() ?? 0 } }
    }

    private func ask(_ fixture: AgentFixture, _ agent: Agent, _ filter: LogFilter, services: [String] = ["all"], follow: Bool = false) throws -> Reader {
        let reader = Reader()
        try fixture.onLoop {
            agent.logs.read(LogService.Question(operation: "q-\(follow)", services: services, filter: filter, follow: follow), listener: reader.listener)
        }
        return reader
    }

    @Test("output, errors and the worker's own files come in the order of time, each line with its place")
    func backlog() throws {
        let fixture = try AgentFixture()
        let own = fixture.scratch.path + "/own-1.log"
        try fixture.savePart { $0.logFiles = [fixture.scratch.path + "/own-*.log"] }
        let agent = try fixture.start { $0.allowedLogDirectories = [fixture.scratch.path] }
        defer { fixture.end() }
        try fixture.scratch.append("state/logs/feed.out", "2026-11-22T10:00:00Z one\n2026-11-22T10:00:03Z four\n")
        try fixture.scratch.append("state/logs/feed.err", "2026-11-22T10:00:01Z two\n\tat main.c:5\n")
        try fixture.scratch.append("own-1.log", "2026-11-22T10:00:02Z three\n")
        let reader = try ask(fixture, agent, LogFilter(lines: 100))
        #expect(eventually { reader.hasEnded })
        #expect(reader.texts.map { $0.split(separator: " ").last.map(String.init) ?? "" } == ["one", "two", "main.c:5", "three", "four"])
        #expect(reader.lines.map(\.isError) == [false, true, true, false, false])
        #expect(reader.lines.map(\.file) == ["", "", "", own, ""])
        #expect(reader.lines.allSatisfy { $0.unixMicroseconds >= 1_795_341_600_000_000 && $0.service == "feed" })
        let some = try ask(fixture, agent, LogFilter(lines: 100, since: 1_795_341_601_000_000, text: Array("Z t".utf8)))
        #expect(eventually { some.hasEnded })
        #expect(some.texts.map { $0.suffix(5) } == ["Z two", "three"])
    }

    @Test("a file that the host does not let be read is refused beside what is shown, and nothing of it is")
    func refused() throws {
        let fixture = try AgentFixture()
        try fixture.savePart { $0.logFiles = ["/etc/passwd", "$state/mine.log", "$state/../../../secret", "$state/link.log"] }
        let agent = try fixture.start()
        defer { fixture.end() }
        let own = agent.paths.workerState("feed")
        #expect(eventually { Files.exists(own) })
        try fixture.scratch.append("state/logs/feed.out", "output\n")
        try fixture.scratch.append("state/workers/feed/mine.log", "mine\n")
        try fixture.scratch.append("secret", "secret\n")
        try fixture.scratch.link("state/workers/feed/link.log", to: "/etc/passwd")
        for follow in [false, true] {
            let reader = try ask(fixture, agent, LogFilter(lines: 100), follow: follow)
            #expect(eventually { reader.texts.sorted() == ["mine", "output"] && !reader.said.isEmpty }, "\(reader.texts)")
            let said = reader.said.split(separator: "\n").map(String.init)
            #expect(said.count == 3 && said.allSatisfy { $0.hasPrefix("feed: ") }, "\(said)")
            #expect(
                said[0].hasPrefix("feed: /etc/passwd lies outside of where this host lets workers' own logs be read (\(own)): not read. Add --allow-log-dir"))
            #expect(said[2] == "feed: \(own)/link.log: not read, for it leads outside of \(own), or the worker's user may not read it")
            reader.leave()
        }
    }

    @Test("what is followed comes as it is written, only what matches, and ends when its reader leaves")
    func follows() throws {
        let fixture = try AgentFixture()
        try fixture.savePart()
        let agent = try fixture.start()
        defer { fixture.end() }
        try fixture.scratch.append("state/logs/feed.out", "ready\nother\n")
        let reader = try ask(fixture, agent, LogFilter(lines: 10, text: Array("ready".utf8)), follow: true)
        #expect(eventually { reader.texts == ["ready"] })
        try fixture.scratch.append("state/logs/feed.out", "noise\nready again\n")
        #expect(eventually { reader.texts == ["ready", "ready again"] } && !reader.hasEnded)
        reader.leave()
        try fixture.scratch.append("state/logs/feed.out", "ready\n")
        #expect(eventually { reader.texts.count == 3 })
        try fixture.scratch.append("state/logs/feed.out", "ready\n")
        let later = try ask(fixture, agent, LogFilter(lines: 10), services: ["nobody"])
        #expect(eventually { later.hasEnded } && reader.texts.count == 3)
    }

    @Test("many lines come in answers that a frame can hold")
    func bounded() throws {
        let fixture = try AgentFixture()
        try fixture.savePart()
        let agent = try fixture.start()
        defer { fixture.end() }
        try fixture.scratch.append("state/logs/feed.out", (0..<3_000).map { "\($0) " + String(repeating: "x", count: 500) + "\n" }.joined())
        let reader = try ask(fixture, agent, LogFilter(lines: 5_000))
        #expect(eventually { reader.hasEnded })
        #expect(reader.lines.count == 3_000 && reader.largest < 200 << 10)
    }

    @Test("a worker's output is rotated by what its part declares, while it writes, and read as one")
    func rotated() throws {
        let fixture = try AgentFixture()
        try fixture.savePart { worker in
            worker.run = [
                "/bin/sh", "-c", "i=0; while [ $i -lt 20000 ]; do echo \"line $i of some length to fill the log with\"; i=$((i+1)); done; exec sleep 1000",
            ]
            worker.stdout.maxBytes = 2 << 20
            worker.stdout.keepNs = 3_600_000_000_000
        }
        let agent = try fixture.start()
        defer { fixture.end() }
        #expect(try fixture.order(.start).outcome == .done)
        let path = agent.paths.standardOutput("feed")
        #expect(eventually { (Files.regularSize(path) ?? 0) > 900_000 })
        // Two looks now instead of within the minute.
        for _ in 0..<2 {
            #expect(try eventually { try fixture.onLoop { !agent.logs.isLooking } })
            try fixture.onLoop { agent.logs.lookNow() }
            #expect(try eventually { try fixture.onLoop { !agent.logs.isLooking } })
        }
        #expect(try eventually { try !LogSegment.all(of: path).isEmpty })
        let reader = try ask(fixture, agent, LogFilter(lines: 10_000), services: ["feed"])
        #expect(eventually { reader.hasEnded })
        let texts = reader.texts
        #expect(texts.count == 10_000 && texts.last?.hasPrefix("line 19999 ") == true && texts.first?.hasPrefix("line 10000 ") == true)
        #expect(try fixture.onLoop { agent.warnings.allSatisfy { !$0.contains("rotate") } })
    }
}
