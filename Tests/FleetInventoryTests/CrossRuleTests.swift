import FleetCore
import FleetInventory
import Testing

@Suite("The rules between declarations")
struct CrossRuleTests {
    // MARK: Names

    @Test("a name that is not declared is refused, with the nearest that is")
    func dangling() {
        expectOne(Fleet().text.replacing("tier: strategies", with: "tier: strategie"), at: "strategie\n", "the tier strategie", "write strategies")
        expectOne(Fleet().text.replacing("hosts: [st-1]", with: "hosts: [st-2]"), at: "st-2", "the host st-2", "write st-1")
        expectOne(Fleet(feed: "    needs: [recoder]").text, at: "recoder", "the service recoder", "write recorder")
        expectOne(Fleet(feed: "    release: nope").text, at: "nope", "the release nope", "declare it first")
        expectOne(Fleet(more: "emergency_stop: {kills: [exec]}").text, at: "exec]", "the tier exec", "write market-data, strategies or execution")
        expectOne(Fleet(more: "emergency_stop: {kills: [execution], spares: [recodrer]}").text, at: "recodrer", "the service recodrer", "write recorder")
        expectOne(Fleet().text.replacing("{host: md-1, probe", with: "{host: md-9, probe"), at: "md-9", "the host md-9", "write md-1")
        expectOne(
            Fleet(feed: "    gates: {before_stop: {g: {at: gatway, http: \"http://127.0.0.1:80/x\", pointer: /x, is: 0}}}").text, at: "gatway",
            "the service gatway", "write gateway")
        expectOne(Fleet(hosts: "  md-1: {}\n  st-1: {}\n  ex-1: {like: md-2}").text, at: "md-2", "like names the host md-2", "write md-1")
    }

    @Test("a counter must be declared where it is counted")
    func counters() {
        expectOne(Fleet(streams: stream(produced: "counters.prodced")).text, at: "counters.prodced", "which feed does not declare", "write counters.produced")
        expectOne(Fleet(streams: stream(produced: "produced")).text, at: "produced\n    to", "produced is produced", "write counters.produced")
        expectOne(
            Fleet(streams: stream(to: "recorder: {group: r, on_stop: buffer, applied: counters.applied}")).text, at: "counters.applied",
            "which recorder does not declare", "X_APPLIED")
        expectOne(
            Fleet(recorder: "    counters: {notify: {a: X_A}, http: \"http://127.0.0.1:80/\", values: {a: /a}}").text, at: "a: /a",
            "the counter a is declared twice", "another name")
        expectOne(Fleet(recorder: "    counters: {values: {a: /a}}").text, at: "values", "without http", "write http")
    }

    @Test("an alias stands for one service")
    func aliases() {
        expectOne(Fleet(feed: "    aliases: [recorder]").text, at: "recorder]", "already stands for recorder", "another")
        expectOne(Fleet(feed: "    aliases: [f]", recorder: "    aliases: [f]").text, at: "f]\n  strategy", "already stands for feed", "another")
        expectOne(Fleet(feed: "    aliases: [all]").text, at: "all]", "every service", "another")
    }

    // MARK: Inheritance

    @Test("a service has what it is like, but for what is its own")
    func like() throws {
        let inventory = try Fleet(
            more: "defaults: {env: {A: defaults, B: defaults, Z: defaults}, ready: {delay: 2s}, tier: {market-data: {env: {B: tier, C: tier}}}}",
            feed: "    aliases: [f]\n    env: {C: feed, D: feed}\n    ready: {notify: 60s}\n    wrapper: [onload]",
            services: "  feed-2: {like: feed, run: [/opt/feed, \"2\"], env: {D: own}, wrapper: []}\n  feed-3: {like: feed-2, env: {}}"
        ).load()
        let second = try #require(inventory.service("feed-2"))
        #expect(second.env == ["A": "defaults", "B": "tier", "C": "feed", "D": "own", "Z": "defaults"])
        #expect(second.run == ["/opt/feed", "2"] && second.wrapper.isEmpty && second.aliases.isEmpty)
        #expect(second.hosts == ["md-1"] && second.tier == "market-data")
        #expect(second.ready == .notify(within: .seconds(60)))
        #expect(inventory.service("recorder")?.ready == .delay(.seconds(2)))
        #expect(inventory.service("feed-3")?.env.isEmpty == true)
        #expect(inventory.service("feed-3")?.run == ["/opt/feed", "2"])
        #expect(inventory.host("ex-1")?.shared == CPUList("2-3"))
    }

    @Test("execution is held past its grace unless it says otherwise")
    func hold() throws {
        #expect(try Fleet().load().service("gateway")?.stop.then == .hold)
        #expect(try Fleet().load().service("feed")?.stop.then == .kill)
        #expect(try Fleet(gateway: "    stop: {then: kill}").load().service("gateway")?.stop.then == .kill)
    }

    @Test("like in a circle is one fault")
    func likeCycle() {
        expectOne(
            Fleet(services: "  a: {like: b, tier: execution, run: [x], hosts: [md-1]}\n  b: {like: a, tier: execution, run: [x], hosts: [md-1]}").text,
            at: "b, tier", "a -> b -> a", "write the values out")
        expectOne(Fleet(hosts: "  md-1: {like: md-1}\n  st-1: {}\n  ex-1: {}").text, at: "md-1}\n  st-1", "md-1 -> md-1", "write the values out")
    }

    @Test("what talks to an exchange is started again by a person, unless something is declared for it")
    func restartOfExecution() throws {
        #expect(try Fleet().load().service("gateway")?.restart.policy == .never)
        #expect(try Fleet(gateway: "    restart: {delay: 2s}").load().service("gateway")?.restart.policy == .never)
        #expect(try Fleet(gateway: "    restart: {policy: on-failure}").load().service("gateway")?.restart.policy == .onFailure)
        #expect(try Fleet(more: "defaults: {restart: {policy: always}}").load().service("gateway")?.restart.policy == .always)
        #expect(try Fleet(more: "defaults: {tier: {strategies: {restart: {delay: 9s}}}}").load().service("gateway")?.restart.policy == .never)
        #expect(try Fleet().load().service("feed")?.restart.policy == .onFailure)
    }

    @Test("a host's overrides hold on that host alone")
    func on() throws {
        let feed = "    env: {A: a, B: b}\n    cpus: {exclusive: 4}\n    on: {st-1: {env: {B: st}, cpus: {exclusive: 5}}}"
        let fleet = Fleet(feed: feed, strategy: "    cpus: {exclusive: 4}")
        let text = fleet.text.replacing("hosts: [md-1]\n    counters", with: "hosts: [md-1, st-1]\n    counters")
        let service = try #require(try InventoryLoader.load(text: text, file: "fleet.yaml").service("feed"))
        #expect(service.substituted(for: "md-1").env == ["A": "a", "B": "b"])
        #expect(service.substituted(for: "st-1").env == ["A": "a", "B": "st"])
        #expect(service.substituted(for: "st-1").cpus.exclusive == CPUList("5"))
        expectOne(Fleet(feed: "    on: {md-2: {}}").text, at: "md-2: {}", "on names the host md-2", "write md-1")
        expectOne(Fleet(feed: "    on: {md-1: {tier: execution}}").text, at: "tier: execution}", "unknown key tier in on.md-1", "remove it")
    }

    // MARK: CPUs

    @Test("a CPU is claimed once on a host")
    func cpus() {
        expectOne(
            Fleet(feed: "    cpus: {exclusive: 4-5}", recorder: "    cpus: {exclusive: 5-6}").text, at: "5-6",
            "CPU 5 of md-1 is claimed by recorder and by feed (line 17)", "not 5")
        expectOne(Fleet(feed: "    cpus: {exclusive: 3-4}").text, at: "3-4", "CPU 3 of md-1 is claimed by feed and by its shared pool", "not 3")
        expectOne(Fleet(feed: "    cpus: {exclusive: \"1,4\"}").text, at: "\"1,4\"", "its housekeeping", "not 1")
        expectOne(
            Fleet(hosts: "  md-1: {housekeeping: 0-2, shared: 2-3}\n  st-1: {}\n  ex-1: {}").text, at: "2-3}", "both in shared and in housekeeping", "not 2")
        expectOne(
            Fleet(feed: "    cpus: {exclusive: 4-5}", services: "  feed-2: {like: feed}").text, at: "feed-2", "claimed by feed-2 and by feed",
            "write CPUs for feed-2")
        expectOne(
            Fleet(hosts: "  md-1: {}\n  st-1: {}\n  ex-1: {}", feed: "    cpus: {helpers: shared}").text, at: "shared}", "no shared pool", "write shared: 2-3")
    }

    @Test("and the same CPU on another host is another CPU")
    func cpusElsewhere() throws {
        _ = try Fleet(feed: "    cpus: {exclusive: 4-5, helpers: shared}", strategy: "    cpus: {exclusive: 4-5}").load()
    }

    // MARK: Order

    private func stream(
        _ name: String = "ticks", from: String = "[feed]", via: String = "{redis: md-1/ticks}", produced: String? = nil,
        to: String = "recorder: {group: r, on_stop: buffer}"
    ) -> String {
        "  \(name):\n    from: \(from)\n    via: \(via)\n" + (produced.map { "    produced: \($0)\n" } ?? "") + "    to:\n      \(to)\n"
    }

    @Test("a consumer that stops before its producer can only leave the rest in a buffer", arguments: ["drain", "discard"])
    func laterProducer(policy: String) throws {
        expectOne(
            Fleet(streams: stream(from: "[gateway]", to: "recorder: {group: r, on_stop: \(policy)}")).text, at: "\(policy)}",
            "its tier market-data stops before gateway's tier execution", "write buffer")
        expectOne(
            Fleet(streams: stream(from: "[gateway]", via: "direct", to: "recorder: {on_stop: \(policy)}")).text, at: "\(policy)}", "can't \(policy)",
            "via: {redis")
        _ = try Fleet(streams: stream(from: "[gateway]")).load()
    }

    @Test("a consumer in a later tier may drain, discard or leave a remainder", arguments: ["drain", "discard", "buffer"])
    func laterConsumer(policy: String) throws {
        let inventory = try Fleet(streams: stream(to: "strategy: {group: s, on_stop: \(policy)}")).load()
        #expect(inventory.streams[0].to[0].policy.rawValue == policy)
    }

    @Test("buffer wants something durable in between")
    func durable() {
        expectOne(Fleet(streams: stream(via: "shm", to: "recorder: {on_stop: buffer}")).text, at: "buffer}", "nothing durable", "via: {redis")
    }

    @Test("a need can't be in a tier that stops earlier")
    func needs() throws {
        expectOne(Fleet(gateway: "    needs: [strategy]").text, at: "strategy]\n\n", "whose tier strategies stops before execution", "remove it")
        _ = try Fleet(strategy: "    needs: [gateway]").load()
    }

    @Test("needs in a circle are one fault")
    func needsCycle() {
        expectOne(
            Fleet(feed: "    needs: [recorder]", recorder: "    needs: [feed]").text, at: "feed]\n  strategy",
            "circle: feed needs recorder, recorder needs feed", "remove")
        expectOne(Fleet(feed: "    needs: [feed]").text, at: "feed]\n  recorder", "circle: feed needs feed", "remove")
    }

    @Test("streams in a circle within a tier are one fault, alone and together with needs")
    func streamCycle() {
        expectOne(
            Fleet(streams: stream(to: "recorder: {group: r, on_stop: \"drain\"}") + stream("back", from: "[recorder]", to: "feed: {group: f, on_stop: drain}"))
                .text,
            at: "drain}", "circle: recorder drains ticks, feed drains back", "another on_stop")
        expectOne(
            Fleet(feed: "    needs: [recorder]", streams: stream()).text, at: "buffer}", "circle: feed needs recorder, recorder buffers ticks",
            "remove one of the needs")
        expectOne(Fleet(streams: stream(to: "feed: {group: f, on_stop: drain}")).text, at: "drain}", "consumes its own stream", "remove it")
    }

    @Test("and a discarded way back is no circle")
    func discardBack() throws {
        _ = try Fleet(
            streams: stream(to: "recorder: {group: r, on_stop: drain}") + stream("back", from: "[recorder]", to: "feed: {group: f, on_stop: discard}")
        ).load()
    }

    // MARK: Streams

    @Test("what carries a stream is declared")
    func via() {
        expectOne(Fleet(streams: stream(via: "{redis: st-1/ticks}")).text, at: "st-1/ticks", "no dependency is a redis", "write md-1")
        expectOne(Fleet(streams: stream(via: "{redis: ticks}")).text, at: "ticks}", "without a key", "md-1/ticks")
        expectOne(Fleet(streams: stream(via: "carrier")).text, at: "carrier", "via is carrier", "write direct or shm")
        expectOne(Fleet(streams: stream(via: "{file: /x}")).text, at: "file:", "not supported", "remove it")
    }

    @Test("Redis wants groups, each consumer its own")
    func groups() {
        expectOne(Fleet(streams: stream(to: "recorder: {on_stop: buffer}")).text, at: "recorder: {on_stop", "has no group", "write group: recorder")
        expectOne(Fleet(streams: stream(via: "direct", to: "recorder: {group: r, on_stop: drain}")).text, at: "group: r", "without a Redis stream", "remove it")
        expectOne(
            Fleet(streams: stream(to: "recorder: {group: r, on_stop: buffer}\n      strategy: {group: r, on_stop: drain}")).text, at: "r, on_stop: drain",
            "also that of recorder", "of its own")
    }

    @Test("a sink is named in full")
    func sinks() throws {
        let sqlite = "recorder: {group: r, on_stop: buffer, applied: {sqlite: $state/$service.db, table: ticks, column: id}}"
        #expect(try Fleet(streams: stream(to: sqlite)).load().streams[0].to[0].applied == .sqlite(path: "$state/recorder.db", table: "ticks", column: "id"))
        expectOne(Fleet(streams: stream(to: sqlite.replacing("$state/$service.db", with: "x.db"))).text, at: "x.db", "a relative path", "$state/x.db")
        expectOne(Fleet(streams: stream(to: sqlite.replacing(", column: id", with: ""))).text, at: "{sqlite:", "applied has no column", "column: id")
        expectOne(Fleet(streams: stream(to: sqlite.replacing("table: ticks", with: "table: \"a;b\""))).text, at: "\"a;b\"", "no plain name in SQL", "letters")
        let questdb = "recorder: {group: r, on_stop: buffer, applied: {questdb: ticks, column: seq}}"
        expectOne(Fleet(streams: stream(to: questdb)).text, at: "ticks, column", "no dependency is a questdb", "questdb: {host: md-1")
        let text = Fleet(streams: stream(to: questdb)).text.replacing(
            "dependencies:", with: "dependencies:\n  q: {host: md-1, probe: {questdb: \"http://127.0.0.1:9000\"}}")
        let inventory = try InventoryLoader.load(text: text, file: "fleet.yaml")
        #expect(inventory.streams[0].to[0].applied == .questdb(url: "http://127.0.0.1:9000", table: "ticks", column: "seq"))
    }
}
