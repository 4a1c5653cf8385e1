import FleetCore
import FleetWire
import Testing

@testable import FleetCoordinator

struct HomeQueueTests {
    @Test("of a host's reports that nobody has looked at yet the newest alone is kept, and it is looked at once")
    func reports() {
        let queue = HomeQueue()
        func report(_ number: UInt64) -> WireHostReport {
            var report = WireHostReport()
            report.boottimeNs = number
            return report
        }
        #expect(queue.keep(report(1), of: "h-1"))
        #expect(!queue.keep(report(2), of: "h-1"), "one is to be looked at already")
        #expect(queue.keep(report(3), of: "h-2"), "another host's is its own")
        #expect(queue.takeReport(of: "h-1")?.boottimeNs == 2)
        #expect(queue.takeReport(of: "h-1") == nil)
        #expect(queue.keep(report(4), of: "h-1"))
    }

    @Test("a host's other messages wait up to a bound, which what was looked at makes room in, and what is refused does not fill")
    func bytes() {
        let queue = HomeQueue()
        #expect(queue.enter(HomeQueue.bytesMax, of: "h-1"))
        for _ in 0..<2 { #expect(!queue.enter(1, of: "h-1")) }
        #expect(queue.enter(1, of: "h-2"))
        queue.leave(1, of: "h-1")
        #expect(queue.enter(1, of: "h-1") && !queue.enter(1, of: "h-1"))
        queue.leave(HomeQueue.bytesMax, of: "h-1")
        #expect(queue.enter(HomeQueue.bytesMax, of: "h-1"))
    }
}
