import FleetCore
import FleetInventory
import Testing

@Suite("How a worker's health shows, and what its end must leave")
struct HealthKeyTests {
    private func feed(_ lines: String) throws -> ServiceSpec {
        try #require(try Fleet(feed: "    " + lines).load().service("feed"))
    }

    @Test("several ways may stand beside each other, with one rhythm")
    func ways() throws {
        let service = try feed(
            "health: {notify_watchdog: 500ms, http: {url: \"http://127.0.0.1:80/$host\", pointer: /mode, is: ok}, exec: [/bin/check, $state], "
                + "tcp: \"127.0.0.1:8081\", every: 2s, timeout: 500ms, failures: 5, successes: 2}"
        ).substituted(for: "md-1")
        #expect(service.watchdog == .milliseconds(500))
        #expect(
            service.health.map(\.how) == [
                .http(HTTPProbeSpec(url: "http://127.0.0.1:80/md-1", pointer: "/mode", equals: "\"ok\"")), .exec(["/bin/check", "$state"]),
                .tcp("127.0.0.1:8081"),
            ])
        #expect(service.health.allSatisfy { $0.every == .seconds(2) && $0.timeout == .milliseconds(500) && $0.failures == 5 && $0.successes == 2 })
        let plain = try feed("health: {http: \"http://127.0.0.1:80/up\", every: 200ms}").health[0]
        #expect(plain.how == .http(HTTPProbeSpec(url: "http://127.0.0.1:80/up", pointer: "")))
        #expect(plain.timeout == .milliseconds(200) && plain.failures == 3 && plain.successes == 1)
        #expect(try feed("health: {http: {url: \"http://127.0.0.1:80/up\"}}").health[0].how == .http(HTTPProbeSpec(url: "http://127.0.0.1:80/up", pointer: "")))
    }

    @Test(
        "what would not be a check is refused",
        arguments: [
            ("{notify_watchdog: 50ms}", "50ms", "too short", "at least 100ms"),
            ("{every: 5s}", "{every", "health does not say how it shows", "notify_watchdog"),
            ("{http: \"http://10.0.0.1:80/\"}", "\"http", "not loopback", "127.0.0.1"),
            ("{http: {pointer: /x, is: 0}}", "{pointer", "health.http has no url", "url:"),
            ("{http: {url: \"http://127.0.0.1/\", is: 0}}", "{url", "health.http has no pointer", "pointer:"),
            ("{tcp: \"10.0.0.9:80\"}", "\"10.0.0.9", "not loopback", "\"127.0.0.1:80\""),
            ("{tcp: \"127.0.0.1\"}", "\"127.0.0.1\"", "without a port", "7443"),
            ("{exec: []}", "[]", "health.exec is empty", "/path/to/program"),
            ("{exec: [bin/check]}", "[bin/check]", "a relative path", "absolute"),
            ("{exec: [/c], failures: 0}", "0}", "health.failures is 0", "from 1 to"),
            ("{exec: [/c], every: 2s, timeout: 3s}", "3s", "health.timeout is longer than health.every (line 17) of 2s", "at most 2s"),
            ("{exec: [/c], timeout: 6s}", "6s", "longer than health.every of 5s", "at most 5s"),
            ("{notify-watchdog: 5s}", "notify-watchdog", "unknown key", "write notify_watchdog"),
        ])
    func refused(value: String, place: String, what: String, instead: String) {
        expectOne(Fleet(feed: "    health: \(value)").text, at: place, what, instead)
    }

    @Test("what its end must leave is read")
    func release() throws {
        let release = try feed(
            """
            sockets: onload
                lock_files: [$state/lock, /run/$service.lock]
                pid_file: /run/feed/$host.pid
                marker: {file: $state/clean}
                core: {on_stop: kill-dump}
            """
        ).substituted(for: "md-1").release
        var wanted = ReleaseSpec()
        wanted.sockets = .onload
        wanted.lockFiles = ["$state/lock", "/run/feed.lock"]
        wanted.pidFile = "/run/feed/md-1.pid"
        wanted.markerFile = "$state/clean"
        wanted.coreDump = .killDump
        #expect(release == wanted)
    }

    @Test(
        "and what says nothing is refused",
        arguments: [
            ("sockets: onlaod", "onlaod", "sockets is onlaod", "write onload"),
            ("marker: {notify: x}", "notify: x", "unknown key notify in marker", "known here: file"),
            ("core: {on_stop: kill}", "kill}", "core.on_stop is kill", "wait or kill-dump"),
            ("pid_file: feed.pid", "feed.pid", "a relative path", "$state/feed.pid"),
            ("quiesce: {exec: [/q], signal: USR1}", "[/q]", "quiesce says two ways", "either signal or exec"),
            ("quiesce: {exec: []}", "[]", "quiesce.exec is empty", "/path"),
            ("quiesce: {exec: [/q, $hots]}", "$hots", "$hots stands for nothing", "write $host"),
        ])
    func releaseRefused(line: String, place: String, what: String, instead: String) {
        expectOne(Fleet(feed: "    \(line)").text, at: place, what, instead)
    }

    @Test("a program may quiesce and resume, by its arguments alone")
    func exec() throws {
        let inventory = try Fleet(
            feed: "    quiesce: {exec: [/bin/ctl, pause, $host], done: {notify: X_QUIESCED=1}, within: 5s}\n    resume: {signal: USR2}",
            services: "  feed-2: {like: feed, quiesce: {http: \"POST http://127.0.0.1:80/q\"}}"
        ).load()
        let feed = try #require(inventory.service("feed")).substituted(for: "md-1")
        #expect(feed.quiesce == ActionSpec(how: .exec(["/bin/ctl", "pause", "md-1"]), done: .notify("X_QUIESCED=1"), within: .seconds(5)))
        #expect(inventory.service("feed-2")?.quiesce?.how == .http(method: "POST", url: "http://127.0.0.1:80/q"))
        #expect(inventory.service("feed-2")?.quiesce?.done == nil)
    }
}
