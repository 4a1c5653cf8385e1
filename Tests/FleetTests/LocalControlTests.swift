import Foundation
import Glibc
import LinuxHost
import TestSupport
import Testing

/// Local control by people who are not root.
@Suite(.serialized, .enabled(if: getuid() == 0, "becomes other users: needs root")) struct LocalControlTests {
    /// `trading --local` as nobody, with these supplementary groups.
    private func asNobody(_ host: TortureHost, groups: [UInt32], _ arguments: [String]) throws -> Program.Output {
        let list = groups.isEmpty ? "--clear-groups" : "--groups=\(groups.map(String.init).joined(separator: ","))"
        return try Program.run(
            "/usr/bin/setpriv",
            ["--reuid=nobody", "--regid=nogroup", list, TestFleet.bin + "/trading", "--config", host.directory + "/local.conf", "--local"] + arguments)
    }

    @Test("a member of the declared group sees, stops and starts as root does, under their own name; nobody else is let in")
    func group() throws {
        let members = try #require(try Account.group(named: "daemon"))
        let others = try #require(try Account.group(named: "mail"))
        let host = try TortureHost()
        defer { host.end() }
        host.flags = ["--local-group", "daemon"]
        host.add("worker", "plain")
        try host.startAgent()
        // In the group by their session alone, as from a directory service: no file of this host says so.
        let start = try asNobody(host, groups: [others, members], ["start", "worker", "--reason", "mine"])
        #expect(start.status == 0, "\(start.text)\n\(host.agent?.log ?? "")")
        let pid = try host.pid("worker")
        let status = try asNobody(host, groups: [members], ["status"])
        #expect(status.text.contains("worker") && status.text.contains("\(pid)"), "\(status.text)")
        for groups in [[], [others]] {
            for arguments in [["status"], ["stop", "worker", "--reason", "not theirs"]] {
                let refused = try asNobody(host, groups: groups, arguments)
                #expect(refused.status == 3 && refused.text.contains("REFUSED  you may not use \(host.run)/agent.sock"), "\(refused.status): \(refused.text)")
                #expect(flat(refused.text).contains("members of the group named by local-group"), "says nothing of who may: \(refused.text)")
            }
        }
        // Nobody's own limits are no word about what runs here.
        func emergency() throws -> Program.Output {
            try asNobody(host, groups: [others], ["emergency-stop", "--service", "worker", "--yes", "--reason", "not theirs"])
        }
        let unable = try emergency()
        #expect(unable.status == 4 && flat(unable.text).contains("Operation not permitted") && !unable.text.contains("removed"), "\(unable.text)")
        #expect(isAlive(pid))
        let stop = try asNobody(host, groups: [members], ["stop", "worker", "--reason", "mine"])
        #expect(stop.status == 0 && !isAlive(pid), "\(stop.text)")
        let blind = try emergency()
        #expect(blind.status == 4 && blind.text.contains("NOTHING IS CONFIRMED GONE: what runs here could not be looked at"), "\(blind.text)")
        #expect(!blind.text.contains("OF THAT NAME") && !blind.text.contains("GONE 0"), "\(blind.text)")
        let orders = try host.audit().filter { ["WORKER_START", "WORKER_SIGNAL"].contains($0["event"] as? String) }
        #expect(orders.count == 2 && orders.allSatisfy { $0["by"] as? String == "local:nobody" }, "\(orders)")
        try host.verify()
    }
}
