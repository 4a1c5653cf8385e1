import Glibc
import LinuxHost
import Testing

@testable import FleetAgent

/// What an inventory, or a worker in its own directory, may try to have shown.
struct LogReachTests {
    /// `state/workers/feed` of the worker, `log` where logs may lie, `secret/shadow` for nobody.
    private struct Host {
        let scratch: Scratch
        var own: String { scratch.path + "/state/workers/feed" }
        var log: String { scratch.path + "/log" }
        var secret: String { scratch.path + "/secret" }

        init() throws {
            scratch = try Scratch()
            try scratch.write("state/workers/feed/own.log", "own\n")
            try scratch.write("log/feed-1.log", "one\n")
            try scratch.write("log/feed-2.log", "two\n")
            try scratch.write("logs/near.log", "near\n")
            try scratch.write("secret/shadow", "root:secret\n")
        }

        func reach(user: UInt32? = nil, groups: [UInt32] = [], agent: UInt32 = geteuid()) -> LogReach {
            LogReach(own: own, declared: [log], runAs: ProgramPolicy.RunAs(user: user, groups: groups), settingsFile: "/etc/agent.conf", agent: agent)
        }

        func text(_ reach: LogReach, _ path: String) throws -> String? {
            guard let file = try reach.open(path) else { return nil }
            return String(decoding: try file.read(at: 0, 100), as: UTF8.self)
        }

        /// Neither shown as what a pattern stands for, nor opened by its name.
        func isRefused(_ reach: LogReach, _ pattern: String) -> Bool {
            let found = reach.files(pattern, count: 32)
            guard found.paths.isEmpty, let refusal = found.refusal, !refusal.description.contains("root:") else { return false }
            do { return try reach.open(pattern) == nil } catch { return true }
        }
    }

    @Test("a worker's own directory and the declared ones are read, by name and by pattern")
    func allowed() throws {
        let host = try Host()
        let reach = host.reach()
        #expect(reach.files(host.log + "/feed-*.log", count: 32).paths == [host.log + "/feed-1.log", host.log + "/feed-2.log"])
        #expect(reach.files(host.log + "/*", count: 1).paths.count == 1)
        #expect(try host.text(reach, host.own + "/own.log") == "own\n")
        // Not there yet is no refusal: it is read once it is.
        #expect(reach.files(host.own + "/later.log", count: 32) == (paths: [host.own + "/later.log"], refusal: nil))
        #expect(try host.text(reach, host.own + "/later.log") == nil)
    }

    @Test("what lies outside is refused by its words alone, whether it is there or not, in a sentence that says what to write")
    func outside() throws {
        let host = try Host()
        let reach = host.reach()
        for path in [
            host.secret + "/shadow", host.secret + "/none", host.log + "/../secret/shadow", host.log + "/./feed-1.log",
            host.scratch.path + "/*/shadow", host.scratch.path + "/lo*/feed-1.log", host.scratch.path + "/logs/near.log", host.log, host.log + "/", "/",
            "", "*", "etc/shadow", "/etc/shadow", "/proc/self/environ", host.own + "/../../../secret/shadow",
            host.log + "/*/../../secret/shadow",
        ] {
            #expect(host.isRefused(reach, path), "\(path)")
        }
        // Its brackets stand for no dot at the front of a name (glob(7)).
        #expect(reach.files(host.log + "/[.][.]/secret/shadow", count: 32).paths.isEmpty)
        let refusal = try #require(reach.files(host.secret + "/shadow", count: 32).refusal)
        #expect(
            refusal.description == "\(host.secret)/shadow lies outside of where this host lets workers' own logs be read (\(host.own), \(host.log)): "
                + "not read. Add `allow-log-dir = DIR` to /etc/agent.conf, or correct logs.files in the inventory")
    }

    @Test("a link to what lies outside opens nothing, at the end of a path, in its middle, or chained, and its names are not told")
    func links() throws {
        let host = try Host()
        let reach = host.reach()
        try host.scratch.link("log/a.log", to: host.secret + "/shadow")
        try host.scratch.link("log/relative.log", to: "../secret/shadow")
        try host.scratch.link("log/chained.log", to: host.log + "/a.log")
        try host.scratch.link("log/away", to: host.secret)
        try host.scratch.link("state/workers/feed/up", to: "../../..")
        for path in ["a.log", "relative.log", "chained.log", "away/shadow", "away/*", "away/s*"] {
            #expect(host.isRefused(reach, host.log + "/" + path), "\(path)")
        }
        #expect(host.isRefused(reach, host.own + "/up/secret/shadow") && host.isRefused(reach, host.own + "/*/secret/sh*"))
        let found = reach.files(host.log + "/*", count: 32)
        #expect(found.paths == [host.log + "/feed-1.log", host.log + "/feed-2.log"] || !found.paths.contains { $0.contains("shadow") })
        #expect(reach.files(host.log + "/away/*", count: 32).refusal?.description.contains("shadow") == false)
        // One that stays within is what logs are linked by.
        try host.scratch.link("log/current.log", to: host.log + "/feed-2.log")
        try host.scratch.link("log/latest.log", to: "feed-2.log")
        for path in ["current.log", "latest.log"] { #expect(try host.text(reach, host.log + "/" + path) == "two\n") }
    }

    @Test("a directory that is declared by a link is the one that it leads to")
    func declaredLink() throws {
        let host = try Host()
        try host.scratch.link("by-name", to: host.log)
        let reach = LogReach(own: host.own, declared: [host.scratch.path + "/by-name"], runAs: ProgramPolicy.RunAs())
        for path in ["/by-name/feed-1.log", "/log/feed-1.log"] { #expect(try host.text(reach, host.scratch.path + path) == "one\n") }
    }

    @Test("no device, pipe, socket or directory is opened")
    func kinds() throws {
        let host = try Host()
        let reach = host.reach()
        #expect(mkfifo(host.log + "/pipe.log", 0o644) == 0)
        try Files.makeDirectory(host.log + "/dir.log", mode: 0o755)
        for path in ["pipe.log", "dir.log"] { #expect(try host.text(reach, host.log + "/" + path) == nil) }
        let devices = LogReach(own: host.own, declared: ["/dev"], runAs: ProgramPolicy.RunAs())
        #expect(try host.text(devices, "/dev/zero") == nil)
    }

    @Test("what the worker's user may not read is not read for it: by the file's mode, by a directory on the way, through a hard link")
    func reader() throws {
        let host = try Host()
        try host.scratch.write("log/private.log", "private\n", mode: 0o600)
        try host.scratch.write("log/group.log", "group\n", mode: 0o640)
        try host.scratch.write("log/closed/open.log", "open\n")
        #expect(chmod(host.log + "/closed", 0o700) == 0)
        #expect(chmod(host.secret + "/shadow", 0o600) == 0 && link(host.secret + "/shadow", host.own + "/hard.log") == 0)
        // The agent is somebody else: what its kernel would let it read decides nothing.
        let other = host.reach(user: 40_001, agent: 40_002)
        #expect(try host.text(other, host.log + "/feed-1.log") == "one\n")
        for path in [host.log + "/private.log", host.log + "/group.log", host.log + "/closed/open.log", host.own + "/hard.log"] {
            #expect(host.isRefused(other, path), "\(path)")
        }
        #expect(try host.text(host.reach(user: 40_001, groups: [getegid()], agent: 40_002), host.log + "/group.log") == "group\n")
        let owner = host.reach(user: geteuid(), agent: 40_002)
        #expect(try host.text(owner, host.log + "/private.log") == "private\n")
    }

    @Test("without a setting it is /var/log for workers that don't run as root, and for one that does its own directory alone")
    func defaults() {
        func directories(user: UInt32?, agent: UInt32, declared: [String] = []) -> [String] {
            LogReach(own: "/own", declared: declared, runAs: ProgramPolicy.RunAs(user: user), agent: agent).directories
        }
        #expect(directories(user: 1_000, agent: 0) == ["/own", "/var/log"])
        #expect(directories(user: nil, agent: 1_000) == ["/own", "/var/log"])
        #expect(directories(user: nil, agent: 0) == ["/own"] && directories(user: 0, agent: 0) == ["/own"])
        #expect(directories(user: nil, agent: 0, declared: ["/srv/log"]) == ["/own", "/srv/log"])
    }

    @Test("a file that is exchanged for a link while it is followed is not followed there")
    func exchanged() throws {
        let host = try Host()
        let path = host.log + "/feed-1.log"
        var tail = LogTail(service: "feed", path: path, isError: false, file: path, reach: host.reach())
        #expect(tail.last(10).map { String(decoding: $0.text, as: UTF8.self) } == ["one"])
        #expect(unlink(path) == 0)
        try host.scratch.link("log/feed-1.log", to: host.secret + "/shadow")
        #expect(tail.growth().isEmpty && tail.last(10).isEmpty)
    }

    @Test("the walk itself takes no way out: no part that is a link, empty or two dots")
    func walk() throws {
        let host = try Host()
        try host.scratch.link("log/away", to: host.secret)
        func open(_ path: String) throws -> Bool { try SparseFile(existing: path, below: host.log, readableBy: nil) != nil }
        #expect(try open(host.log + "/feed-1.log") && !open(host.log + "/away/shadow"))
        for path in [host.log + "/../secret/shadow", host.log, host.log + "//feed-1.log", host.secret + "/shadow", host.log + "s/near.log"] {
            #expect(throws: LinuxError.self, "\(path)") { try open(path) }
        }
    }
}
