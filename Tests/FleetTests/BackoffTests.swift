import Foundation
import Glibc
import TestSupport
import Testing

/// A crashing worker's back-off and budget, across agents that are killed, and who hears of its end.
@Suite(.serialized) struct BackoffTests {
    /// Of an audit record, in seconds since 1970.
    private func time(_ record: [String: Any]) throws -> Double {
        let format = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
        return try Date(record["time"] as? String ?? "", strategy: format).timeIntervalSince1970
    }

    /// `2 s` and `1.8 s` as `Duration.words` writes them.
    private func seconds(_ words: String) throws -> Double {
        let parts = words.split(separator: " ")
        let number = try #require(parts.first.flatMap { Double($0) }, "\(words)")
        return parts.last == "ms" ? number / 1_000 : number
    }

    @Test("an agent killed in a worker's back-off goes on with what is left of it; past the limit it is failed, a webhook is told, and only a person starts it")
    func survives() throws {
        let receiver = try AlertReceiver()
        defer { receiver.end() }
        let fleet = try TestFleet(
            hosts: ["md-1"], tiers: ["market-data"],
            more: "alerts: {desk: {webhook: \"http://127.0.0.1:\(receiver.port)/trading\", events: [failed]}}",
            services: { _ in
                """
                  crasher:
                    tier: market-data
                    hosts: [md-1]
                    run: [torture-worker, exit, "3"]
                    restart: {policy: on-failure, delay: 2s, delay_max: 2s, stable_after: 10min, limit: {starts: 3, within: 60s}}
                """
            })
        defer { fleet.end() }
        try fleet.beginWithoutRelay()
        func records(_ event: String) throws -> [[String: Any]] { try fleet.audit("md-1").filter { $0["event"] as? String == event } }
        func starts() -> Int {
            ((try? String(contentsOfFile: fleet.work + "/crasher", encoding: .utf8)) ?? "").split(separator: "\n").count { $0.hasPrefix("start ") }
        }
        #expect(try fleet.trading("start", "crasher", "--reason", "test").status == 1, "\(fleet.logs)")
        for round in 1...2 {
            #expect(try eventually(within: 10) { try records("WORKER_EXIT").count == round && fleet.state("crasher") == "BACKOFF" }, "\(fleet.logs)")
            let exit = try records("WORKER_EXIT")[round - 1]
            let after = try seconds((exit["fields"] as? [String: Any])?["after"] as? String ?? "")
            let ended = try time(exit)
            // Half of it is over when the agent dies, the first time; at once the second time.
            #expect(eventually(within: 5) { round == 2 || Date().timeIntervalSince1970 - ended > after / 2 })
            fleet.agents["md-1"]?.killNow()
            try fleet.startAgent("md-1")
            #expect(try eventually(within: 10) { try records("WORKER_RESTART").count == round }, "\(fleet.logs)")
            let took = try time(try records("WORKER_RESTART")[round - 1]) - ended
            #expect(took > after - 0.2 && took < after + 0.7, "round \(round): restarted after \(took) s, its back-off was \(after) s")
        }
        #expect(try eventually(within: 10) { try fleet.state("crasher") == "FAILED" }, "\(fleet.logs)")
        let why = try #require(try records("WORKER_FAILED").last?["fields"] as? [String: Any])
        #expect(why["slug"] as? String == "start-limit" && (why["why"] as? String)?.contains("ended 3 times in 60 s") == true, "\(why)")
        #expect(eventually(within: 10) { !receiver.bodies.isEmpty }, "nobody was told: \(fleet.logs)")
        let alert = try #require(try JSONSerialization.jsonObject(with: Data((receiver.bodies.first ?? "").utf8)) as? [String: Any])
        #expect(alert["event"] as? String == "failed" && alert["subject"] as? String == "crasher@md-1", "\(alert)")
        #expect(flat("\(alert)").contains("ended 3 times in 60 s") && "\(alert)".contains("trading start crasher@md-1"), "\(alert)")
        #expect(try eventually(within: 5) { try fleet.audit().contains { $0["event"] as? String == "ALERT_DELIVERED" } }, "\(fleet.logs)")

        // No fresh tries by way of a restart, and no second word of it.
        fleet.agents["md-1"]?.killNow()
        try fleet.startAgent("md-1")
        #expect(try eventually(within: 10) { try fleet.reportingHosts() == 1 && fleet.state("crasher") == "FAILED" }, "\(fleet.logs)")
        #expect(starts() == 3)
        let status = try fleet.trading("status")
        #expect(status.status == 3 && status.text.contains("crasher"), "\(status.text)")
        // A person's start, and a budget of its own.
        _ = try fleet.trading("start", "crasher", "--reason", "looked at")
        #expect(eventually(within: 5) { starts() == 4 })
        #expect(try eventually(within: 5) { try fleet.state("crasher") == "BACKOFF" }, "\(fleet.logs)")
        #expect(receiver.bodies.count == 1, "\(receiver.bodies)")
        // A stop is a stop, also of one that waits.
        #expect(try fleet.trading("stop", "crasher", "--reason", "enough").status != 1)
        #expect(try fleet.state("crasher") == "STOPPED")
        try fleet.verifyAudits()
    }
}

/// A webhook's receiver: takes what is posted to it and answers 204.
final class AlertReceiver: @unchecked Sendable {
    let port: Int
    private let listening: Int32
    /// Guards `received` and `ended`.
    private let lock = NSLock()
    private var received: [String] = []
    private var ended = false

    var bodies: [String] { lock.withLock { received } }

    init() throws {
        listening = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let fd = listening
        withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = bind(fd, $0, length)
                _ = getsockname(fd, $0, &length)
            }
        }
        port = Int(UInt16(bigEndian: address.sin_port))
        try #require(listen(listening, 8) == 0, "cannot listen: \(String(cString: strerror(errno)))")
        Thread.detachNewThread { [self] in serve() }
    }

    func end() { lock.withLock { ended = true } }

    private func serve() {
        while !lock.withLock({ ended }) {
            var ready = pollfd(fd: listening, events: Int16(POLLIN), revents: 0)
            guard poll(&ready, 1, 50) > 0 else { continue }
            let peer = accept(listening, nil, nil)
            guard peer >= 0 else { continue }
            answer(peer)
            close(peer)
        }
        close(listening)
    }

    /// One request per connection, its length declared.
    private func answer(_ peer: Int32) {
        var text = ""
        var bytes = [UInt8](repeating: 0, count: 16_384)
        while true {
            let got = recv(peer, &bytes, bytes.count, 0)
            guard got > 0 else { return }
            text += String(decoding: bytes.prefix(got), as: UTF8.self)
            let parts = text.components(separatedBy: "\r\n\r\n")
            guard parts.count > 1 else { continue }
            let declared = parts[0].lowercased().components(separatedBy: "content-length: ").last?.prefix { $0.isNumber }
            guard parts[1].utf8.count >= declared.flatMap({ Int($0) }) ?? 0 else { continue }
            lock.withLock { received.append(parts[1]) }
            let reply = "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            _ = send(peer, reply, reply.utf8.count, Int32(MSG_NOSIGNAL))
            return
        }
    }
}
