import FleetWire
import Foundation
import Glibc
import TestSupport
import Testing

/// Real 2 MiB pages: free before a start, measured after a stop.
///
/// The pool of this machine is as it was when they end.
@Suite(.serialized, .enabled(if: HugepagePool.isPossible, "reserves huge pages: needs root")) struct HugepageTests {
    private func host(_ pool: HugepagePool, keeps: [String] = [], wants: UInt64 = 4) throws -> TortureHost {
        let host = try TortureHost()
        host.addObedient("worker") { spec in
            var pages = WireHugepageCount()
            pages.node = 0
            pages.pageBytes = 2 << 20
            pages.count = wants
            spec.hugepages = [pages]
            spec.hugepageMount = pool.mount
            spec.hugepageKeeps = keeps
        }
        try host.startAgent()
        return host
    }

    private func check(_ host: TortureHost) throws -> String { try host.records("WORKER_VERIFIED", of: "worker").last?["hugepages"] ?? "no record" }

    @Test("anonymous pages are back in the pool after a stop, and that is measured")
    func back() throws {
        let pool = try HugepagePool(pages: 8)
        let host = try host(pool)
        defer { host.end() }
        #expect(try host.local("start", "worker", "--reason", "test").status == 0, "\(host.agent?.log ?? "")")
        try host.tell("worker", "pages 4")
        #expect(!host.said("worker").contains { $0.word == "no-pages" } && pool.free == 4)
        let stop = try host.local("stop", "worker", "--reason", "test")
        #expect(stop.status == 0, "\(stop.text)")
        #expect(try check(host) == "clear: 4 of 4 back" && pool.free == 8)
        try host.verify()
    }

    @Test("pages that it declares to keep are not missed, and are its own at the next start; a file that it doesn't keep fails the stop")
    func keeps() throws {
        let pool = try HugepagePool(pages: 6)
        let host = try host(pool, keeps: ["kept_*"])
        defer { host.end() }
        // The second time only four of six are free, and two of its four it has already.
        for _ in 0..<2 {
            let start = try host.local("start", "worker", "--reason", "test")
            #expect(start.status == 0, "\(start.text)\n\(host.agent?.log ?? "")")
            try host.tell("worker", "pages 2 \(pool.mount)/kept_1")
            #expect(try host.local("stop", "worker", "--reason", "test").status == 0, "\(host.screen)")
            #expect(try check(host) == "clear: 4 of 4 back, 2 kept as declared" && pool.free == 4)
        }
        #expect(try host.local("start", "worker", "--reason", "test").status == 0)
        try host.tell("worker", "pages 1 \(pool.mount)/other")
        let stop = try host.local("stop", "worker", "--reason", "test")
        #expect(stop.status == 1 && flat(stop.text).contains("has left something behind: \(pool.mount)/other is left, which it doesn't keep"), "\(stop.text)")
        #expect(try host.state("worker") == "STOPPED")
        // In the way of the next start, too.
        let again = try host.local("start", "worker", "--reason", "test")
        #expect(again.status == 1 && flat(again.text).contains("\(pool.mount)/other is left in \(pool.mount)"), "\(again.text)")
        try FileManager.default.removeItem(atPath: pool.mount + "/other")
        let looked = try host.local("stop", "worker", "--reason", "looked at again")
        #expect(looked.status == 0, "\(looked.text)")
        try host.verify()
    }

    @Test("pages that another process still holds are missed by their count; the stop is not proven until they are back")
    func held() throws {
        let pool = try HugepagePool(pages: 8)
        let host = try host(pool)
        defer { host.end() }
        let keeper = try host.keeper()
        defer { keeper.killNow() }
        #expect(try host.local("start", "worker", "--reason", "test").status == 0, "\(host.agent?.log ?? "")")
        try host.tell("worker", "pages 3 \(pool.mount)/gone")
        try host.tell("worker", "give \(host.directory)/keeper")
        #expect(eventually(within: 5) { keeper.log.contains("kept") })
        try FileManager.default.removeItem(atPath: pool.mount + "/gone")
        let stop = try host.local("stop", "worker", "--reason", "test")
        let words = "3 2 MiB pages on node 0 are not back (5 free, 8 before its start)"
        #expect(stop.status == 1 && flat(stop.text).contains(words), "\(stop.text)")
        #expect(try check(host) == "left: \(words)")
        keeper.killNow()
        let again = try host.local("stop", "worker", "--reason", "looked at again")
        #expect(again.status == 0, "\(again.text)")
        #expect(try check(host) == "clear: 4 of 4 back")
        try host.verify()
    }

    @Test("with too few free pages it is not launched, in one sentence")
    func tooFew() throws {
        let pool = try HugepagePool(pages: 3)
        let host = try host(pool)
        defer { host.end() }
        let start = try host.local("start", "worker", "--reason", "test")
        #expect(
            start.status == 1
                && flat(start.text).contains("needs 4 free 2 MiB pages on node 0, 3 of 3 are free. Reserve more: trading layout apply"), "\(start.text)")
        #expect(host.said("worker").isEmpty)
        #expect(try host.state("worker") == "FAILED")
        try host.verify()
    }
}

/// The 2 MiB pages of node 0 and a hugetlbfs of its own; both as before once it is let go.
final class HugepagePool {
    static let file = "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/"
    static var isPossible: Bool { geteuid() == 0 && access(file + "nr_hugepages", W_OK) == 0 }

    /// The lock of whoever changes them.
    static let lock = "hugepages"

    let mount: String
    private let before: String
    private let lock = HostLock(HugepagePool.lock)

    init(pages: Int) throws {
        before = try String(contentsOfFile: Self.file + "nr_hugepages", encoding: .utf8)
        mount = "/tmp/huge-\(UUID().uuidString.prefix(8).lowercased())"
        try FileManager.default.createDirectory(atPath: mount, withIntermediateDirectories: false)
        #expect(Glibc.mount("hugetlbfs", mount, "hugetlbfs", 0, "pagesize=2M") == 0, "cannot mount a hugetlbfs: \(String(cString: strerror(errno)))")
        set("\(pages)")
        #expect(free == pages, "the kernel gave \(free) of \(pages) pages")
    }

    deinit {
        umount2(mount, Int32(MNT_DETACH))
        rmdir(mount)
        set(before)
    }

    var free: Int { Self.number("free_hugepages") }
    static var total: Int { number("nr_hugepages") }

    private static func number(_ name: String) -> Int {
        ((try? String(contentsOfFile: file + name, encoding: .utf8)).map { $0.trimmingCharacters(in: .whitespacesAndNewlines) }).flatMap { Int($0) } ?? -1
    }

    private func set(_ text: String) { Self.set(text) }

    static func set(_ text: String) {
        let fd = open(file + "nr_hugepages", O_WRONLY | O_CLOEXEC)
        _ = write(fd, text, text.utf8.count)
        close(fd)
    }
}

extension TortureHost {
    /// A process of nobody's tree that takes one descriptor from a worker and keeps it.
    func keeper() throws -> TestProcess {
        let keeper = try TestProcess("keeper", TestFleet.bin + "/torture-worker", ["keep", directory + "/keeper"], log: directory + "/keeper.log")
        #expect(eventually(within: 5) { access(directory + "/keeper", F_OK) == 0 })
        return keeper
    }
}
