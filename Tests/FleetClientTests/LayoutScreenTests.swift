import FleetAPI
import FleetClient
import FleetWire
import Testing

@Suite("Layouts on the screen")
struct LayoutScreenTests {
    private func answers(_ fill: (inout WireLayoutAnswer) -> Void) -> APILayoutAnswers {
        var host = APIHostLayout()
        host.host = "md-1"
        fill(&host.answer)
        var answers = APILayoutAnswers()
        answers.hosts = [host]
        return answers
    }

    private func change(_ subject: String, done: Bool = false, refused: String = "", workers: [String] = [], result: String = "") -> WireLayoutChange {
        var change = WireLayoutChange()
        change.subject = subject
        change.from = "0"
        change.to = "2,048"
        change.done = done
        change.refused = refused
        change.workers = workers
        change.result = result
        return change
    }

    private func lines(_ answers: APILayoutAnswers, _ what: WireLayoutRequest.What) -> [String] {
        let lines = LayoutScreen.lines(answers, what, zone: .utc, style: ScreenStyle())
        #expect(lines.allSatisfy { $0.count <= 100 })
        return lines
    }

    @Test("show has sockets, nodes, CPUs, pools, interrupts and who runs where, with what is wrong about it")
    func show() {
        let answers = answers { answer in
            answer.topology.sockets = 2
            answer.topology.cores = 16
            answer.topology.cpus = 16
            answer.topology.isolated = "4-15"
            answer.topology.housekeeping = "0-1"
            var node = WireLayoutTopology.Node()
            node.cpus = "0-7"
            node.memoryBytes = 64 << 30
            var pool = WireHugepagePool()
            pool.node = 0
            pool.pageBytes = 1 << 30
            pool.total = 8
            pool.free = 4
            node.hugepages = [pool]
            answer.topology.nodes = [node]
            var irq = WireLayoutTopology.IRQ()
            irq.number = 143
            irq.name = "ens1f0-rx-2"
            irq.interface = "ens1f0"
            irq.cpus = "0-1"
            answer.topology.irqs = [irq]
            var placement = WireLayoutPlacement()
            placement.service = "feed-xlon"
            placement.exclusive = "4-5"
            placement.helpers = "2-3"
            placement.node = "0"
            placement.threads = ["rx-xlon: 4", "pub-xlon: 5"]
            placement.pid = 6036
            placement.problems = ["CPU 5 is not isolated"]
            answer.placements = [placement]
        }
        let lines = lines(answers, .show)
        #expect(lines[0] == "md-1  2 sockets · 1 node · 16 cores · 16 CPUs · SMT off")
        #expect(lines.contains("  isolated      4-15") && lines.contains("  nohz_full     -"))
        #expect(lines.contains { $0.contains("64.0 GiB") && $0.contains("1G 4/8") })
        #expect(lines.contains { $0.hasPrefix("  feed-xlon") && $0.contains("4-5") && $0.contains("rx-xlon: 4, pub-xlon: 5") })
        #expect(lines.contains("! feed-xlon: CPU 5 is not isolated"))
        #expect(lines.contains { $0.hasPrefix("  143") && $0.contains("ens1f0-rx-2") })
        #expect(LayoutScreen.condition(answers) == .needsAPerson)
    }

    @Test("a plan says what changes from what to what, whom it touches and what to type")
    func plan() {
        let answers = answers { $0.changes = [change("node 0 2 MiB pages"), change("IRQ 143 ens1f0-rx-2", workers: ["feed-xlon"])] }
        let lines = lines(answers, .plan)
        #expect(lines[0] == "md-1  2 changes" && lines[1] == "  node 0 2 MiB pages  0 -> 2,048")
        #expect(lines.contains("      touches the live feed-xlon"))
        #expect(lines.last == "  Carry it out:  trading layout apply --host md-1 --override feed-xlon --reason \"…\"")
        #expect(LayoutScreen.condition(answers) == .asWanted)
    }

    @Test("an apply says what was read back, and of what was refused why and what to type")
    func apply() {
        let answers = answers {
            $0.changes = [
                change("node 0 2 MiB pages", done: true, result: "1,900"),
                change("IRQ 143 ens1f0-rx-2", refused: "feed-xlon runs on CPU 4", workers: ["feed-xlon"]),
            ]
        }
        let lines = lines(answers, .apply)
        #expect(lines[0] == "md-1  1 of 2 changes carried out" && lines[1] == "✓ node 0 2 MiB pages  0 -> 2,048 · read back 1,900")
        #expect(lines.contains("      feed-xlon runs on CPU 4") && lines.contains { $0.contains("--override feed-xlon --reason") })
        #expect(LayoutScreen.condition(answers) == .needsAPerson)
    }

    @Test("verify has a line for each drift; a silent host makes the whole unknown")
    func verify() {
        var answers = answers { answer in
            var drift = WireLayoutDrift()
            drift.slug = "irq-affinity"
            drift.subject = "IRQ 143 (ens1f0-rx-2)"
            drift.wanted = "CPU 0-1"
            drift.found = "CPU 0-5"
            drift.service = "feed-xlon"
            answer.drift = [drift]
        }
        #expect(lines(answers, .verify).contains("  [irq-affinity] IRQ 143 (ens1f0-rx-2): CPU 0-5, wanted CPU 0-1, disturbs feed-xlon"))
        #expect(LayoutScreen.condition(answers) == .needsAPerson)
        var silent = APIHostLayout()
        silent.host = "ex-2"
        silent.problem = APIProblem(slug: "host-unknown", what: "REFUSED  ex-2 has no session with this coordinator")
        answers.hosts.append(silent)
        #expect(lines(answers, .verify).contains { $0.contains("ex-2 has no session") && $0.hasSuffix("[host-unknown]") })
        #expect(LayoutScreen.condition(answers) == .unknown)
        answers.hosts = [APIHostLayout()]
        answers.hosts[0].host = "st-1"
        #expect(lines(answers, .verify) == ["✓ st-1  as declared"] && LayoutScreen.condition(answers) == .asWanted)
    }
}
