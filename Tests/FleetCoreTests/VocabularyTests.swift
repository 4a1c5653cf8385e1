import FleetCore
import TestSupport
import Testing

struct VocabularyTests {
    @Test(
        "CPU lists are read as the kernel writes them",
        arguments: [("0", [0]), ("0-1,4", [0, 1, 4]), ("4,0-1", [0, 1, 4]), ("3,3,2-4", [2, 3, 4]), ("1023", [1_023]), ("7-7", [7])])
    func cpus(text: String, cpus: [Int]) { #expect(CPUList(text)?.cpus == cpus) }

    @Test(
        "what is no CPU list is refused",
        arguments: ["", ",", "1,", ",1", "a", "1-", "-1", "2-1", "1-2-3", "1 ", "+1", "1024", "0-1024", "99999999999999999999", "١", "0x1"])
    func noCPUs(text: String) { #expect(CPUList(text) == nil) }

    @Test("a CPU list survives being written and read, and is written shortest")
    func cpuRoundTrip() {
        #expect(CPUList([4, 0, 1, 1, 7, 6, 5]).description == "0-1,4-7" && CPUList([]).description == "")
        for seed in seeds(200, of: "CPU lists") {
            var random = SplitMix64(seed: seed)
            let list = CPUList((0...random.below(30)).map { _ in random.below(64) })
            #expect(CPUList(list.description) == list, "\(howToRepeat(seed, "VocabularyTests"))")
        }
        let a = CPUList([0, 1, 2])
        #expect(a.intersection(CPUList([2, 3])) == CPUList([2]) && a.union(CPUList([3])).description == "0-3" && a.contains(1) && !a.contains(3))
    }

    @Test("boot time saturates at both ends and never traps")
    func bootTime() {
        let one = BootTime(nanoseconds: 1)
        #expect(one + .nanoseconds(2) == BootTime(nanoseconds: 3))
        for down: Duration in [.nanoseconds(-2), .seconds(Int64.min), .nanoseconds(Int64.min)] { #expect(one + down == .zero) }
        #expect(BootTime(nanoseconds: .max) + .seconds(1) == BootTime(nanoseconds: .max))
        #expect(
            BootTime(nanoseconds: 5) - BootTime(nanoseconds: 8) == .nanoseconds(-3) && BootTime(nanoseconds: 8) - BootTime(nanoseconds: 5) == .nanoseconds(3))
        #expect(BootTime(nanoseconds: .max) - BootTime.zero == .nanoseconds(Int64.max))
        #expect(BootTime.zero - BootTime(nanoseconds: .max) == .nanoseconds(-Int64.max))
        #expect(Duration.seconds(Int64.max).nanoseconds == .max && Duration.seconds(Int64.min).nanoseconds == .min)
    }

    @Test(
        "durations are written as an operator writes them",
        arguments: [
            (Duration.nanoseconds(999), "0 us"), (.microseconds(250), "250 us"), (.milliseconds(250), "250 ms"), (.milliseconds(3_199), "3.1 s"),
            (.milliseconds(59_999), "59.9 s"),
            (.seconds(60), "1 min"), (.seconds(125), "2 min 05 s"), (.seconds(35_880), "9 h 58 min"), (.seconds(86_400 * 12), "12 d"), (.seconds(-5), "0 us"),
            (.seconds(Int64.max), "106751 d"),
        ])
    func words(duration: Duration, words: String) { #expect(duration.words == words) }

    @Test("service@host is read; anything else is not")
    func workerNames() {
        let text = "order-gateway@ex-1"
        #expect(WorkerName(text) == WorkerName("order-gateway", on: "ex-1"))
        #expect(WorkerName(text)?.description == text)
        for text in ["", "@", "a@", "@b", "a", "a@b@c", "a@@b"] { #expect(WorkerName(text) == nil, "\(text)") }
        #expect(WorkerName("a", on: "b") < WorkerName("a", on: "c") && WorkerName("a", on: "z") < WorkerName("b", on: "a"))
    }

    @Test("names are letters, digits, dash, underscore and dot, from a letter or digit, up to 63")
    func names() {
        for name in ["a", "0", "md-1", "A_b.c", String(repeating: "x", count: 63)] { #expect(isValidName(name), "\(name)") }
        for name in ["", "-a", ".a", "_a", "a b", "a@b", "a/b", "é", "a\n", String(repeating: "x", count: 64)] { #expect(!isValidName(name), "\(name)") }
    }

    @Test("an audit event's word is upper case and its own")
    func auditEvents() {
        #expect(Set(AuditEvent.allCases.map(\.rawValue)).count == AuditEvent.allCases.count)
        #expect(AuditEvent.allCases.allSatisfy { $0.rawValue.allSatisfy { $0.isUppercase || $0 == "_" } })
    }
}
