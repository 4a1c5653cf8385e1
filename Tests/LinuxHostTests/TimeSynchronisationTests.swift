import CLinux
import FleetCore
import Glibc
import LinuxHost
import Testing

@testable import LinuxHost

/// The clock's state as the kernel and as chrony tell it.
@Suite(.serialized) struct TimeSynchronisationTests {
    static let chronyd = "/usr/sbin/chronyd"

    @Test("what chronyc says in commas: sources, signs, leap states")
    func tracking() throws {
        let ntp = try #require(
            TimeSynchronisation.tracking("0A140001,10.20.0.1,2,1795373687.63,0.000003200,-0.1,0.2,0.019,0.001,0.062,0.000400000,0.000010000,64.3,Normal"))
        #expect(ntp.synchronised == true && ntp.source == "ntp" && ntp.offset == .nanoseconds(-3_200), "slow is behind")
        #expect(ntp.maxError == .microseconds(210) && ntp.text == "chrony follows 10.20.0.1, stratum 2")
        let ptp = try #require(TimeSynchronisation.tracking("50484330,PHC0,1,1795373687.63,-0.000000040,0,0,0,0,0,0.0,0.0,1.0,Insert second"))
        #expect(ptp.source == "ptp" && ptp.offset == .nanoseconds(40))
        func source(_ identifier: String, _ name: String) -> String? {
            TimeSynchronisation.tracking("\(identifier),\(name),1,0,0,0,0,0,0,0,0,0,0,Normal")?.source
        }
        #expect(source("50545000", "PTP") == "ptp" && source("50505330", "PPS0") == "pps" && source("7F7F0101", "") == "local")
        #expect(source("47505300", "GPS") == "gps" && source("12345678", "2001:db8::1") == "ntp" && source("12345678", "") == "unknown")
        let lost = try #require(TimeSynchronisation.tracking("00000000,,0,0.0,0.0,0,0,0,0,0,1.0,1.0,0.0,Not synchronised"))
        #expect(lost.synchronised == false && lost.offset == nil && lost.source == nil)
    }

    @Test(
        "anything else is unknown",
        arguments: [
            "", "506 Cannot talk to daemon", "0A140001,10.20.0.1,2,1795373687.63,0.0000032",
            "0A140001,10.20.0.1,17,0,0,0,0,0,0,0,0,0,0,Normal", "0A140001,10.20.0.1,2,0,nan,0,0,0,0,0,0,0,0,Normal",
            "0A140001,10.20.0.1,2,0,1e300,0,0,0,0,0,0,0,0,Normal", "zz,10.20.0.1,2,0,0,0,0,0,0,0,0,0,0,Normal",
            "0A140001,10.20.0.1,2,0,0,0,0,0,0,0,0,0,0,Perhaps",
        ])
    func garbled(_ line: String) { #expect(TimeSynchronisation.tracking(line) == nil) }

    @Test("the kernel's word is always there; its offset only where the kernel steers")
    func kernel() {
        #expect(TimeSynchronisation.kernel().isKnown && TimeSynchronisation.read(via: nil).isKnown)
        var clock = clinux_clock(
            unsynchronised: false, disciplined: false, pulse: false, status: 0x2000, offset_ns: 7, max_error_us: 900, estimated_error_us: 1)
        #expect(TimeSynchronisation.reading(clock).offset == nil && TimeSynchronisation.reading(clock).maxError == .microseconds(900))
        clock.disciplined = true
        clock.pulse = true
        #expect(TimeSynchronisation.reading(clock).offset == .nanoseconds(7) && TimeSynchronisation.reading(clock).source == "pps")
        clock.unsynchronised = true
        #expect(TimeSynchronisation.reading(clock).synchronised == false)
    }

    @Test("a way that isn't understood, and a socket that nobody answers, are unknown and say why")
    func unanswered() {
        #expect(TimeSynchronisation.read(via: "ptp4l:/x").text.contains("not understood"))
        #expect(TimeSynchronisation.read(via: "chronyc:relative").text.contains("not understood"))
        let none = TimeSynchronisation.read(via: "chronyc:/nonexistent/chronyd.sock")
        #expect(!none.isKnown && (none.text.contains("is chronyd running") || none.text.contains("not installed")), "\(none.text)")
    }

    @Test(
        "a real chronyd that follows another by 50 ms of declared offset: source, sign and drift",
        .enabled(if: Files.isExecutable(chronyd) && geteuid() == 0, "needs chronyd (Debian package chrony) and root"))
    func real() throws {
        var template = Array("/tmp/chrony-test-XXXXXX".utf8CString)
        let directory = String(cString: try #require(mkdtemp(&template)))
        defer { do { try Files.removeTree(directory) } catch { Issue.record(error) } }
        let free = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        let port = try Loopback.bind(free)
        close(free)
        // Neither touches this machine's clock (-x).
        func start(_ name: String, _ lines: [String]) throws -> Spawned {
            let own = ["cmdport 0", "bindcmdaddress \(directory)/\(name).sock", "pidfile \(directory)/\(name).pid"]
            try Files.writeAtomically("\(directory)/\(name).conf", Array(((lines + own).joined(separator: "\n") + "\n").utf8), sync: false)
            return try Spawned([Self.chronyd, "-x", "-d", "-u", "root", "-L", "3", "-f", "\(directory)/\(name).conf"])
        }
        let upstream = try start("upstream", ["port \(port)", "bindaddress 127.0.0.1", "allow 127.0.0.1", "local stratum 10"])
        let follower = try start("follower", ["port 0", "server 127.0.0.1 port \(port) iburst minpoll -4 maxpoll -2 offset 0.05", "maxdistance 30"])
        var reading = TimeReading()
        #expect(
            eventually {
                reading = TimeSynchronisation.read(via: "chronyc:\(directory)/upstream.sock")
                return reading.synchronised == true
            }, "\(reading.text)")
        #expect(reading.source == "local" && reading.offset == .zero && reading.text == "chrony follows its own clock, stratum 10")
        #expect(
            eventually {
                reading = TimeSynchronisation.read(via: "chronyc:\(directory)/follower.sock")
                return reading.synchronised == true
            }, "\(reading.text)")
        let offset = try #require(reading.offset)
        #expect(reading.source == "ntp" && offset < .milliseconds(-40) && offset > .milliseconds(-60), "\(offset)")
        var demand = LayoutDemand()
        demand.expect.time = .init(source: "ptp", offsetMax: .microseconds(1), via: "chronyc:\(directory)/follower.sock")
        let topology = HostTopology()
        let found = LayoutVerifier.verify(demand, topology: topology, observation: .read(demand, topology: topology)).drift
        #expect(found.map(\.subject) == ["clock source", "clock offset"] && found.allSatisfy { $0.slug == .time })
        follower.end()
        upstream.end()
        #expect(!TimeSynchronisation.read(via: "chronyc:\(directory)/follower.sock").isKnown)
    }
}
