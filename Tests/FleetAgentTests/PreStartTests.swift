import FleetCore
import FleetTrust
import Glibc
import LinuxHost
import Testing

@testable import FleetAgent

struct PreStartTests {
    /// A worker whose program, directories and pages are as they must be; each test spoils one thing.
    private struct Host {
        let scratch: Scratch
        var execution = ExecutionSpec()
        var release = ReleaseSpec()
        var environment: [String: String] = [:]
        var wrapper: [String] = []
        var user = FileUser(user: geteuid(), groups: [getegid()])
        var diskFreeMin: [String: UInt64] = [:]
        var sharesMount = false
        let digests = DigestCache()

        init() throws {
            scratch = try Scratch()
            chmod(scratch.path, 0o755)
            try scratch.write("bin/feed", "#!/bin/sh\n", mode: 0o755)
            try Files.makeDirectory(scratch.path + "/work", mode: 0o755)
            try Files.makeDirectory(scratch.path + "/huge", mode: 0o755)
            try pool(free: 8)
        }

        func path(_ name: String) -> String { scratch.path + "/" + name }

        func pool(free: UInt64, total: UInt64 = 8) throws {
            for directory in ["sys/kernel/mm/hugepages", "sys/devices/system/node/node0/hugepages"] {
                try scratch.write("\(directory)/hugepages-2048kB/nr_hugepages", "\(total)\n")
                try scratch.write("\(directory)/hugepages-2048kB/free_hugepages", "\(free)\n")
                try scratch.write("\(directory)/hugepages-2048kB/resv_hugepages", "0\n")
            }
        }

        /// A file that holds so many pages.
        func page(_ name: String, _ pages: Int) throws {
            try Files.writeAtomically(path("huge/\(name)"), Array(repeating: 1, count: pages << 21), sync: false)
        }

        var checks: PreStartChecks {
            PreStartChecks(
                service: "feed", command: wrapper + [path("bin/feed")], wrapperCount: wrapper.count, environment: environment, workdir: path("work"),
                execution: execution, release: release, user: user, pidFile: path("run.pid"), sharesMount: sharesMount, diskFreeMin: diskFreeMin,
                digests: digests, root: scratch.path)
        }

        var slug: String {
            do {
                _ = try checks.run()
                return "passed"
            } catch {
                return error.slug
            }
        }

        var problem: String {
            do {
                _ = try checks.run()
                return "passed"
            } catch {
                return error.description
            }
        }
    }

    @Test("with nothing in the way nothing is said")
    func passes() throws {
        let host = try Host()
        #expect(try host.checks.run().isEmpty)
    }

    @Test("a program that isn't there or may not be run is refused before anything runs")
    func program() throws {
        var host = try Host()
        chmod(host.path("bin/feed"), 0o644)
        #expect(host.slug == "not-executable" && host.problem.contains("mode 0644"), "\(host.problem)")
        chmod(host.path("bin/feed"), 0o755)
        host.wrapper = [host.path("bin/none")]
        #expect(host.problem.contains("\(host.path("bin/none")) does not exist"), "\(host.problem)")
    }

    @Test("the declared digest must be the file's, and is hashed once as long as the file stays the same")
    func digest() throws {
        var host = try Host()
        host.execution.digest = Digest.sha256Hex(Array("#!/bin/sh\n".utf8))
        #expect(host.slug == "passed" && host.slug == "passed" && host.digests.filesRead == 1)
        try host.scratch.write("bin/feed", "#!/bin/sh\nrm -rf /\n", mode: 0o755)
        #expect(host.slug == "digest-mismatch" && host.digests.filesRead == 2)
        #expect(host.problem.contains("the inventory says \(host.execution.digest?.prefix(16) ?? "")…"), "\(host.problem)")
    }

    @Test("directories must be there and writable for the worker's user, by owner, group and other, all the way")
    func directories() throws {
        var host = try Host()
        host.execution.writable = [host.path("data")]
        #expect(host.slug == "no-directory" && host.problem.contains(host.path("data")))
        try Files.makeDirectory(host.path("data"), mode: 0o755)
        #expect(host.slug == "passed")
        // As a user that is nobody here, whoever runs this test.
        host.user = FileUser(user: 54_321, groups: [54_321])
        chmod(host.path("work"), 0o777)
        chmod(host.path("data"), 0o755)
        #expect(host.slug == "not-writable" && host.problem.contains("uid 54321 may not write \(host.path("data")) (mode 0755"), "\(host.problem)")
        host.user = FileUser(user: 54_321, groups: [54_321, getegid()])
        chmod(host.path("data"), 0o775)
        #expect(host.slug == "passed", "\(host.problem)")
        // The owner's bits count for the owner, whatever others may.
        chmod(host.scratch.path, 0o700)
        #expect(host.slug == "not-executable" && host.problem.contains("may not search \(host.scratch.path)"), "\(host.problem)")
    }

    @Test("too little space is a refusal where the worker declares it and a warning where the host does")
    func space() throws {
        var host = try Host()
        host.execution.freeSpace = [host.path("work"): 1 << 60]
        #expect(host.slug == "disk-space" && host.problem.contains("needs 1048576 TiB free in \(host.path("work")), "), "\(host.problem)")
        host.execution.freeSpace = [host.path("work"): 1]
        host.diskFreeMin = [host.scratch.path: 1 << 60]
        let warnings = try host.checks.run()
        #expect(warnings.count == 1 && warnings[0].contains("the host wants 1048576 TiB"), "\(warnings)")
    }

    @Test("a lock file that is left is a refusal that says whose and what to do")
    func lock() throws {
        var host = try Host()
        host.release.lockFiles = [host.path("work/feed.lock")]
        #expect(host.slug == "passed")
        try host.scratch.write("work/feed.lock", "")
        #expect(host.slug == "leftovers" && host.problem.contains("rm \(host.path("work/feed.lock"))"), "\(host.problem)")
    }

    @Test("the worker's own PID file: a dead one is removed and told, a live one is a refusal, a number given again is dead")
    func workersPIDFile() throws {
        var host = try Host()
        let file = host.path("work/feed.pid")
        host.release.pidFile = file
        let dead = try CommandRunner(["/bin/sh", "-c", "echo $$"]).run(within: .seconds(10)).output
        try host.scratch.write("work/feed.pid", dead + "\n")
        let warnings = try host.checks.run()
        #expect(warnings.count == 1 && warnings[0].contains("PID \(dead) is gone") && !Files.exists(file), "\(warnings)")
        try host.scratch.write("work/feed.pid", "\(getppid())\n")
        #expect(host.slug == "leftovers" && host.problem.contains("names PID \(getppid()), which lives"), "\(host.problem)")
        // Written long before the process of that number began.
        var times = [timespec(tv_sec: 1_000_000_000, tv_nsec: 0), timespec(tv_sec: 1_000_000_000, tv_nsec: 0)]
        #expect(utimensat(AT_FDCWD, file, &times, 0) == 0)
        #expect(try host.checks.run().count == 1)
        try host.scratch.write("work/feed.pid", "x\n")
        #expect(host.slug == "leftovers" && host.problem.contains("holds no number"))
    }

    @Test("our PID file: a stale one is told and replaced, a live one of another launch is a refusal")
    func ourPIDFile() throws {
        let host = try Host()
        let me = try ProcessIdentity.read(pid: getpid())
        try PIDFile(me, launch: "ab12").write(host.path("run.pid"))
        #expect(host.slug == "pid-file" && host.problem.contains("PID \(getpid()), which lives and is of launch ab12"), "\(host.problem)")
        // The number is somebody's, the process another one.
        try PIDFile(ProcessIdentity(pid: me.pid, startTime: me.startTime + 1, bootID: me.bootID), launch: "ab12").write(host.path("run.pid"))
        #expect(try host.checks.run() == ["the PID file \(host.path("run.pid")) was stale (PID \(getpid()) of launch ab12) and is replaced"])
    }

    @Test("hugepages are needed per node, less those it kept, and the refusal names who holds them")
    func hugepages() throws {
        var host = try Host()
        host.release.hugepages = [HugepageCount(node: 0, pageBytes: 2 << 20, count: 4)]
        host.release.hugepageMount = host.path("huge")
        host.release.hugepageKeeps = ["rtemap_*"]
        #expect(host.slug == "passed")
        try host.pool(free: 1)
        #expect(host.problem.hasPrefix("needs 4 free 2 MiB pages on node 0, 1 of 8 is free. "), "\(host.problem)")
        try host.page("rtemap_0", 3)
        #expect(host.slug == "passed", "\(host.problem)")
        try host.page("stray", 1)
        #expect(host.slug == "leftovers" && host.problem.contains(host.path("huge/stray")), "\(host.problem)")
        // Another worker uses the mount too: what lies there may be that one's.
        host.sharesMount = true
        #expect(host.slug == "passed", "\(host.problem)")
        try host.pool(free: 0)
        #expect(host.slug == "hugepages" && host.problem.contains("needs 1 free 2 MiB pages on node 0, 0 of 8 are free; 4 are held by"), "\(host.problem)")
        host.release.hugepages = [HugepageCount(node: 1, pageBytes: 1 << 30, count: 1)]
        #expect(host.problem.contains("this host has no 1 GiB pages there"), "\(host.problem)")
    }

    @Test("an LD_PRELOAD that the loader would ignore is a warning that says so")
    func preload() throws {
        var host = try Host()
        host.user = FileUser(user: 54_321, groups: [54_321])
        chmod(host.path("work"), 0o777)
        host.environment = ["LD_PRELOAD": "libonload.so"]
        #expect(try host.checks.run().isEmpty)
        chmod(host.path("bin/feed"), 0o4755)
        #expect(try host.checks.run().first?.contains("is set-user-ID, so the loader ignores LD_PRELOAD") == true)
        host.environment = [:]
        #expect(try host.checks.run().isEmpty)
        try host.scratch.write("bin/onload", "#!/bin/sh\n", mode: 0o755)
        host.wrapper = [host.path("bin/onload"), "--profile=latency"]
        #expect(try host.checks.run().first?.contains("onload would not take effect") == true)
    }

    @Test("file capabilities are one such reason", .enabled(if: geteuid() == 0 && Files.isExecutable("/usr/sbin/setcap")))
    func capabilities() throws {
        var host = try Host()
        host.user = FileUser(user: 54_321, groups: [54_321])
        chmod(host.path("work"), 0o777)
        host.environment = ["LD_PRELOAD": "libonload.so"]
        #expect(try CommandRunner(["/usr/sbin/setcap", "cap_net_raw+ep", host.path("bin/feed")]).run(within: .seconds(10)).problem == nil)
        #expect(try host.checks.run().first?.contains("has file capabilities") == true)
    }

    @Test("a PID file says the number first and who is meant behind it; one with a number alone is understood")
    func pidFileText() throws {
        let identity = ProcessIdentity(pid: 42, startTime: 7, bootID: "b-1")
        let file = PIDFile(identity, launch: "ab12")
        #expect(file.text == "42\n# start=7 boot=b-1 launch=ab12\n" && PIDFile(file.text) == file)
        #expect(PIDFile(" 42 \r\n")?.pid == 42 && PIDFile("42\n")?.identity == nil)
        for bad in ["", "x", "-1", "0", "\n"] { #expect(PIDFile(bad) == nil, "\(bad)") }
    }

    @Test(
        "name patterns know * and ? and nothing else",
        arguments: [
            ("rtemap_*", "rtemap_0", true), ("rtemap_*", "rtemap_", true), ("rtemap_*", "xrtemap_0", false), ("*", "", true), ("?", "", false),
            ("a?c", "abc", true), ("a*c*e", "abcde", true), ("a*c*e", "abcd", false), ("[a]", "a", false), ("*_0", "a_1_0", true),
        ])
    func patterns(pattern: String, name: String, matches: Bool) {
        #expect(NamePattern.matches(pattern, name) == matches)
    }
}
