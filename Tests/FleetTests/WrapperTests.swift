import Foundation
import Glibc
import TestSupport
import Testing

/// A shell that ends before the program which it has started: the grace is the program's as well.
@Suite(.serialized) struct WrapperTests {
    /// Two ways in which a shell leaves its program behind at SIGTERM.
    enum Shell: CaseIterable, Sendable {
        /// `trap … ; program & wait`
        case trap
        /// `sh -c` without exec: it dies of the signal.
        case plain

        func script(_ program: String) -> String {
            switch self {
            case .trap: "\(program) & trap 'exit 0' TERM; wait"
            case .plain: "\(program); true"
            }
        }
    }

    /// It writes down every signal that it hears, needs 1 s to flush, and says when it has.
    private static let flushing = """
        #!/bin/sh
        trap 'echo TERM >> "$1.heard"; sleep 1; echo flushed >> "$1.heard"; exit 0' TERM
        echo $$ > "$1.pid"
        while :; do sleep 1000 & wait $!; done
        """
    private static let deaf = """
        #!/bin/sh
        trap '' TERM
        echo $$ > "$1.pid"
        exec sleep 1000
        """

    private func fleet(_ program: String, _ shell: Shell = .trap, stop: String) throws -> TestFleet {
        let fleet = try TestFleet(hosts: ["ex-1"], tiers: ["execution"]) { directory in
            """
              order-gateway:
                tier: execution
                hosts: [ex-1]
                run: [/bin/sh, -c, "\(shell.script("\(directory)/program.sh \(directory)/gateway"))"]
                ready: {delay: 1ms}
                stop: {\(stop)}
            """
        }
        return try fleet.begun { fleet in
            try program.write(toFile: fleet.work + "/program.sh", atomically: true, encoding: .utf8)
            chmod(fleet.work + "/program.sh", 0o755)
            fleet.flags += ["--program-dir", "/bin"]
            try fleet.beginWithoutRelay()
            #expect(try fleet.trading("start", "--all", "--reason", "test").status == 0, "\(fleet.logs)")
            #expect(try eventually(within: 10) { try pid(of: fleet) != nil })
        }
    }

    private func pid(of fleet: TestFleet) throws -> Int32? {
        guard FileManager.default.fileExists(atPath: fleet.work + "/gateway.pid") else { return nil }
        return Int32(try String(contentsOfFile: fleet.work + "/gateway.pid", encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines))
    }

    @Test("the program under a wrapper is told and has its grace: it flushes, nothing is killed, and the stop is proven", arguments: Shell.allCases)
    func flushes(shell: Shell) throws {
        let fleet = try fleet(Self.flushing, shell, stop: "grace: 10s, extend_to: 10s, then: hold")
        defer { fleet.end() }
        let program = try #require(try pid(of: fleet))
        let stop = try fleet.trading("stop", "--all", "--reason", "end of day")
        #expect(stop.text.contains("Killed: none"), "\(stop.text)")
        // The shell without a trap ends by the stop signal itself, which is that signal's own result.
        #expect(stop.status == 0 && stop.text.contains("verdict: proven"), "\(stop.text)")
        #expect(try String(contentsOfFile: fleet.work + "/gateway.heard", encoding: .utf8) == "TERM\nflushed\n")
        #expect(!isAlive(program))
        try fleet.verifyAudits()
    }

    @Test("a program that outlives its wrapper and the grace is held, and killed by a person's word alone; the certificate counts it")
    func held() throws {
        let fleet = try fleet(Self.deaf, stop: "grace: 300ms, extend_to: 300ms, then: hold")
        defer { fleet.end() }
        let program = try #require(try pid(of: fleet))
        let stop = try fleet.background("stop", "--all", "--reason", "end of day")
        defer { stop.end() }
        #expect(try eventually(within: 10) { try fleet.state("order-gateway") == "HELD" }, "\(stop.log)")
        #expect(isAlive(program))
        #expect(try fleet.trading("hold", "release", "order-gateway@ex-1", "--kill", "--reason", "flat").status == 0)
        #expect(eventually(within: 20) { !stop.process.isRunning }, "\(stop.log)")
        #expect(!isAlive(program) && stop.log.contains("verdict: unproven"), "\(stop.log)")
        // The wrapper itself had ended by then.
        #expect(flat(stop.log).contains("Killed: 1 child of order-gateway@ex-1"), "\(stop.log)")
    }

    @Test("killed at the grace it is on record with what it was told, and the stop is unproven")
    func killedAtGrace() throws {
        let fleet = try fleet(Self.deaf, stop: "grace: 300ms, extend_to: 300ms, then: kill")
        defer { fleet.end() }
        let stop = try fleet.trading("stop", "--all", "--reason", "end of day")
        #expect(stop.text.contains("verdict: unproven") && flat(stop.text).contains("1 child of order-gateway@ex-1"), "\(stop.text)")
        let end = try #require(try fleet.audit("ex-1").last { $0["event"] as? String == "WORKER_STOP" }?["fields"] as? [String: Any])
        #expect(end["tree_left"] as? String == "1" && end["tree_killed"] as? String == "1" && end["tree_untold"] as? String == "0", "\(end)")
    }

    @Test("with tree: kill what a wrapper leaves is killed at once, as declared: proven, and the certificate says so")
    func declared() throws {
        let fleet = try fleet(Self.flushing, stop: "grace: 10s, extend_to: 10s, then: hold, tree: kill")
        defer { fleet.end() }
        let stop = try fleet.trading("stop", "--all", "--reason", "end of day")
        #expect(stop.status == 0 && stop.text.contains("verdict: proven"), "\(stop.text)")
        #expect(flat(stop.text).contains("children of order-gateway@ex-1") && flat(stop.text).contains("as declared"), "\(stop.text)")
        #expect(!FileManager.default.fileExists(atPath: fleet.work + "/gateway.heard"))
    }

    @Test("a program whose wrapper crashes is told and has a short grace, and the record says so")
    func crashed() throws {
        let fleet = try fleet(Self.flushing, stop: "grace: 10s, extend_to: 10s, then: hold")
        defer { fleet.end() }
        let program = try #require(try pid(of: fleet))
        #expect(kill(try fleet.pid("order-gateway"), SIGKILL) == 0)
        #expect(eventually(within: 10) { !isAlive(program) })
        #expect(try String(contentsOfFile: fleet.work + "/gateway.heard", encoding: .utf8) == "TERM\nflushed\n")
        #expect(try eventually(within: 10) { try fleet.audit("ex-1").contains { $0["event"] as? String == "WORKER_EXIT" } })
        let end = try #require(try fleet.audit("ex-1").last { $0["event"] as? String == "WORKER_EXIT" }?["fields"] as? [String: Any])
        #expect(end["exit"] as? String == "signal 9" && end["tree_killed"] as? String == "0", "\(end)")
    }
}
