import Glibc
import LinuxHost
import TestSupport
import Testing

@testable import FleetAgent

/// When lines without a time stamp of their own were received.
struct LogReceiptsTests {
    /// The log's last write, in microseconds since 1970.
    private func write(_ scratch: Scratch, _ text: String, at unixMicroseconds: Int64) throws {
        try scratch.append("feed.out", text)
        let time = timespec(tv_sec: Int(unixMicroseconds / 1_000_000), tv_nsec: Int(unixMicroseconds % 1_000_000) * 1_000)
        try #require(utimensat(AT_FDCWD, scratch.path + "/feed.out", [time, time], 0) == 0)
    }

    @Test("a line was received by the first look behind it, also to whoever reads the marks later")
    func marks() throws {
        let scratch = try Scratch()
        let path = scratch.path + "/feed.out"
        var receipts = LogReceipts(of: path)
        try receipts.look()
        #expect(receipts.marks.isEmpty, "there is no log yet")
        try write(scratch, "one\ntwo\n", at: 5_000_000)
        try receipts.look()
        try receipts.look()
        try write(scratch, "three\n", at: 9_000_001)
        try receipts.look()
        #expect(receipts.marks == [.init(offset: 8, unixMicroseconds: 5_000_000), .init(offset: 14, unixMicroseconds: 9_000_001)])
        #expect(receipts.time(at: 0) == 5_000_000 && receipts.time(at: 7) == 5_000_000 && receipts.time(at: 8) == 9_000_001)
        #expect(receipts.time(at: 14) == nil, "nothing stood there at the last look")
        #expect(LogReceipts(of: path) == receipts)
    }

    @Test("a log that was replaced or cut begins anew; half a mark at the end of the file is none")
    func replaced() throws {
        let scratch = try Scratch()
        let path = scratch.path + "/feed.out"
        try write(scratch, "one\ntwo\n", at: 5_000_000)
        var receipts = LogReceipts(of: path)
        try receipts.look()
        try scratch.append("feed.out.received", "half")
        #expect(LogReceipts(of: path).marks == receipts.marks)
        try scratch.write("feed.out", "new\n")
        try receipts.look()
        #expect(receipts.marks.map(\.offset) == [4])
        #expect(LogReceipts(of: path) == receipts)
        for garbage in ["", "short", String(repeating: "\u{7f}", count: 1_000)] {
            try scratch.write("feed.out.received", garbage)
            _ = LogReceipts(of: path)
        }
    }

    @Test("what a full disk did not take is written once there is room; until then it is known all the same", .enabled(if: Tmpfs.isPossible))
    func fullDisk() throws {
        let disk = try Tmpfs(kilobytes: 256)
        let path = disk.path + "/feed.out"
        func log(_ text: String) throws { try Files.writeAtomically(path, Array(text.utf8), sync: false) }
        try log("one\n")
        var receipts = LogReceipts(of: path)
        try receipts.look()
        try log("one\ntwo\n")
        try disk.fill()
        #expect(throws: LinuxError.self) { try receipts.look() }
        #expect(receipts.time(at: 0) != nil)
        try disk.empty()
        try log("one\ntwo\nthree\n")
        try receipts.look()
        #expect(LogReceipts(of: path).marks == receipts.marks)
    }

    @Test("marks are bounded: the older half is told less exactly, the newest lines as before")
    func bounded() throws {
        let scratch = try Scratch()
        let path = scratch.path + "/feed.out"
        var receipts = LogReceipts(of: path)
        for number in 1...(LogReceipts.marksMax + 1) {
            try scratch.append("feed.out", "x")
            try receipts.look()
            #expect(receipts.marks.last?.offset == Int64(number))
        }
        #expect(
            receipts.marks.count < LogReceipts.marksMax && receipts.marks.suffix(100).map(\.offset) == (0..<100).map { Int64(LogReceipts.marksMax - 98 + $0) })
        #expect(zip(receipts.marks, receipts.marks.dropFirst()).allSatisfy { $0.offset < $1.offset })
        #expect(LogReceipts(of: path) == receipts)
    }

    @Test("lines without a stamp are shown when they were received, with a stamp when they say; followed ones when they are read")
    func shown() throws {
        let scratch = try Scratch()
        let path = scratch.path + "/feed.out"
        var receipts = LogReceipts(of: path)
        try write(scratch, "plain\n2026-11-22T02:03:00Z stamped\n", at: 1_795_313_000_000_000)
        try receipts.look()
        try write(scratch, "Traceback\n", at: 1_795_313_780_000_000)
        try receipts.look()
        // The look has not come to this one yet: it was written when the file was.
        try write(scratch, "unseen\n", at: 1_795_313_790_000_000)
        var tail = LogTail(service: "feed", path: path, isError: false, now: { 42 })
        #expect(
            tail.last(10).map(\.unixMicroseconds)
                == [1_795_313_000_000_000, 1_795_312_980_000_000, 1_795_313_780_000_000, 1_795_313_790_000_000])
        try scratch.append("feed.out", "added\n")
        #expect(tail.growth().map(\.unixMicroseconds) == [42])
    }
}
