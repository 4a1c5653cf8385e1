import Glibc
import LinuxHost
import TestSupport
import Testing

@testable import FleetAgent

/// When lines without a time stamp of their own were received.
struct LogReceiptsTests {
    /// When looks happen that no test is about, in microseconds since 1970.
    private let clock: Int64 = 1_795_313_775_000_000

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
        var marker = LogReceiptMarker(of: path)
        try marker.look(at: 4_000_000)
        #expect(LogReceipts(of: path).marks.isEmpty, "there is no log yet")
        try write(scratch, "one\ntwo\n", at: 5_000_000)
        try marker.look(at: 6_000_000)
        try marker.look(at: 7_000_000)
        try write(scratch, "three\n", at: 9_000_001)
        // Another agent's marker goes on where this one was.
        marker = LogReceiptMarker(of: path)
        try marker.look(at: 10_000_000)
        let receipts = LogReceipts(of: path)
        #expect(receipts.marks == [.init(offset: 8, earliest: 4_000_000, latest: 5_000_000), .init(offset: 14, earliest: 5_000_000, latest: 9_000_001)])
        #expect(receipts.receipt(at: 0) == .init(earliest: 4_000_000, latest: 5_000_000) && receipts.receipt(at: 7) == receipts.receipt(at: 0))
        #expect(receipts.receipt(at: 8) == .init(earliest: 5_000_000, latest: 9_000_001))
        #expect(receipts.receipt(at: 14) == nil, "nothing stood there at the last look")
    }

    @Test("a log that was replaced or cut begins anew; half a mark at the end of the file is none")
    func replaced() throws {
        let scratch = try Scratch()
        let path = scratch.path + "/feed.out"
        try write(scratch, "one\ntwo\n", at: 5_000_000)
        var marker = LogReceiptMarker(of: path)
        try marker.look(at: clock)
        let before = LogReceipts(of: path).marks
        try scratch.append("feed.out.received", "half")
        #expect(LogReceipts(of: path).marks == before && before.count == 1)
        try scratch.write("feed.out", "new\n")
        try marker.look(at: clock)
        #expect(LogReceipts(of: path).marks.map(\.offset) == [4])
        for garbage in ["", "short", String(repeating: "\u{7f}", count: 1_000)] {
            try scratch.write("feed.out.received", garbage)
            #expect(LogReceipts(of: path).marks.allSatisfy { $0.offset > 4 }, "none that could be this log's")
            try scratch.append("feed.out", "more\n")
            var next = LogReceiptMarker(of: path)
            try next.look(at: clock)
            #expect(LogReceipts(of: path).marks.count == 1)
        }
    }

    @Test("what a full disk did not take is written once there is room; until then it is known all the same", .enabled(if: Tmpfs.isPossible))
    func fullDisk() throws {
        let disk = try Tmpfs(kilobytes: 256)
        let path = disk.path + "/feed.out"
        func log(_ text: String) throws { try Files.writeAtomically(path, Array(text.utf8), sync: false) }
        try log("one\n")
        var marker = LogReceiptMarker(of: path)
        try marker.look(at: clock)
        let file = open(path, O_WRONLY | O_APPEND | O_CLOEXEC)
        defer { close(file) }
        try #require(Glibc.write(file, "two\n", 4) == 4)
        try disk.fill()
        // Nothing more is written to it: the look is made good all the same.
        var failed = false
        do { try marker.look(at: clock) } catch { failed = true }
        try disk.empty()
        try marker.look(at: clock)
        #expect(LogReceipts(of: path).marks.map(\.offset) == [4, 8], "it failed first: \(failed)")
    }

    @Test("marks are bounded: the older half is told less exactly, the newest lines as before")
    func bounded() throws {
        let scratch = try Scratch()
        let path = scratch.path + "/feed.out"
        var marker = LogReceiptMarker(of: path)
        for _ in 1...(LogReceipts.marksMax + 1) {
            try scratch.append("feed.out", "x")
            try marker.look(at: clock)
        }
        let marks = LogReceipts(of: path).marks
        #expect(marks.count < LogReceipts.marksMax && marks.suffix(100).map(\.offset) == (0..<100).map { Int64(LogReceipts.marksMax - 98 + $0) })
        #expect(zip(marks, marks.dropFirst()).allSatisfy { $0.offset < $1.offset })
    }

    @Test("lines without a stamp are shown when they were received, with a stamp when they say; followed ones when they are read")
    func shown() throws {
        let scratch = try Scratch()
        let path = scratch.path + "/feed.out"
        var marker = LogReceiptMarker(of: path)
        try write(scratch, "plain\n2026-11-22T02:03:00Z stamped\n", at: 1_795_313_000_000_000)
        try marker.look(at: clock)
        try write(scratch, "Traceback\n", at: 1_795_313_780_000_000)
        try marker.look(at: clock)
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
