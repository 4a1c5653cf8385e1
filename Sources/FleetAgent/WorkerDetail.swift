internal import FleetCore
internal import FleetJournal
internal import FleetWire
internal import LinuxHost
internal import NIOCore

/// What `trading status SERVICE@HOST` shows beyond a report: looked at only when somebody asks.
extension Agent {
    /// Sockets and open files listed; the counts beside them are whole.
    private static let listedMax = 64
    /// The worker's last records in the audit.
    private static let eventsMax = 10
    /// Records looked through for them.
    private static let recordsSearched = 1_000

    /// Looks on another thread; `done` is called on the loop, once.
    func detail(of shell: WorkerShell, _ done: @escaping (WireWorkerDetail) -> Void) {
        let reply = DetailReply(done)
        let (pid, name, journal) = (shell.machine.pid, shell.name.description, paths.journal)
        var detail = WireWorkerDetail()
        detail.argv = shell.declaration.spec.run
        let begun = detail
        let accepted = queries.submit(lane: "detail \(shell.service)") { [loop] in
            var detail = begun
            var problems: [String] = []
            if let pid { Self.look(at: pid, &detail, &problems) }
            detail.events = Self.events(of: name, in: journal)
            detail.problem = problems.joined(separator: "; ")
            let found = detail
            loop.execute { reply.done(found) }
        }
        if !accepted {
            detail.problem = "the agent has too much other work waiting. Ask again"
            done(detail)
        }
    }

    private static func look(at pid: Int32, _ detail: inout WireWorkerDetail, _ problems: inout [String]) {
        do {
            detail.threads = try ThreadPlacements.read(pid: pid).map { reading in
                var thread = WireWorkerDetail.Thread()
                thread.tid = reading.tid
                thread.name = reading.name
                thread.cpus = reading.cpus?.description ?? ""
                thread.policy = reading.policy
                thread.cpuNs = UInt64(clamping: reading.cpuTime.nanoseconds)
                thread.lastCpu = Int32(clamping: reading.lastCPU ?? -1)
                return thread
            }
        } catch { problems.append("threads: \(error)") }
        do {
            let open = try OpenFiles.read(pid: pid, limit: listedMax)
            detail.openFileCount = UInt32(clamping: open.count)
            detail.openFiles = open.targets
            let connections = ProcessSockets.owned(open.socketInodes, in: try ProcessSockets.listed())
            detail.connectionCount = UInt32(clamping: connections.count)
            detail.connections = connections.prefix(listedMax).map { tuple in
                var connection = WireWorkerDetail.Connection()
                connection.`protocol` = tuple.transport.rawValue
                connection.local = tuple.local
                connection.remote = tuple.remote
                connection.state = "\(tuple.state)"
                return connection
            }
        } catch { problems.append("open files: \(error)") }
    }

    /// The last records that name a worker, in words, oldest first.
    private static func events(of worker: String, in journal: String) -> [String] {
        let quoted = "\"\(worker)\""
        return AuditPages.last(journal, recordsSearched).compactMap { line -> String? in
            let text = String(decoding: line, as: UTF8.self)
            guard text.contains(quoted), text.utf8.count > 65 else { return nil }
            do { return AuditText.line(try AuditRecord(json: text.dropFirst(65).utf8)) } catch { return nil }
        }.suffix(eventsMax)
    }
}

/// `@unchecked Sendable`: called on the agent's loop only.
private final class DetailReply: @unchecked Sendable {
    let done: (WireWorkerDetail) -> Void

    init(_ done: @escaping (WireWorkerDetail) -> Void) { self.done = done }
}

extension WireMark {
    init(_ mark: Mark) {
        self.init()
        by = mark.by
        text = mark.text
        unixUs = mark.unixMicroseconds
    }
}
