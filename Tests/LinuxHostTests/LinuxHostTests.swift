import CLinux
import FleetCore
import Glibc
import LinuxHost
import Testing

/// The kernel's offers one by one.
@Suite(.serialized) struct LinuxHostTests {
    let fixture: ShimFixture
    var directory: String { fixture.runDirectory }

    init() throws { fixture = try ShimFixture() }

    @Test("RFC 3339 with microseconds, over leap days and centuries")
    func rfc3339() {
        #expect(Clock.rfc3339(unixMicroseconds: 0) == "1970-01-01T00:00:00.000000Z")
        #expect(Clock.rfc3339(unixMicroseconds: 1_795_453_500_412_345) == "2026-11-23T17:05:00.412345Z")
        #expect(Clock.rfc3339(unixMicroseconds: 1_709_164_800_000_001) == "2024-02-29T00:00:00.000001Z")
        #expect(Clock.rfc3339(unixMicroseconds: 4_107_542_399_999_999) == "2100-02-28T23:59:59.999999Z")
        #expect(Clock.rfc3339(unixMicroseconds: 4_107_542_400_000_000) == "2100-03-01T00:00:00.000000Z")
    }

    @Test("a pidfd is refused for a number that now is another process, for one that is gone and for another boot")
    func identities() throws {
        let own = try ProcessIdentity.read(pid: getpid())
        #expect(try own.isAlive())
        let before = ProcessIdentity(pid: own.pid, startTime: own.startTime - 1, bootID: own.bootID)
        #expect(throws: PIDFD.Failure.otherProcess(wanted: before, found: own)) { try PIDFD(opening: before) }
        let otherBoot = ProcessIdentity(pid: own.pid, startTime: own.startTime, bootID: "another")
        #expect(throws: PIDFD.Failure.gone(otherBoot)) { try PIDFD(opening: otherBoot) }
        let none = ProcessIdentity(pid: 4_194_305, startTime: 1, bootID: own.bootID)
        #expect(try !none.isAlive())
        #expect(throws: LinuxError("identify", "process 4194305", errno: ESRCH)) { try ProcessIdentity.read(pid: 4_194_305) }
        #expect(try !PIDFD(opening: own).isGone(within: .zero))
        let up = try #require(try Processes.uptime(of: own, now: Clock.boottime()))
        #expect(up > .zero && up < .seconds(86_400))
    }

    @Test("signals by name, with and without SIG, and by number")
    func signals() {
        #expect(Signals.number(named: "TERM") == 15 && Signals.number(named: "SIGKILL") == 9 && Signals.number(named: "40") == 40)
        #expect(Signals.number(named: "term") == nil && Signals.number(named: "0") == nil && Signals.number(named: "65") == nil)
        #expect(Signals.name(15) == "SIGTERM" && Signals.name(40) == "signal 40")
    }

    @Test("files are written whole, read whole or not at all, and listed without their temporary brothers")
    func files() throws {
        let path = "\(directory)/a/b/file"
        try Files.makeDirectory("\(directory)/a/b", mode: 0o700)
        try Files.writeAtomically(path, Array("one".utf8), mode: 0o604, sync: true)
        try Files.writeAtomically(path, Array("three".utf8), mode: 0o604, sync: false)
        #expect(try Files.read(path, limit: 5) == Array("three".utf8))
        #expect(throws: LinuxError("read", path, errno: EFBIG)) { try Files.read(path, limit: 4) }
        #expect(try Files.list("\(directory)/a/b") == ["file"])
        var status = stat()
        #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o604)
        #expect(try Files.readIfPresent("\(path).none", limit: 1) == nil)
        #expect(throws: LinuxError("make the directory", "\(path)", errno: ENOTDIR)) { try Files.makeDirectory(path) }
        #expect(throws: LinuxError.self) { try Files.writeAtomically("\(directory)/none/file", [], sync: false) }
        #expect(try Files.freeBytes(directory) > 0)
        try Files.removeTree("\(directory)/a")
        #expect(!Files.exists("\(directory)/a"))
        try Files.removeTree("\(directory)/a")
        #expect(LinuxError("lock", "/x/slot", errno: EAGAIN).description == "cannot lock /x/slot: Resource temporarily unavailable")
    }

    @Test("an entry of a directory is read as far as its name goes: behind it the memory may end")
    func lastEntry() throws {
        let page = sysconf(Int32(_SC_PAGESIZE))
        let memory = try #require(mmap(nil, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))
        defer { munmap(memory, 2 * page) }
        #expect(mprotect(memory + page, page, PROT_NONE) == 0)
        // As the kernel packs it (getdents64(2)): 19 bytes, the name, a zero; 8 bytes are a unit.
        let entry = memory + page - 24
        (entry + 19).copyMemory(from: Array("last".utf8) + [0], byteCount: 5)
        #expect(Files.name(of: entry.assumingMemoryBound(to: dirent.self)) == "last")
    }

    @Test("a lock is held once, and free when its holder lets go")
    func locks() throws {
        let path = "\(directory)/lock"
        #expect(try !FileLock.isHeld(path: path))
        var first = try Files.lock(path)
        #expect(first != nil)
        #expect(try FileLock.isHeld(path: path))
        #expect(try Files.lock(path) == nil)
        first = nil
        #expect(try !FileLock.isHeld(path: path))
        #expect(try Files.lock(path) != nil)
    }

    @Test("sockets work below paths longer than a socket address, and know who connects")
    func sockets() throws {
        let deep = "\(directory)/\(String(repeating: "long/", count: 40))end"
        try Files.makeDirectory(deep)
        #expect(throws: LinuxError("connect to", "\(deep)/s", errno: ENOENT)) { try UnixSocket.connect(in: deep, name: "s") }
        let listener = try UnixSocket.listen(path: "\(deep)/s", mode: 0o660)
        var status = stat()
        #expect(stat("\(deep)/s", &status) == 0 && status.st_mode & 0o777 == 0o660)
        let client = try UnixSocket.connect(in: deep, name: "s")
        let accepted = accept(listener, nil, nil)
        let peer = try UnixSocket.peerCredentials(accepted)
        #expect(peer.pid == getpid() && peer.user == geteuid() && peer.group == getegid())
        #expect(throws: LinuxError.self) { try UnixSocket.listen(path: "\(deep)/s") }
        close(accepted)
        close(client)
        close(listener)
        // Left by somebody who died.
        #expect(throws: LinuxError("connect to", "\(deep)/s", errno: ECONNREFUSED)) { try UnixSocket.connect(in: deep, name: "s") }
        close(try UnixSocket.listen(path: "\(deep)/s"))
    }

    @Test("host facts are read from a tree; what is missing is unknown, not zero")
    func hostFacts() throws {
        let root = "\(directory)/root"
        func put(_ path: String, _ text: String) throws {
            let full = "\(root)\(path)"
            try Files.makeDirectory(String(full[..<full.lastIndex(of: "/")!]))
            try Files.writeAtomically(full, Array(text.utf8), sync: false)
        }
        try put("/proc/meminfo", "MemTotal:       16384 kB\nMemFree: 1 kB\nMemAvailable:    8192 kB\n")
        try put("/proc/loadavg", "0.10 1.20 2.30 1/100 1234\n")
        try put("/proc/uptime", "12.50 20.00\n")
        try put("/proc/sys/kernel/osrelease", "6.1.0-test\n")
        try put("/proc/cmdline", "quiet isolcpus=2-3\n")
        try put("/sys/devices/system/cpu/online", "0-3,6\n")
        for (pool, size, numbers) in [
            ("/sys/kernel/mm/hugepages", 2048, (10, 4, 1)), ("/sys/devices/system/node/node1/hugepages", 2048, (10, 4, 0)),
            ("/sys/devices/system/node/node0/hugepages", 1_048_576, (2, 2, 0)),
        ] {
            try put("\(pool)/hugepages-\(size)kB/nr_hugepages", "\(numbers.0)\n")
            try put("\(pool)/hugepages-\(size)kB/free_hugepages", "\(numbers.1)\n")
            if !pool.contains("node") { try put("\(pool)/hugepages-\(size)kB/resv_hugepages", "\(numbers.2)\n") }
        }
        let facts = HostFacts.read(root: root, disk: root)
        #expect(facts.unreadable.isEmpty)
        #expect(facts.memoryTotal == 16_384 * 1_024 && facts.memoryAvailable == 8_192 * 1_024)
        #expect(facts.load == [0.1, 1.2, 2.3] && facts.uptime == .milliseconds(12_500) && facts.kernel == "6.1.0-test")
        #expect(facts.cpusOnline == CPUList([0, 1, 2, 3, 6]) && facts.diskFree != nil)
        #expect(facts.commandLine == "quiet isolcpus=2-3" && facts.time == nil)
        #expect(facts.hugepages.map(\.node) == [nil, 0, 1])
        #expect(facts.hugepages.map(\.pageBytes) == [2 << 20, 1 << 30, 2 << 20])
        #expect(facts.hugepages[0].reserved == 1 && facts.hugepages[1].reserved == nil)

        let none = HostFacts.read(root: "\(root)/none")
        #expect(none.memoryTotal == nil && none.load.isEmpty && none.uptime == nil && none.hugepages.isEmpty && none.cpusOnline == nil)
        #expect(none.unreadable.count == 6 && none.commandLine == nil && none.time == nil)
        let here = HostFacts.read(disk: "/")
        #expect(here.unreadable.isEmpty && here.memoryTotal ?? 0 > 0 && here.commandLine != nil && here.time?.isKnown == true)
    }
}
