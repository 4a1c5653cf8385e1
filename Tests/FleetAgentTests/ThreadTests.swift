import FleetCore
import Glibc
import LinuxHost
import Synchronization
import Testing

@testable import FleetAgent

@Suite(.serialized) struct ThreadTests {
    private final class Level: Sendable {
        private let value = Mutex(0)
        func raise() { value.withLock { $0 += 1 } }
        var now: Int { value.withLock { $0 } }
        func reached(_ wanted: Int) -> Bool { eventually { now >= wanted } }
    }

    // MARK: Questions to peers

    @Test("a lane that hangs delays itself and no other")
    func lanes() {
        let threads = PeerThreads(name: "test")
        let (gate, first, second, other) = (Level(), Level(), Level(), Level())
        defer { threads.end() }
        #expect(
            threads.submit(lane: "hangs") {
                first.raise(); _ = gate.reached(1)
            })
        #expect(threads.submit(lane: "hangs") { second.raise() })
        #expect(first.reached(1))
        for _ in 0..<50 { #expect(threads.submit(lane: "answers") { other.raise() }) }
        #expect(other.reached(50) && second.now == 0)
        gate.raise()
        #expect(second.reached(1))
    }

    @Test("past the threads lanes wait, past the queue work is refused, and after the end nothing is taken")
    func bounds() {
        let threads = PeerThreads(name: "test")
        let (gate, running, late) = (Level(), Level(), Level())
        for index in 0..<PeerThreads.threadsMax {
            #expect(
                threads.submit(lane: "\(index)") {
                    running.raise(); _ = gate.reached(1)
                })
        }
        #expect(running.reached(PeerThreads.threadsMax))
        for index in 0..<PeerThreads.queueMax { #expect(threads.submit(lane: "late \(index % 7)") { late.raise() }) }
        #expect(!threads.submit(lane: "more") {} && late.now == 0)
        gate.raise()
        #expect(late.reached(PeerThreads.queueMax))
        threads.end()
        #expect(!threads.submit(lane: "more") {})
    }

    // MARK: Emergency

    /// A real process, known to the emergency thread as a launch of its own.
    private struct Victim {
        let pid: Int32
        let entry: EmergencyEntry

        init(_ service: ServiceName, killed: Bool = true) throws {
            var pid: pid_t = 0
            var argv: [UnsafeMutablePointer<CChar>?] = [strdup("/bin/sleep"), strdup("1000"), nil]
            defer { for word in argv { free(word) } }
            try #require(posix_spawn(&pid, "/bin/sleep", nil, nil, &argv, environ) == 0)
            self.pid = pid
            entry = EmergencyEntry(
                service: service, tier: "strategies", host: "st-1", emergencyKilled: killed, launch: LaunchID("launch-\(service)"), pid: pid,
                process: try PIDFD(opening: ProcessIdentity.read(pid: pid)), shimProcess: nil, shimDescriptor: -1)
        }

        var isGone: Bool { entry.isProcessGone }

        func reap() {
            kill(pid, SIGKILL)
            var status: Int32 = 0
            while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
        }
    }

    private final class Answers: Sendable {
        private let all = Mutex<[[EmergencyThread.Outcome]]>([])
        var report: EmergencyThread.Report { { outcomes, final in if final { self.all.withLock { $0.append(outcomes) } } } }
        /// The final ones, when there are so many.
        func final(_ count: Int) -> [[EmergencyThread.Outcome]] {
            _ = eventually { all.withLock { $0.count >= count } }
            return all.withLock { $0 }
        }
    }

    @Test("one latch from many paths at once gets the same answer on each, and so does one that comes later")
    func repeated() throws {
        let thread = try EmergencyThread()
        thread.start { _ in }
        defer { thread.end() }
        let (a, b, spared) = (try Victim("a"), try Victim("b"), try Victim("recorder", killed: false))
        defer { for victim in [a, b, spared] { victim.reap() } }
        for victim in [a, b, spared] { thread.put(victim.entry) }
        let answers = Answers()
        for _ in 0..<3 { thread.fire(latch: "em-1", scope: LatchScope(), report: answers.report) }
        #expect(answers.final(3).count == 3)
        // The agent forgets the launches as their shims say gone.
        for victim in [a, b] { thread.remove(victim.entry.service, launch: victim.entry.launch) }
        thread.fire(latch: "em-1", scope: LatchScope(), report: answers.report)
        for outcomes in answers.final(4) {
            #expect(outcomes.map(\.service).sorted() == ["a", "b"] && outcomes.allSatisfy(\.gone) && Set(outcomes.map(\.pid)) == [a.pid, b.pid])
        }
        #expect(!spared.isGone)
    }

    @Test("a latch that no one waits for is remembered as well, and another latch tells only of its own dead")
    func others() throws {
        let thread = try EmergencyThread()
        thread.start { _ in }
        defer { thread.end() }
        let a = try Victim("a")
        defer { a.reap() }
        thread.put(a.entry)
        thread.fire(latch: "em-1", scope: LatchScope(), report: nil)
        #expect(eventually { a.isGone })
        let (same, other) = (Answers(), Answers())
        thread.fire(latch: "em-1", scope: LatchScope(), report: same.report)
        #expect(same.final(1).first?.map(\.service) == ["a"])
        thread.remove("a", launch: a.entry.launch)
        thread.fire(latch: "em-2", scope: LatchScope(), report: other.report)
        #expect(other.final(1).first?.isEmpty == true)
    }
}
