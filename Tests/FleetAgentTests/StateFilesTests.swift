import Foundation
import Glibc
import LinuxHost
import Synchronization
import TestSupport
import Testing

@testable import FleetAgent

/// Digests of files that stand still; of others there is none.
@Suite struct StateFilesTests {
    @Test("a file that is written to, or grows, while it is read has no digest; it says so, and the others have theirs", arguments: [false, true])
    func changing(grows: Bool) throws {
        let scratch = try Scratch()
        let (path, still) = (try scratch.write("book", "x"), try scratch.write("still", "y"))
        #expect(truncate(path, 64 << 20) == 0)
        let isOver = Mutex(false)
        let (began, ended) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        let writer = Thread {
            let file = open(path, O_WRONLY | (grows ? O_APPEND : 0))
            _ = Glibc.write(file, "z", 1)
            began.signal()
            while !isOver.withLock({ $0 }) { _ = Glibc.write(file, "z", 1) }
            close(file)
            ended.signal()
        }
        writer.start()
        began.wait()
        let digests = StateFiles.digests([path, still])
        isOver.withLock { $0 = true }
        ended.wait()
        #expect(digests[path]?.hasPrefix("unreadable: ") == true && digests[path]?.contains("written to while it was read") == true, "\(digests)")
        #expect(digests[still]?.count == 64)
        #expect(StateFiles.digests([path])[path]?.count == 64)
    }

    @Test("past the time for all of them what is too long to read is given up by its size, and what is short is not")
    func late() throws {
        let scratch = try Scratch()
        let (path, short) = (try scratch.write("book", "x"), try scratch.write("short", "y"))
        #expect(truncate(path, 1 << 40) == 0)
        let digests = StateFiles.digests([path, short], within: .milliseconds(50))
        #expect(digests[path]?.contains("it has \(1 << 40) bytes") == true && digests[short]?.count == 64, "\(digests)")
    }
}
