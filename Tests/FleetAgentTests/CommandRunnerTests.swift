import FleetCore
import Glibc
import LinuxHost
import Testing

@testable import FleetAgent

struct CommandRunnerTests {
    private func sh(_ script: String, within: Duration = .seconds(10)) throws -> CommandRunner.Outcome {
        try CommandRunner(["/bin/sh", "-c", script], environment: ["PATH": "/usr/bin:/bin", "A": "b c"]).run(within: within)
    }

    @Test("its end and what it said are told")
    func ends() throws {
        #expect(try sh("echo $A; exit 0") == CommandRunner.Outcome(end: .exited(0), output: "b c"))
        #expect(try sh("echo gone >&2; exit 3").problem == "exited with status 3: gone")
        #expect(try sh("kill -TERM $$").end == .signalled(SIGTERM))
        #expect(try sh("exit 0").problem == nil)
    }

    @Test("only its own environment, no input, nothing of ours open, no signal blocked")
    func clean() throws {
        #expect(try sh("env | sort | tr '\\n' ' '").output.contains("HOME") == false)
        #expect(try sh("cat").output.isEmpty)
        #expect(try sh("echo /proc/self/fd/*").output.split(separator: " ").count <= 4)
        #expect(try sh("grep SigBlk /proc/self/status").output.hasSuffix("0000000000000000"))
        let ignored = try sh("grep SigIgn /proc/self/status").output
        #expect(ignored == "SigIgn:\t0000000000000000")
    }

    @Test("much output is read and dropped past its bound")
    func bounded() throws {
        let outcome = try sh("yes | head -c 2000000; exit 1")
        #expect(outcome.end == .exited(1) && outcome.output.utf8.count <= CommandRunner.outputMax)
    }

    @Test("past its time the whole group is killed, children that hold its output too")
    func late() throws {
        let outcome = try sh("sleep 1000 & echo $!; wait", within: .milliseconds(300))
        #expect(outcome.end == .late && outcome.problem?.hasPrefix("did not end in time and was killed") == true)
        let child = try #require(Int32(outcome.output))
        #expect(try eventually { try ProcessStat.read(pid: child).map(\.isZombie) ?? true })
    }

    @Test("what it leaves running in its group ends with it")
    func leftovers() throws {
        let outcome = try sh("sleep 1000 & echo $!")
        #expect(outcome.end == .exited(0))
        let child = try #require(Int32(outcome.output))
        #expect(try eventually { try ProcessStat.read(pid: child).map(\.isZombie) ?? true })
    }

    @Test("a program that isn't there is an error, not an end")
    func missing() {
        #expect(throws: LinuxError.self) { try CommandRunner(["/nonexistent/program"]).run(within: .seconds(1)) }
        #expect(throws: LinuxError.self) { try CommandRunner(["sh"]).run(within: .seconds(1)) }
    }

    @Test("as root it runs as another user and in its groups", .enabled(if: geteuid() == 0))
    func otherUser() throws {
        let account = try #require(try Account.named("nobody"))
        let runner = CommandRunner(["/usr/bin/id"], directory: "/", user: account.user, group: account.group, groups: account.groups)
        #expect(try runner.run(within: .seconds(10)).output.contains("uid=\(account.user)(nobody) gid=\(account.group)"))
    }
}
