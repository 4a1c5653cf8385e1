/// By what a launch's processes are found again when its directory is gone: kept in the journal, beside the word that it runs.
///
/// Numbers are of the boot that the record is of.
package struct LaunchTrace: Equatable, Sendable {
    package struct Process: Equatable, Sendable {
        package var pid: Int32
        /// Field 22 of /proc/PID/stat: clock ticks since boot (proc_pid_stat(5)).
        package var startTicks: UInt64

        package init(pid: Int32, startTicks: UInt64) {
            self.pid = pid
            self.startTicks = startTicks
        }

        fileprivate var text: String { "\(pid):\(startTicks)" }

        fileprivate init?(text: String?) {
            let parts = (text ?? "").split(separator: ":")
            guard parts.count == 2, let pid = Int32(parts[0]), pid > 0, let ticks = UInt64(parts[1]) else { return nil }
            self.init(pid: pid, startTicks: ticks)
        }
    }

    /// The main process.
    package var worker: Process
    package var shim: Process?
    /// Empty: the launch has none of its own.
    package var cgroup: String

    package init(worker: Process, shim: Process?, cgroup: String) {
        self.worker = worker
        self.shim = shim
        self.cgroup = cgroup
    }

    var fields: [WorkerMachine.Field] {
        [WorkerMachine.Field("process", worker.text)] + (shim.map { [WorkerMachine.Field("shim", $0.text)] } ?? [])
            + (cgroup.isEmpty ? [] : [WorkerMachine.Field("cgroup", cgroup)])
    }

    /// From a record's fields; nil: an agent from before wrote it.
    package init?(field: (String) -> String?) {
        guard let worker = Process(text: field("process")) else { return nil }
        self.init(worker: worker, shim: Process(text: field("shim")), cgroup: field("cgroup") ?? "")
    }
}
