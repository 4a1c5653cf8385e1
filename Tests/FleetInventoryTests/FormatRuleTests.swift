import FleetCore
import Testing

@testable import FleetInventory

@Suite("The format's rules")
struct FormatRuleTests {
    @Test("the fleet that the tests start from is in order")
    func inOrder() throws {
        let inventory = try Fleet().load()
        #expect(inventory.services.map(\.name) == ["feed", "recorder", "strategy", "gateway"])
        #expect(inventory.emergencyStop.kills == ["market-data", "strategies", "execution"])
        #expect(inventory.timezone == "UTC" && inventory.digest.isEmpty)
    }

    @Test("a time zone that the system does not have is an error with the nearest one; without a list of them any goes")
    func timezones() {
        func fault(_ zone: String, _ zones: [String]?) -> InventoryError? {
            do throws(InventoryErrors) {
                _ = try InventoryLoader.load(text: Fleet(more: "timezone: \(zone)").text, file: "fleet.yaml", zones: { zones })
                return nil
            } catch { return error.errors.first }
        }
        let zones = ["Europe/London", "America/New_York"]
        #expect(fault("Europe/Lodnon", zones)?.instead == "write Europe/London")
        #expect(fault("Mars/Olympus", zones)?.what.contains("Mars/Olympus") == true)
        #expect(fault("Mars/Olympus", nil) == nil && fault("America/New_York", zones) == nil && fault("UTC", zones) == nil)
        #expect(fault("+01:00", nil) != nil)
        // The list itself, where there is one.
        #expect(TimeZoneNames.system("/nowhere") == nil)
        if let system = TimeZoneNames.system() { #expect(system.contains("Europe/London") && system.contains("America/Argentina/Buenos_Aires")) }
    }

    @Test("what no shim could launch is refused at the check: too many arguments, too large an environment")
    func launchSize() {
        let many = (0..<2_000).map { "a\($0)" }.joined(separator: ", ")
        let text = Fleet(services: "  big: {tier: execution, hosts: [ex-1], run: [/opt/big, \(many)]}").text
        #expect(faults(of: text).map(\.what) == ["more than 1024 arguments or environment variables: no shim takes so many"])
        let large = Fleet(services: "  big: {tier: execution, hosts: [ex-1], run: [/opt/big], env: {A: \(String(repeating: "x", count: 300_000))}}").text
        #expect(faults(of: large).count == 1 && faults(of: large).first?.what.contains("larger than the 224 KiB") == true)
    }

    // MARK: YAML

    @Test("a file of another system is read, its places are true", arguments: ["\n", "\r\n"], ["", "\u{FEFF}"])
    func otherSystems(end: String, mark: String) throws {
        func written(_ fleet: Fleet) -> String { mark + fleet.text.replacing("\n", with: end) }
        #expect(try InventoryLoader.load(text: written(Fleet()), file: "fleet.yaml").services.count == 4)
        let faulty = Fleet(feed: "    workdir: !!str /x")
        let found = faults(of: written(faulty))
        #expect(found.count == 1 && found.first?.position == position(of: "!!str", in: faulty.text), "\(found)")
    }

    @Test("of more repeated keys than are looked for the first are listed, with their names")
    func manyRepeatedKeys() {
        let twice = (1...80).map { "    k\($0): {A: b, A: c}" }.joined(separator: "\n")
        let faults = Fleet(feed: twice).faults()
        #expect(faults.count == 65 && faults.count { $0.what == "the key A stands twice" } == 64, "\(faults.map(\.what).prefix(5))")
    }

    @Test("an anchor and its alias are refused")
    func anchors() {
        expectOne(Fleet(feed: "    env: &e {A: b}").text, at: "&e", "anchors", "like:")
        expectOne(Fleet(feed: "    workdir: &w /x").text, at: "&w", "anchors", "like:")
        let both = Fleet(feed: "    env: &e {A: b}", recorder: "    env: *e")
        #expect(both.faults().map(\.what) == ["anchors and aliases are not allowed"])
        expectOne(Fleet(feed: "    env: *nothing").text, at: "*nothing", "aliases", "like:")
    }

    @Test("a tag is refused")
    func tags() {
        expectOne(Fleet(feed: "    workdir: !!str /x").text, at: "!!str", "tags", "without it")
        expectOne(Fleet(feed: "    env: !map {A: b}").text, at: "!map", "tags", "without it")
    }

    @Test("a merge key is refused")
    func mergeKeys() {
        expectOne(Fleet(feed: "    env:\n      <<: {A: b}").text, at: "<<", "merge keys", "like:")
    }

    @Test("every repeated key is found, and the rest of the file is read all the same")
    func repeatedKeys() {
        let fleet = Fleet(
            feed: "    workdir: /a\n    'workdir': /b\n    workdir: /c", recorder: "    env: {A: x, B: y, A: z}\n    stop: {grace: 5}",
            services: "  feed: {tier: market-data, run: [x], hosts: [md-1]}")
        #expect(
            fleet.faults().map(\.what) == [
                "workdir stands twice, first in line 17", "workdir stands twice, first in line 17", "A stands twice, first in line 24",
                "stop.grace is 5 without a unit", "feed stands twice, first in line 12",
            ])
    }

    @Test("a key that is a list is refused")
    func listKey() {
        expectOne(Fleet(feed: "    env: {[a]: b}").text, at: "[a]", "a key that is a list", "name as the key")
    }

    @Test("what is no YAML is one fault, where the parser stopped")
    func notYAML() {
        let found = faults(of: "fleet: ld4\nhosts: {md-1: ]\n")
        #expect(found.count == 1 && found[0].position.line == 2 && found[0].what.contains("not YAML"), "\(found)")
        #expect(faults(of: "").first?.what == "the file is empty")
        #expect(faults(of: "a: b\n---\nc: d\n").first?.instead == "write one document per file")
        #expect(faults(of: "[a, b]").first?.what == "the inventory is a list where a map is expected")
        #expect(faults(of: "a: \u{1}").count == 1)
        #expect(faults(of: #"fleet: "a\0b""#).contains { $0.what == "a text with a NUL character" })
    }

    @Test("nesting without end is refused, not followed")
    func deep() {
        #expect(faults(of: "fleet: " + String(repeating: "[", count: 100_000)).count == 1)
    }

    @Test("scalars are what was written, never what YAML guesses")
    func scalars() throws {
        let inventory = try Fleet(
            more: "releases:\n  r: {path: /opt/$version, version: 7.10}",
            feed: "    release: r\n    env: {A: off, B: 010, C: 17:05, D: 1e3, E: $release, F: $version, G: \"\", H: $$x, I: ~}"
        ).load()
        #expect(
            inventory.services[0].env == [
                "A": "off", "B": "010", "C": "17:05", "D": "1e3", "E": "/opt/7.10", "F": "7.10", "G": "", "H": "$$x", "I": "~",
            ])
        #expect(inventory.services[0].substituted(for: "md-1").env["H"] == "$x")
    }

    // MARK: Keys and types

    @Test("an unknown key gets the nearest known one, and else all of them")
    func unknownKeys() {
        expectOne(Fleet(feed: "    reday: {notify: 1s}").text, at: "reday", "unknown key reday", "write ready")
        expectOne(Fleet(feed: "    stop: {grcae: 1s}").text, at: "grcae", "unknown key grcae in stop", "write grace")
        expectOne(Fleet(feed: "    cpus: {exclusive: 4,6}").text, at: "6}", "unknown key 6", "write that in quotes")
        expectOne(Fleet(feed: "    colour: red").text, at: "colour", "unknown key colour", "known here: tier, like, run")
        expectOne(Fleet(more: "stremas: {}").text, at: "stremas", "unknown key", "write streams")
    }

    @Test(
        "a key of the format that this version would not act on is refused, not passed over",
        arguments: [
            ("exclusive: {primary: md-1}", "exclusive", "the service"), ("core: {keep: 2}", "keep", "core"),
            ("core: {takeover: kill-dump}", "takeover", "core"),
            ("cgroup: {memory_max: 4GiB}", "memory_max", "cgroup"), ("ready: {port: 80}", "port", "ready"), ("counters: {shm: /dev/shm/x}", "shm", "counters"),
        ])
    func later(line: String, key: String, holder: String) {
        let text = Fleet(recorder: "    " + line).text
        expectOne(text, at: key + ":", "\(key) in \(holder) is not supported by this version", "remove it")
    }

    @Test("a wrong type is named, with the right one")
    func types() {
        expectOne(Fleet(feed: "    env: [a]").text, at: "[a]", "env is a list where a map is expected", "write {}")
        expectOne(Fleet(feed: "    needs: gateway").text, at: "gateway\n", "needs is a text where a list is expected", "write [a, b]")
        expectOne(Fleet(feed: "    workdir: {a: b}").text, at: "{a: b}", "workdir is a map where a single value", "one value")
        expectOne(Fleet(feed: "    restart: {limit: {starts: many}}").text, at: "many", "starts is many", "from 1 to 1000")
        expectOne(Fleet(feed: "    env: {A: }").text, at: "}\n  recorder", "env.A has no value", "write one")
        expectOne(Fleet(tiers: "\n  market-data:\n  strategies: {}\n  execution: {}").text, at: "\n  strategies", "the tier market-data is nothing", "write {}")
    }

    @Test("what is missing is asked for, where it belongs")
    func missing() {
        let found = faults(of: "services:\n  feed: {}\n")
        #expect(
            found.map(\.description) == [
                "fleet.yaml:1:1: the inventory has no coordinators; write coordinators: {ctl-1: {address: \"10.0.0.1:7443\"}}",
                "fleet.yaml:1:1: the inventory has no fleet; write fleet: ld4",
                "fleet.yaml:1:1: the inventory has no hosts; write hosts: {md-1: {}}",
                "fleet.yaml:1:1: the inventory has no tiers; write tiers: {market-data: {}, strategies: {}, execution: {}}",
                "fleet.yaml:2:3: the service has no hosts; write hosts: [md-1]",
                "fleet.yaml:2:3: the service has no run; write run: [/path/to/program, argument]",
                "fleet.yaml:2:3: the service has no tier; write tier: market-data",
            ])
    }

    @Test("names are names", arguments: ["-a", "a b", "a@b", "ä", ""])
    func names(name: String) {
        expectOne(Fleet(services: "  \"\(name)\": {like: feed}").text, at: "\"\(name)\"", "is not a name", "letters, digits")
    }

    @Test("a fault in what many inherit is told once")
    func once() {
        expectOne(Fleet(more: "defaults: {stop: {grace: 10}}").text, at: "10}", "without a unit", "write 10s")
        expectOne(Fleet(more: "defaults: {tier: {exection: {}}}").text, at: "exection", "defaults.tier names the tier exection", "write execution")
        expectOne(Fleet(more: "defaults: {run: [x]}").text, at: "run: [x]", "unknown key run in defaults", "remove it")
    }

    // MARK: Values

    @Test(
        "durations carry their unit",
        arguments: zip(
            ["5us", "500ms", "10s", "2min", "2h", "14d", "0s"],
            [.microseconds(5), .milliseconds(500), .seconds(10), .seconds(120), .seconds(7_200), .seconds(14 * 86_400), .zero] as [Duration]))
    func durations(text: String, duration: Duration) throws {
        #expect(try Fleet(feed: "    restart: {delay: \(text)}").load().services[0].restart.delay == duration)
    }

    @Test(
        "and nothing else is a duration",
        arguments: zip(
            ["10", "10 s", "1.5s", "-5s", "10m", "10sec", "s", "400d", "99999999999999999999s", "9223372036854775807d"],
            [
                "write 10s", "write 10 with", "write 1 with", "write a whole number", "write 10 with", "write 10 with", "write a whole number",
                "at most 366d", "with us", "at most 366d",
            ]))
    func badDurations(text: String, instead: String) {
        expectOne(Fleet(feed: "    restart: {delay: \(text)}").text, at: "\(text)}", "restart.delay is \(text)", instead)
    }

    @Test("a stop can't be stretched to less than its grace")
    func extendTo() throws {
        expectOne(Fleet(feed: "    stop: {grace: 40s, extend_to: 30s}").text, at: "30s}", "shorter than the grace of 40s", "write 40s")
        #expect(try Fleet(feed: "    stop: {grace: 40s}").load().services[0].stop.extendTo == .seconds(40))
    }

    @Test(
        "signals are those one can ask with",
        arguments: zip(["SIGTERM", "usr1", "KILL", "9", "USR3"], ["write TERM", "write USR1", "then: kill", "write TERM, INT", "write USR1"]))
    func signals(text: String, instead: String) {
        expectOne(Fleet(feed: "    stop: {signal: \(text)}").text, at: "\(text)}", "stop.signal is \(text)", instead)
    }

    @Test("a list of CPUs is the kernel's", arguments: ["a", "5-4", "1,", "1024", "1-2-3"])
    func cpus(text: String) {
        expectOne(Fleet(feed: "    cpus: {exclusive: \"\(text)\"}").text, at: "\"\(text)\"", "no list of CPUs", "write 4-5")
    }

    @Test("a relative path is refused")
    func paths() {
        expectOne(Fleet(feed: "    workdir: ./x").text, at: "./x", "a relative path", "write /x or $state/x")
        expectOne(Fleet(feed: "    state_files: [a/b]").text, at: "a/b", "a relative path", "$state/a/b")
        expectOne(
            Fleet(feed: "    wrapper: [x]\n    run: [bin/feed]").text.replacing("    run: [/opt/feed]\n", with: ""), at: "[bin/feed]", "relative path",
            "bare program name")
    }

    @Test("run is not empty")
    func emptyRun() {
        expectOne(Fleet().text.replacing("[/opt/feed]", with: "[]"), at: "[]", "run is empty", "write [/path")
        expectOne(Fleet().text.replacing("[/opt/feed]", with: "[\"\"]"), at: "[\"\"]", "starts with an empty text", "absolute path")
        expectOne(Fleet().text.replacing("hosts: [md-1]\n    counters", with: "hosts: []\n    counters"), at: "[]", "hosts is empty", "write [md-1]")
    }

    @Test(
        "coordinators are IP addresses with ports",
        arguments: [
            "ctl-1:7443", "10.0.0.1", "10.0.0.1:0", "10.0.0.1:70000", "10.0.0.256:1", "10.0.01.1:1", "[::g]:1", "::1:1", "localhost:1", "[1:2:3:4:5:6:7:8:9]:1",
        ])
    func addresses(text: String) {
        expectOne(Fleet(coordinators: "{ctl-1: {address: \"\(text)\"}}").text, at: "\"\(text)\"", "address is \(text)", "write")
    }

    @Test("and IPv6 is one", arguments: ["[::1]:7443", "[fd00::1:2]:7443", "[1:2:3:4:5:6:7:8]:1", "[::]:1"])
    func ipv6(text: String) throws {
        #expect(try Fleet(coordinators: "{ctl-1: {address: \"\(text)\"}}").load().coordinators[0].address == text)
    }

    @Test("one address serves one listener, and one coordinator is full")
    func coordinators() {
        expectOne(
            Fleet(coordinators: "{a: {address: \"10.0.0.1:1\", api: \"10.0.0.1:2\"}, b: {address: \"10.0.0.1:2\"}}").text, at: "\"10.0.0.1:2\"}}",
            "already the address of a's API", "port of its own")
        expectOne(
            Fleet(coordinators: "{a: {address: \"10.0.0.1:1\", role: emergency}}").text, at: "{a: {address", "no coordinator has the role full", "at least one")
    }

    @Test("a fixed offset is no time zone", arguments: ["+01:00", "GMT+1", "Etc/GMT-1", "CET"])
    func timezones(text: String) {
        expectOne(Fleet(more: "timezone: \(text)").text, at: text, "no IANA zone", "Europe/London")
    }

    @Test("a substitution that stands for nothing is refused")
    func substitutions() {
        expectOne(Fleet(feed: "    env: {A: $hots}").text, at: "$hots", "$hots stands for nothing", "write $host, or $$")
        expectOne(Fleet(feed: "    env: {A: 5$}").text, at: "5$", "a $ that stands before no name", "$host, $service or $state")
        expectOne(Fleet(feed: "    env: {A: $release/x}").text, at: "$release", "without a release", "write release:")
        expectOne(Fleet(more: "releases: {r: {path: /opt/$host, version: \"1\"}}").text, at: "/opt/$host", "in a release's path", "$version")
    }

    @Test(
        "probes and calls go to loopback, over plain HTTP",
        arguments: [
            "http://10.0.0.1:80/", "http://localhost:80/", "http://[fd00::1]/x", "https://127.0.0.1/", "127.0.0.1:80", "http://127.0.0.1:0/", "http:///x",
        ])
    func loopback(url: String) {
        expectOne(
            Fleet(feed: "    gates: {before_stop: {open: {http: \"\(url)\", pointer: /open, is: 0}}}").text, at: "\"\(url)\"",
            url.contains("://127") || !url.hasPrefix("http://") || url == "http:///x" ? "no plain HTTP URL" : "not loopback", "http://127.0.0.1")
        expectOne(Fleet(feed: "    quiesce: {http: \"POST \(url)\"}").text, at: "\"POST \(url)\"", "quiesce.http", "http://127.0.0.1")
    }

    @Test("a gate is not called what --gate takes for something of every run")
    func ownGates() {
        expectOne(
            Fleet(feed: "    gates: {before_stop: {no-answer: {http: \"http://127.0.0.1:80/x\", pointer: /open, is: 0}}}").text, at: "no-answer",
            "a gate is called no-answer", "another name")
    }

    @Test("a call has a method that changes something, and one way")
    func calls() {
        expectOne(Fleet(feed: "    quiesce: {http: \"http://127.0.0.1/q\"}").text, at: "\"http://127", "without a method", "write \"POST http")
        expectOne(Fleet(feed: "    quiesce: {http: \"GET http://127.0.0.1/q\"}").text, at: "\"GET", "calls with GET", "\"POST")
        expectOne(Fleet(feed: "    quiesce: {within: 1s}").text, at: "{within", "quiesce does not say how", "write signal")
        expectOne(Fleet(feed: "    quiesce: {signal: USR1, http: \"POST http://127.0.0.1/q\"}").text, at: "\"POST", "quiesce says two ways", "either")
        expectOne(Fleet(feed: "    quiesce: {signal: USR1, done: {notify: X_QUIESCED}}").text, at: "X_QUIESCED", "without a value", "X_QUIESCED=1")
        expectOne(Fleet(feed: "    quiesce: {signal: USR1, done: {notify: QUIESCED=1}}").text, at: "QUIESCED=1", "no worker says", "X_QUIESCED")
        expectOne(Fleet(feed: "    ready: {notify: 1s, delay: 1s}").text, at: "1s}\n  recorder", "ready says two ways", "either")
    }

    @Test(
        "what a probe compares with is JSON as written",
        arguments: zip(
            ["0", "true", "null", "1.5", "\"0\"", "flat", "010", "'true'"], ["0", "true", "null", "1.5", "\"0\"", "\"flat\"", "\"010\"", "\"true\""]))
    func equals(text: String, json: String) throws {
        let inventory = try Fleet(feed: "    gates: {before_stop: {g: {http: \"http://127.0.0.1:80/x\", pointer: \"\", is: \(text)}}}").load()
        #expect(inventory.services[0].gates[0].probe.equals == json)
    }

    @Test("environment names are POSIX's")
    func environment() {
        expectOne(Fleet(feed: "    env: {1A: x}").text, at: "1A", "no name for an environment variable", "letters")
        expectOne(Fleet(feed: "    env: {NOTIFY_SOCKET: x}").text, at: "NOTIFY_SOCKET", "set by the shim", "remove it")
    }

    @Test("a tcp health check of the execution tier is refused for good")
    func orderPort() {
        expectOne(Fleet(gateway: "    health: {tcp: \"127.0.0.1:80\"}").text, at: "tcp:", "not harmless", "notify_watchdog: 5s")
        expectOne(Fleet(gateway: "    health: {tcp: \"127.0.0.1:80\", every: 2s}").text, at: "tcp:", "not harmless", "notify_watchdog: 5s")
    }

    @Test("an unreadable file is one fault that says why")
    func unreadable() {
        #expect(
            throws: InventoryErrors([
                InventoryError(
                    file: "/nowhere/fleet.yaml", position: SourcePosition(line: 1, column: 1),
                    what: "cannot read the inventory: No such file or directory", instead: "give the path of a fleet.yaml that this user may read")
            ])
        ) { try InventoryLoader.load("/nowhere/fleet.yaml", digest: { _ in "" }) }
    }
}
