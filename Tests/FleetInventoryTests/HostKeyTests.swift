import FleetCore
import FleetInventory
import Testing

@Suite("Hosts, their pools and who is told")
struct HostKeyTests {
    private static let md1 = """
          md-1:
            housekeeping: 0-1
            shared: 2-3
            hugepages: {node0: {1GiB: 8}, node1: {2MiB: 2048, 1GiB: 0}}
            expect:
              cmdline: [isolcpus=4-15, nohz_full=4-15]
              sysctl: {kernel.sched_rt_runtime_us: -1, kernel.numa_balancing: 0}
              governor: performance
              irqbalance: disabled
              smt: disabled
              transparent_hugepages: never
              time: {source: ptp, offset_max: 1us, via: "chronyc:/run/chrony/chronyd.sock", phc: ens1f0}
              nic: {ens1f0: {driver: sfc, irq_cpus: 0-1}}
              onload: {version: 9.0.1.86}
            disk: {/var/lib/trd: {free_min: 200GiB}}
        """
    private static let rest =
        "\n  st-1: {like: md-1, hugepages: {node0: {2MiB: 4096}}, expect: {smt: enabled}, disk: {/var/lib/trd: {free_min: 50GiB}}}\n  ex-1: {}"

    @Test("how a host must be set up is read, and inherited but for its pages")
    func all() throws {
        let inventory = try Fleet(hosts: Self.md1 + Self.rest).load()
        let host = try #require(inventory.host("md-1"))
        #expect(host.hugepages == [HugepageCount(node: 0, pageBytes: 1 << 30, count: 8), HugepageCount(node: 1, pageBytes: 2 << 20, count: 2_048)])
        var expect = ExpectationSpec()
        expect.cmdline = ["isolcpus=4-15", "nohz_full=4-15"]
        expect.sysctl = ["kernel.sched_rt_runtime_us": "-1", "kernel.numa_balancing": "0"]
        expect.governor = "performance"
        expect.irqbalanceEnabled = false
        expect.smtEnabled = false
        expect.transparentHugepages = "never"
        expect.time = ExpectationSpec.Time(
            source: "ptp", offsetMax: .microseconds(1), via: "chronyc:/run/chrony/chronyd.sock", hardwareClock: "ens1f0")
        expect.interfaces = ["ens1f0": ExpectationSpec.Interface(driver: "sfc", irqCPUs: CPUList([0, 1]))]
        expect.onloadVersion = "9.0.1.86"
        #expect(host.expect == expect)
        #expect(host.diskFreeMin == ["/var/lib/trd": 200 << 30])
        let other = try #require(inventory.host("st-1"))
        expect.smtEnabled = true
        #expect(other.expect == expect && other.diskFreeMin == ["/var/lib/trd": 50 << 30])
        #expect(other.hugepages == [HugepageCount(node: 0, pageBytes: 2 << 20, count: 4_096)])
        #expect(inventory.host("ex-1")?.expect == ExpectationSpec())
    }

    @Test(
        "what no host can be is refused",
        arguments: [
            ("hugepages: {nod0: {2MiB: 1}}", "nod0", "unknown key nod0 in hugepages", "write node0"),
            ("hugepages: {node00: {2MiB: 1}}", "node00", "unknown key node00 in hugepages", "write node0"),
            ("hugepages: {node0: {2MB: 1}}", "2MB", "no size of a hugepage", "write 2MiB"),
            ("hugepages: {node0: {4KiB: 1}}", "4KiB", "no size of a hugepage", "2MiB or 1GiB"),
            ("hugepages: {node0: {2MiB: 1GiB}}", "1GiB}", "hugepages.node0.2MiB is 1GiB", "from 0 to"),
            ("hugepages: {mount: /x}", "mount", "unknown key mount in hugepages", "write node0"),
            ("expect: {cmdline: [\"a b\"]}", "\"a b\"", "not one word", "each word"),
            ("expect: {sysctl: {kernel/numa_balancing: 0}}", "kernel/", "no name of a kernel parameter", "write kernel.numa_balancing"),
            ("expect: {sysctl: {../../etc: 0}}", "../", "no name of a kernel parameter", "write"),
            ("expect: {governor: preformance}", "preformance", "expect.governor is preformance", "write performance"),
            ("expect: {irqbalance: off}", "off", "expect.irqbalance is off", "enabled or disabled"),
            ("expect: {time: {source: gps}}", "gps", "expect.time.source is gps", "write ptp"),
            ("expect: {time: {offset_max: 1}}", "1}", "without a unit", "write 1s"),
            ("expect: {time: {via: chrony}}", "chrony}", "expect.time.via is chrony", "chronyc:/run"),
            ("expect: {nic: {\"a b\": {}}}", "\"a b\"", "no name of a network interface", "ens1f0"),
            ("expect: {nic: {ens1f0: {irq_cpu: 0}}}", "irq_cpu", "unknown key irq_cpu", "write irq_cpus"),
            ("disk: {var: {free_min: 1GiB}}", "var:", "'var' in disk is no absolute path", "write /var"),
            ("disk: {/var: {}}", "/var", "disk./var has no free_min", "free_min: 50GiB"),
            ("disk: {/var: {free_min: 1G}}", "1G", "free_min is 1G, which is no size", "write 1GiB"),
        ])
    func refused(line: String, place: String, what: String, instead: String) {
        expectOne(Fleet(hosts: "  md-1: {\(line)}\n  st-1: {}\n  ex-1: {}").text, at: place, what, instead)
    }

    // MARK: What one host can't hold

    private static let hosts = "  md-1: {housekeeping: 0-1, shared: 2-3, hugepages: {node0: {1GiB: 8}}}\n  st-1: {}\n  ex-1: {}"

    @Test("the workers' pages, node by node and size by size, are in what their host reserves")
    func pages() throws {
        expectOne(
            Fleet(hosts: Self.hosts, feed: "    hugepages: {node0: {1GiB: 6}}", recorder: "    hugepages: {node0: {1GiB: 4}}").text, at: "4}}",
            "recorder wants 4 pages of 1GiB on node 0, with feed's 6 (line 17) that is 10, and md-1 (line 8) reserves 8", "node0: {1GiB: 10}")
        expectOne(
            Fleet(hosts: Self.hosts, feed: "    hugepages: {node1: {1GiB: 1}}").text, at: "1}}", "md-1 (line 8) reserves 0", "node1: {1GiB: 1}")
        expectOne(
            Fleet(hosts: Self.hosts, strategy: "    hugepages: {node0: {2MiB: 1}}").text, at: "1}}\n  gateway", "st-1 (line 9) reserves none",
            "node0: {2MiB: 1}")
        let inventory = try Fleet(
            hosts: Self.hosts, feed: "    hugepages: {node0: {1GiB: 4}, mount: /dev/hugepages-1G, keeps: [rtemap_*]}",
            recorder: "    hugepages: {node0: {1GiB: 4}}"
        ).load()
        let release = try #require(inventory.service("feed")).release
        #expect(release.hugepages == [HugepageCount(node: 0, pageBytes: 1 << 30, count: 4)])
        #expect(release.hugepageMount == "/dev/hugepages-1G" && release.hugepageKeeps == ["rtemap_*"])
        expectOne(
            Fleet(hosts: Self.hosts, feed: "    hugepages: {keeps: [\"*\"]}").text, at: "keeps", "hugepages.keeps without a mount", "mount: /dev/hugepages")
        expectOne(
            Fleet(hosts: Self.hosts, feed: "    hugepages: {mount: /m, keeps: [a/b]}").text, at: "a/b", "no file name", "rtemap_*")
    }

    @Test("a worker's threads stay where the worker was put")
    func threads() {
        expectOne(
            Fleet(feed: "    cpus: {exclusive: 4-5}\n    threads: {rx: 4, tx: 5-6}").text, at: "5-6",
            "the thread tx of feed runs on CPU 6, which is not in its cpus.exclusive 4-5 (line 17)", "write CPUs of 4-5, or helpers")
        expectOne(
            Fleet(feed: "    cpus: {exclusive: 4-5}\n    threads: {\"*\": helpers}").text, at: "helpers}",
            "the thread * of feed runs on helpers, which its cpus (line 17) don't have", "helpers: shared")
        expectOne(Fleet(feed: "    threads: {rx: 4}").text, at: "4}", "feed has no CPUs of its own", "cpus: {exclusive: 4}")
        expectOne(
            Fleet(feed: "    cpus: {exclusive: 4-5}\n    threads: {a-name-of-16-by-x: 4}").text, at: "a-name-of", "has 17 bytes", "ps -L -o comm")
        expectOne(Fleet(feed: "    cpus: {exclusive: 4-5}\n    threads: {rx-*: 4}").text, at: "rx-*", "is a pattern", "\"*\" for every other")
        expectOne(Fleet(feed: "    cpus: {exclusive: 4-5}\n    threads: {rx: hlepers}").text, at: "hlepers", "no list of CPUs", "write 4-5")
        expectOne(Fleet(feed: "    cpus: {helpers: shared, node: 0}").text, at: "node: 0", "cpus.node without cpus.exclusive", "exclusive: 4-5")
    }

    @Test("and a host's override is held to it as well")
    func threadsOnHost() {
        expectOne(
            Fleet(feed: "    cpus: {exclusive: 4-5}\n    threads: {rx: 4}\n    on: {md-1: {cpus: {exclusive: 6-7}}}").text, at: "4}\n    on",
            "not in its cpus.exclusive 6-7 (line 19)", "write CPUs of 6-7")
    }

    @Test("two claims to a CPU are both placed")
    func places() {
        expectOne(Fleet(feed: "    cpus: {exclusive: \"1,4\"}").text, at: "\"1,4\"", "by its housekeeping (line 8)", "not 1")
    }

    // MARK: Alerts

    @Test("receivers are told of what they want, or of everything")
    func alerts() throws {
        let inventory = try Fleet(
            more: "alerts:\n  desk: {webhook: \"https://pager.example/x?k=1\", events: [failed, unknown-host]}\n  all: {webhook: \"http://10.0.0.16:9095\"}",
            feed: "    on_hold: {page: desk, note: look}"
        ).load()
        #expect(
            inventory.alerts == [
                AlertSpec(name: "desk", webhook: "https://pager.example/x?k=1", events: [.failed, .unknownHost]),
                AlertSpec(name: "all", webhook: "http://10.0.0.16:9095"),
            ])
        #expect(inventory.service("feed")?.holdPage == "desk" && inventory.service("feed")?.holdNote == "look")
    }

    @Test(
        "a receiver that could not be told is refused",
        arguments: [
            ("{webhook: \"ftp://x/\"}", "\"ftp", "no HTTP URL", "https://"),
            ("{webhook: \"https://u:p@x/\"}", "\"https", "holds a user or a password", "without it"),
            ("{webhook: \"http://a_b/\"}", "\"http", "no HTTP URL", "https://"),
            ("{events: all}", "desk", "the receiver desk has no webhook", "webhook: https"),
            (
                "{webhook: \"http://x\", events: [takeover]}", "takeover", "no event that this version tells",
                "failed, hold, unknown-host, unproven-stop, drift, unlocked or expiry"
            ),
            ("{webhook: \"http://x\", events: [fialed]}", "fialed", "no event", "write failed"),
            ("{webhook: \"http://x\", events: []}", "[]", "events is empty", "all"),
            ("{webhook: \"http://x\", events: holds}", "holds", "events is holds", "write [hold]"),
            ("{alertmanager: \"http://x\"}", "alertmanager", "not supported by this version", "remove it"),
        ])
    func alertsRefused(value: String, place: String, what: String, instead: String) {
        expectOne(Fleet(more: "alerts: {desk: \(value)}").text, at: place, what, instead)
    }

    @Test("who is paged is declared")
    func paged() {
        expectOne(
            Fleet(more: "alerts: {desk: {webhook: \"http://x\"}}", feed: "    on_hold: {page: dekk}").text, at: "dekk", "the receiver dekk", "write desk")
        expectOne(Fleet(feed: "    on_hold: {page: desk}").text, at: "desk}", "the receiver desk", "declare it first")
    }
}
