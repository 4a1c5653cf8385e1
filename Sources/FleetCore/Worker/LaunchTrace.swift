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

    /// The slot file, which every process of the launch inherits open. Its numbers tell it apart when its path is gone, be it
    /// removed or unmounted.
    package struct Slot: Equatable, Sendable {
        package var device: UInt64
        package var inode: UInt64

        package init(device: UInt64, inode: UInt64) {
            self.device = device
            self.inode = inode
        }

        fileprivate var text: String { "\(device):\(inode)" }

        fileprivate init?(text: String?) {
            let parts = (text ?? "").split(separator: ":")
            guard parts.count == 2, let device = UInt64(parts[0]), let inode = UInt64(parts[1]) else { return nil }
            self.init(device: device, inode: inode)
        }
    }

    /// The main process; nil: not known, or it was never seen.
    package var worker: Process?
    package var shim: Process?
    /// Empty: the launch has none of its own.
    package var cgroup: String
    /// Nil: an agent from before did not keep it.
    package var slot: Slot?

    package init(worker: Process?, shim: Process? = nil, cgroup: String = "", slot: Slot? = nil) {
        self.worker = worker
        self.shim = shim
        self.cgroup = cgroup
        self.slot = slot
    }

    /// For the audit; `init(field:)` reads them back.
    package var fields: [WorkerMachine.Field] {
        [("process", worker?.text), ("shim", shim?.text), ("cgroup", cgroup.isEmpty ? nil : cgroup), ("slot", slot?.text)].compactMap { key, text in
            text.map { WorkerMachine.Field(key, $0) }
        }
    }

    /// From a record's fields, of a launch's intent or of its process; nil: an agent from before wrote it.
    package init?(field: (String) -> String?) {
        let (worker, slot) = (Process(text: field("process")), Slot(text: field("slot")))
        guard worker != nil || slot != nil else { return nil }
        self.init(worker: worker, shim: Process(text: field("shim")), cgroup: field("cgroup") ?? "", slot: slot)
    }
}
