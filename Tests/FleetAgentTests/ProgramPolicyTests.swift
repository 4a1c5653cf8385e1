import Glibc
import LinuxHost
import Testing

@testable import FleetAgent

struct ProgramPolicyTests {
    /// `bin` with the programs `feed` and `numactl`, `out/tool` outside of it.
    private struct Host {
        let scratch: Scratch
        let policy: ProgramPolicy
        var bin: String { scratch.path + "/bin" }
        var out: String { scratch.path + "/out" }

        init(allowed: [String]? = nil, users: [String] = []) throws {
            scratch = try Scratch()
            for name in ["bin/feed", "bin/numactl", "bin/chrt", "out/tool"] { try scratch.write(name, "#!/bin/sh\n", mode: 0o755) }
            let bin = scratch.path + "/bin"
            policy = ProgramPolicy(programDirectories: [bin], allowedDirectories: allowed ?? [bin], allowedUsers: users)
        }

        func refusal(_ arguments: String...) -> String {
            do {
                return "ran \(try policy.command(arguments))"
            } catch {
                return "\(error)"
            }
        }
    }

    @Test("a bare name is one of the host's own programs, or none")
    func bare() throws {
        let host = try Host()
        #expect(try host.policy.command(["feed", "--x"]) == [host.bin + "/feed", "--x"])
        #expect(host.refusal("tool").contains("no program \"tool\" on this host (looked in \(host.bin))"))
        for name in ["..", ".", ""] { #expect(host.refusal(name).contains("no program"), "\(name)") }
        try host.scratch.write("bin/data", "x")
        #expect(host.refusal("data").contains("no program"))
        let none = ProgramPolicy(programDirectories: [], allowedDirectories: ["/"], allowedUsers: [])
        #expect(throws: ProgramPolicy.Refusal.self) { try none.program("sh") }
    }

    @Test("an absolute path must lie below an allowed directory, however it is written")
    func outside() throws {
        let host = try Host()
        #expect(try host.policy.program(host.bin + "/feed") == host.bin + "/feed")
        #expect(host.refusal(host.out + "/tool").contains("lies outside what this host lets run"))
        #expect(host.refusal(host.bin + "/../out/tool").contains("lies outside"))
        #expect(host.refusal(host.bin + "/none").contains("cannot run"))
        #expect(host.refusal(host.bin).contains("lies outside"))
        // A directory whose name only begins like an allowed one.
        try host.scratch.write("bin2/feed", "#!/bin/sh\n", mode: 0o755)
        #expect(host.refusal(host.scratch.path + "/bin2/feed").contains("lies outside"))
        for path in ["./feed", "bin/feed", "../bin/feed"] { #expect(host.refusal(path).contains("relative path")) }
    }

    @Test("a link out of an allowed directory is followed before it is judged, bare or not; one into it is fine")
    func links() throws {
        let host = try Host()
        let link = try host.scratch.link("bin/escape", to: host.out + "/tool")
        #expect(host.refusal(link).contains("lies outside"))
        #expect(host.refusal("escape").contains("lies outside"))
        let inward = try host.scratch.link("out/feed", to: host.bin + "/feed")
        #expect(try host.policy.program(inward) == inward)
        try host.scratch.link("alias", to: host.bin)
        let aliased = ProgramPolicy(programDirectories: [], allowedDirectories: [host.scratch.path + "/alias"], allowedUsers: [])
        #expect(try aliased.program(host.bin + "/feed") == host.bin + "/feed")
    }

    @Test("with nothing allowed nothing absolute runs; what is no program doesn't either")
    func nothing() throws {
        let host = try Host(allowed: [])
        #expect(host.refusal(host.bin + "/feed").contains("lies outside"))
        let data = try host.scratch.write("bin/data", "x")
        #expect(throws: ProgramPolicy.Refusal.self) { try Host().policy.program(data) }
    }

    @Test("a secret is handed over from where the host says, and from nowhere that a link leads to")
    func secrets() throws {
        let host = try Host()
        let (fix, shadow) = (try host.scratch.write("secrets/fix", "x"), try host.scratch.write("etc/shadow", "root:x"))
        var policy = host.policy
        policy.settingsFile = "/etc/trading/agent.conf"
        policy.allowedSecretDirectories = [host.scratch.path + "/secrets"]
        #expect(try policy.secret(fix) == fix)
        let inward = try host.scratch.link("alias", to: fix)
        #expect(try policy.secret(inward) == fix)
        let outward = try host.scratch.link("secrets/away", to: shadow)
        for path in [shadow, outward, host.scratch.path + "/secrets/../etc/shadow", host.scratch.path + "/secretsX", host.scratch.path + "/secrets/none"] {
            #expect(throws: ProgramPolicy.Refusal.self, "\(path)") { try policy.secret(path) }
        }
        let refusal = #expect(throws: ProgramPolicy.Refusal.self) { try policy.secret(shadow) }
        #expect(
            refusal?.description == "the secret \(shadow) lies outside of what this host hands to workers (\(host.scratch.path)/secrets). "
                + "Add `allow-secret-dir = \(host.scratch.path)/etc` to /etc/trading/agent.conf, or correct the inventory")
        policy.allowedSecretDirectories = []
        #expect(throws: ProgramPolicy.Refusal.self) { try policy.secret(fix) }
    }

    // MARK: Wrappers

    @Test("the program behind a known wrapper is judged and looked up like any other")
    func wrapped() throws {
        let host = try Host()
        #expect(
            try host.policy.command(["numactl", "--membind=0", "-C", "1-2", "chrt", "-f", "50", "feed", "--numactl"])
                == [host.bin + "/numactl", "--membind=0", "-C", "1-2", host.bin + "/chrt", "-f", "50", host.bin + "/feed", "--numactl"])
        #expect(host.refusal("numactl", "--membind=0", host.out + "/tool").contains("\(host.out)/tool lies outside"))
        #expect(host.refusal("numactl", "-l", "chrt", "-f", "50", "/bin/sh", "-c", "true").contains("lies outside"))
        #expect(host.refusal("numactl", "sh").contains("no program \"sh\""))
        #expect(host.refusal(host.bin + "/numactl", "--", host.bin + "/../out/tool").contains("lies outside"))
    }

    @Test("a wrapper's words that can't be understood are refused, never guessed at")
    func misunderstood() throws {
        let host = try Host()
        #expect(host.refusal("numactl", "--strange", "feed").contains("\"--strange\", which this agent doesn't know"))
        #expect(host.refusal("numactl", "--membind=0").contains("nothing to run"))
        #expect(host.refusal("numactl", "--membind").contains("nothing to run"))
    }

    @Test(
        "where the program begins behind each wrapper",
        arguments: [
            (["feed", "numactl", "x"], [0]), (["/usr/bin/taskset", "-c", "0-3", "feed"], [0, 3]), (["taskset", "-ac", "2", "feed"], [0, 3]),
            (["chrt", "-b", "0", "feed"], [0, 3]), (["chrt", "--idle", "feed"], [0, 2]), (["chrt", "-D5000", "-d", "0", "feed"], [0, 4]),
            (["nice", "-n", "5", "feed"], [0, 3]), (["nice", "-5", "feed"], [0, 2]), (["nice", "--adjustment=-5", "feed"], [0, 2]),
            (["env", "-i", "A=b", "C=d=e", "feed", "F=g"], [0, 4]), (["ionice", "-c2", "-n", "0", "nohup", "feed"], [0, 4, 5]),
            (["prlimit", "--memlock=unlimited", "setsid", "-w", "feed"], [0, 2, 4]), (["timeout", "-s", "TERM", "60", "feed"], [0, 4]),
            (["stdbuf", "-oL", "feed"], [0, 2]),
        ])
    func positions(arguments: [String], programs: [Int]) throws {
        #expect(try WrapperCommand(arguments).programs == programs)
    }

    @Test("env can't hide a program in one string")
    func splitString() {
        #expect(throws: WrapperCommand.Fault.self) { try WrapperCommand(["env", "-S", "/bin/sh -c x"]) }
        #expect(throws: WrapperCommand.Fault.self) { try WrapperCommand(["env", "--split-string=/bin/sh", "feed"]) }
    }

    // MARK: Users

    @Test("users must exist and be allowed; nobody is the agent's own")
    func users() throws {
        let host = try Host(users: ["nobody"])
        #expect(try host.policy.runAs(user: "", group: "") == ProgramPolicy.RunAs())
        #expect(throws: ProgramPolicy.Refusal.self) { try host.policy.runAs(user: "no-such-user-x", group: "") }
        #expect(throws: ProgramPolicy.Refusal.self) { try host.policy.runAs(user: "", group: "no-such-group-x") }
        let nobody = try #require(try Account.named("nobody"))
        if geteuid() == 0 {
            #expect(try host.policy.runAs(user: "nobody", group: "").user == nobody.user)
            #expect(throws: ProgramPolicy.Refusal.self) { try host.policy.runAs(user: "daemon", group: "") }
            // The agent's own account needs no leave.
            #expect(try host.policy.runAs(user: "root", group: "").user == nil)
        } else {
            #expect(throws: ProgramPolicy.Refusal.self) { try host.policy.runAs(user: "nobody", group: "") }
        }
    }

    @Test("the program behind the declared wrapper is judged, whatever the wrapper is")
    func behindWrapper() throws {
        let host = try Host()
        try host.scratch.write("bin/own-wrapper", "#!/bin/sh\n", mode: 0o755)
        let words = [host.bin + "/own-wrapper", "-x", host.out + "/tool"]
        #expect(try host.policy.command(words) == words)
        #expect(throws: ProgramPolicy.Refusal.self) { try host.policy.command(words, wrapperCount: 2) }
        #expect(try host.policy.command(["own-wrapper", "feed"], wrapperCount: 1) == [host.bin + "/own-wrapper", host.bin + "/feed"])
    }

    @Test("capabilities and real-time priorities are refused with the setting and the file that would allow them")
    func privileges() {
        var policy = ProgramPolicy(programDirectories: [], allowedDirectories: [], allowedUsers: [])
        policy.settingsFile = "/etc/trading/agent.conf"
        func refusal(_ capabilities: [String], _ realtime: Int? = nil, _ limit: UInt64? = nil) -> String? {
            policy.refusal(capabilities: capabilities, realtime: realtime, realtimeLimit: limit)?.description
        }
        #expect(refusal([]) == nil)
        #expect(refusal(["net_raw"])?.contains("Add `allow-capability = net_raw` to /etc/trading/agent.conf") == true)
        #expect(refusal([], 50)?.contains("Add `allow-realtime = 50` to /etc/trading/agent.conf") == true)
        #expect(refusal([], nil, .max)?.contains("its limit rtprio is unlimited") == true)
        policy.allowedCapabilities = ["net_raw"]
        policy.realtimeMax = 50
        #expect(refusal(["net_raw"], 50, 50) == nil)
        #expect(refusal(["net_raw", "sys_admin"])?.contains("sys_admin") == true)
        #expect(refusal([], 51)?.contains("real-time priorities up to 50 only") == true)
    }
}
