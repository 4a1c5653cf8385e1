import FleetCore
import Glibc
import LinuxHost
import Testing

/// This machine's own pages and interrupt lines, put back as they were.
///
/// Whoever changes them holds the lock: another run of tests on the same machine waits.
@Suite(.serialized) struct LayoutWriterTests {
    static let mebibytes2: UInt64 = 2 << 20
    static let gibibyte: UInt64 = 1 << 30

    static func canReserve(_ pageBytes: UInt64) -> Bool {
        geteuid() == 0 && LayoutWriter.obstacle() == nil && HostTopology.read().pool(node: 0, pageBytes: pageBytes) != nil
    }

    /// What this machine's pools and lines are changed under.
    static func exclusively<Result>(_ body: () throws -> Result) throws -> Result {
        let descriptor = open("/tmp/trading-test-layout.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        // lockf waits; a holder that dies lets go.
        try #require(lockf(descriptor, F_LOCK, 0) == 0)
        return try body()
    }

    private func pool(_ pageBytes: UInt64) throws -> HostTopology.Pool { try #require(HostTopology.read().pool(node: 0, pageBytes: pageBytes)) }

    private func change(_ pageBytes: UInt64, to count: UInt64) -> LayoutChange {
        LayoutChange(.hugepages(node: 0, pageBytes: pageBytes, from: nil, to: count))
    }

    @Test(
        "real 2 MiB pages are reserved, read back, held in use, not taken away while in use, and given back",
        .enabled(if: canReserve(mebibytes2), "needs root, a writable /sys and 2 MiB pages on node 0"))
    func smallPages() throws {
        try Self.exclusively {
            let before = try pool(Self.mebibytes2)
            let wanted = before.total + 4
            defer { #expect(LayoutWriter.apply(change(Self.mebibytes2, to: before.total)).isDone) }
            #expect(LayoutWriter.apply(change(Self.mebibytes2, to: wanted)) == .done(readBack: "\(wanted)"))
            #expect(LayoutWriter.apply(change(Self.mebibytes2, to: wanted)) == .done(readBack: "\(wanted)"), "already so")
            let reserved = try pool(Self.mebibytes2)
            #expect(reserved.total == wanted)
            // Every free page but two is taken, so that the pool can't shrink below.
            let free = try #require(reserved.free)
            let held = Int(free) * Int(Self.mebibytes2)
            let memory = mmap(nil, held, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | 0x40000 /* MAP_HUGETLB */ | 21 << 26 /* of 2 MiB */, -1, 0)
            try #require(memory != MAP_FAILED, "\(LinuxError.text(errno))")
            memset(try #require(memory), 1, held)
            let used = try #require(try pool(Self.mebibytes2).used)
            #expect(used == wanted)
            var demand = LayoutDemand(hugepages: [HugepageCount(node: 0, pageBytes: Self.mebibytes2, count: wanted - 2)])
            let refused = LayoutPlanner.plan(demand, on: HostTopology.read()).changes.first { $0.subject == "node 0 2 MiB pages" }
            #expect(refused?.refused?.contains("are in use") == true)
            // What the planner refuses, the kernel doesn't do either.
            let outcome = LayoutWriter.apply(change(Self.mebibytes2, to: wanted - 2))
            #expect(
                outcome
                    == .short(
                        readBack: "\(wanted)",
                        text: "asked to go down to \(wanted - 2), \(wanted) are left: the others are in use; stop who holds them and apply again"))
            demand.workers = [.init(service: "feed", hugepages: [HugepageCount(node: 0, pageBytes: Self.mebibytes2, count: 1)])]
            let drift = LayoutVerifier.verify(demand, topology: HostTopology.read(), observation: LayoutObservation()).drift
            #expect(drift.map(\.description) == ["free 2 MiB pages of node 0: 0, wanted 1 to start feed"])
            munmap(memory, held)
        }
    }

    @Test(
        "1 GiB pages: what is granted is what is read back, be it less than asked",
        .enabled(if: canReserve(gibibyte), "needs root, a writable /sys and 1 GiB pages on node 0"))
    func largePages() throws {
        try Self.exclusively {
            let before = try pool(Self.gibibyte)
            let outcome = LayoutWriter.apply(change(Self.gibibyte, to: before.total + 1))
            let after = try pool(Self.gibibyte)
            switch outcome {
            case .done(let readBack): #expect(readBack == "\(before.total + 1)" && after.total == before.total + 1)
            case .short(let readBack, let text):
                #expect(readBack == "\(after.total)" && text.hasPrefix("asked \(before.total + 1), granted \(after.total): "))
            case .failed(let error): Issue.record(error)
            }
            print("1 GiB pages: \(outcome.text)")
            #expect(LayoutWriter.apply(change(Self.gibibyte, to: before.total)).isDone)
        }
    }

    @Test("a real interrupt line is moved and put back, or the kernel's refusal is told", .enabled(if: geteuid() == 0, "needs root"))
    func interrupts() throws {
        try Self.exclusively {
            let topology = HostTopology.read()
            guard let line = topology.interruptLines.last, let cpus = line.cpus, let target = line.effective ?? cpus.cpus.last.map({ CPUList([$0]) }),
                target != cpus
            else { return print("interrupt lines: none here that could be moved (\(topology.interruptLines.count) lines)") }
            let outcome = LayoutWriter.apply(LayoutChange(.interrupt(number: line.number, name: line.name, from: cpus, to: target)))
            print("\(line.subject) from \(cpus) to \(target): \(outcome.text)")
            switch outcome {
            case .done:
                #expect(topology.refreshed().interruptLines.first { $0.number == line.number }?.cpus == target)
                #expect(
                    LayoutWriter.apply(LayoutChange(.interrupt(number: line.number, name: line.name, from: target, to: cpus)))
                        == .done(readBack: cpus.description))
            case .short, .failed: #expect(topology.refreshed().interruptLines.first { $0.number == line.number }?.cpus == cpus)
            }
            let none = LayoutWriter.apply(LayoutChange(.interrupt(number: line.number, name: line.name, from: cpus, to: CPUList([1_000]))))
            guard case .failed(let error) = none else {
                Issue.record("delivered to a CPU that isn't there: \(none)")
                return
            }
            #expect(error.errno != 0 && !error.advice.isEmpty)
        }
    }
}
