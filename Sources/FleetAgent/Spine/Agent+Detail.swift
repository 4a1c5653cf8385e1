internal import FleetCore
internal import FleetWire
internal import Glibc
internal import LinuxHost
internal import NIOCore

/// What is told of one worker beyond a report: asked for by name, read off the loop.
extension Agent {
    private static let filesMax = 64
    private static let connectionsMax = 64
    private static let eventsMax = 10

    /// A command's answer.
    func readDetail(_ shell: WorkerShell, _ operation: Operation) {
        detail(of: shell) { [self] detail in
            guard let detail else { return publish(operation, .failedTo, slug: "busy", text: "the agent has too many questions waiting. Ask again") }
            publish(operation, .done, shell: shell) { $0.detail = detail }
        }
    }

    /// `then` is called on the loop; nil: too much else is being asked.
    func detail(of shell: WorkerShell, then: @escaping @Sendable (WireWorkerDetail?) -> Void) {
        let (pid, name, argv) = (shell.machine.pid, shell.name.description, shell.declaration.spec.run)
        let directory = shell.link?.directory
        let accepted = queries.submit(lane: "detail \(shell.service)") { [self] in
            var detail = WireWorkerDetail()
            detail.argv = argv
            detail.events = Self.events(paths.journal, name)
            var problems: [String] = []
            do { detail.cgroup = try directory?.cgroup ?? "" } catch { problems.append("\(error)") }
            if let pid { Self.process(pid, &detail, &problems) }
            detail.problem = problems.joined(separator: "; ")
            let told = detail
            loop.execute { then(told) }
        }
        if !accepted { then(nil) }
    }

    private static func process(_ pid: Int32, _ detail: inout WireWorkerDetail, _ problems: inout [String]) {
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
        } catch {
            problems.append("\(error)")
        }
        do {
            let files = try OpenFiles.read(pid: pid, limit: filesMax)
            detail.openFiles = files.targets
            detail.openFileCount = UInt32(clamping: files.count)
        } catch {
            problems.append("\(error)")
        }
        let capture = ProcessSockets.capture([pid])
        problems += capture.problems
        detail.connectionCount = UInt32(clamping: capture.tuples.count)
        detail.connections = capture.tuples.prefix(connectionsMax).map { tuple in
            var connection = WireWorkerDetail.Connection()
            connection.protocol = tuple.transport.rawValue
            connection.local = tuple.local
            connection.remote = tuple.isListening ? "" : tuple.remote
            connection.state = tuple.state.description
            return connection
        }
    }

    /// The worker's last records in words, newest last.
    private static func events(_ journal: String, _ worker: String) -> [String] {
        AuditPages.last(journal, AuditPages.linesMax).compactMap { AuditPages.words($0, of: worker) }.suffix(eventsMax)
    }
}
