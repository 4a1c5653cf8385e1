import CLinux
import FleetCore
import Glibc
import LinuxHost
import Testing

@testable import LinuxHost

/// Threads of real processes.
@Suite(.serialized) struct ThreadPlacementTests {
    @Test("a thread's name, CPUs, policy and time, as it set them itself")
    func ownThread() throws {
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        // The thread says that it is set up by its own pipe, and ends when the other is closed.
        var ready: [Int32] = [-1, -1]
        try #require(pipe(&ready) == 0)
        let descriptors = (ends[0], ready[1])
        let thread = try Self.start {
            clinux_name_thread("rx-xlon")
            let mask: [UInt8] = [1] + [UInt8](repeating: 0, count: Int(CLINUX_CPUS_MAX) / 8 - 1)
            _ = clinux_set_affinity(0, mask, mask.count)
            var parameters = sched_param(sched_priority: 7)
            pthread_setschedparam(pthread_self(), SCHED_RR, &parameters)
            _ = write(descriptors.1, "x", 1)
            var byte: UInt8 = 0
            _ = read(descriptors.0, &byte, 1)
        }
        var byte: UInt8 = 0
        try #require(read(ready[0], &byte, 1) == 1)
        let threads = try ThreadPlacements.read(pid: getpid())
        let found = try #require(threads.first { $0.name == "rx-xlon" })
        #expect(found.cpus == CPUList([0]) && found.lastCPU == 0)
        #expect(found.policy == (geteuid() == 0 ? "rr 7" : "other"))
        let main = try #require(threads.first { $0.tid == getpid() })
        #expect(main.cpus?.isEmpty == false && main.cpuTime >= .zero && main.policy == "other")
        for end in [ends[1], ready[0], ready[1]] { close(end) }
        pthread_join(thread, nil)
        close(ends[0])
    }

    @Test("a number that is no process is ESRCH")
    func gone() {
        #expect(throws: LinuxError("list the threads of", "process 4194305", errno: ESRCH)) { try ThreadPlacements.read(pid: 4_194_305) }
        #expect(throws: LinuxError("list what is open in", "process 4194305", errno: ESRCH)) { try OpenFiles.read(pid: 4_194_305) }
    }

    @Test("stat lines with anything in the name, and every policy")
    func stat() throws {
        let tail = "S 1 1 1 0 -1 4194560 100 0 0 0 250 50 0 0 20 -5 1 0 12345 0 0 18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 3 0 0 0 0 0 0 0 0 0 0 0 0 0"
        let plain = try #require(ThreadPlacements.parse(Array("42 (a) (b) S) \(tail)\n".utf8)))
        #expect(plain.tid == 42 && plain.name == "a) (b) S" && plain.policy == "other nice -5" && plain.lastCPU == 3)
        #expect(plain.cpuTime == .seconds(3))
        let fifo = tail.replacing(" 17 3 0 0 ", with: " 17 3 50 1 ")
        #expect(ThreadPlacements.parse(Array("42 (x) \(fifo)".utf8))?.policy == "fifo 50")
        let deadline = tail.replacing(" 17 3 0 0 ", with: " 17 3 0 6 ")
        #expect(ThreadPlacements.parse(Array("42 (x) \(deadline)".utf8))?.policy == "deadline")
        for broken in ["", "42", "42 (x", "42 (x) S 1 2 3", "x (y) \(tail)"] { #expect(ThreadPlacements.parse(Array(broken.utf8)) == nil, "\(broken)") }
    }

    @Test("an affinity changed from outside is drift, with the worker's name, and none once it is put back")
    func movedFromOutside() throws {
        let topology = HostTopology.read()
        let online = try #require(topology.online)
        let (first, last) = (try #require(online.cpus.first), try #require(online.cpus.last))
        guard first != last else { return print("affinity drift: one CPU here, nowhere to move to") }
        let worker = try Spawned(["sleep", "300"])
        var demand = LayoutDemand(workers: [.init(service: "feed", exclusive: CPUList([last]), pid: worker.pid)])
        func drift() -> LayoutVerification {
            LayoutVerifier.verify(demand, topology: topology, observation: .read(demand, topology: topology))
        }
        func place(_ cpu: Int) {
            var mask = [UInt8](repeating: 0, count: Int(CLINUX_CPUS_MAX) / 8)
            mask[cpu / 8] = 1 << (cpu % 8)
            #expect(clinux_set_affinity(worker.pid, mask, mask.count) == 0)
        }
        place(last)
        #expect(drift().drift.filter { $0.slug == .threadAffinity } == [])
        place(first)
        // posix_spawn's child may still bear our own name.
        #expect(drift().drift.filter { $0.slug == .threadAffinity }.map(\.found) == ["CPU \(first)"])
        place(last)
        #expect(drift().drift.filter { $0.slug == .threadAffinity } == [])
        worker.end()
        let after = drift()
        #expect(after.drift.filter { $0.slug == .threadAffinity } == [] && after.notes.contains("feed: where its threads may run can't be read"))
        demand.workers[0].pid = nil
        #expect(!drift().notes.contains { $0.contains("feed") })
    }

    private static func start(_ body: @escaping @Sendable () -> Void) throws -> pthread_t {
        final class Box {
            let body: @Sendable () -> Void
            init(_ body: @escaping @Sendable () -> Void) { self.body = body }
        }
        var thread = pthread_t()
        let box = Unmanaged.passRetained(Box(body))
        let result = pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body()
                return nil
            }, box.toOpaque())
        try #require(result == 0)
        return thread
    }
}
