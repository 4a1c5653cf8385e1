import Foundation
import Glibc
import TestSupport

/// A memory controller's group with a small limit, in which the kernel itself kills for want of memory.
///
/// It is one of cgroup version 1, where that is mounted beside version 2: the machine's systemd has no memory controller
/// of its own, and so doesn't hear of the kill (its OOMPolicy= is not what is tried here).
struct OutOfMemoryGroup {
    static let mount = "/sys/fs/cgroup/memory"

    /// Why there is none here; nil: it can be had.
    static let problem: String? =
        access("\(mount)/memory.limit_in_bytes", F_OK) == 0 && access(mount, W_OK) == 0
        ? nil : "no memory controller of cgroup version 1 at \(mount) to provoke a real kill for want of memory with"

    let path: String

    init(bytesMax: Int) throws {
        path = "\(Self.mount)/ts-\(UUID().uuidString.prefix(8).lowercased())"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        try Data("\(bytesMax)".utf8).write(to: URL(fileURLWithPath: "\(path)/memory.limit_in_bytes"))
    }

    /// `pid` as the machine counts: a process id that is written is understood in the writer's namespace.
    func take(_ pid: Int32, of machine: SystemdMachine) throws {
        _ = try Program.run(
            "/usr/bin/nsenter", ["--target", "\(machine.initPID ?? 0)", "--pid", "/bin/sh", "-c", "echo \(pid) >\(path)/cgroup.procs"])
    }

    var kills: Int {
        let text = (try? String(contentsOfFile: "\(path)/memory.oom_control", encoding: .utf8)) ?? ""
        return text.split(separator: "\n").first { $0.hasPrefix("oom_kill ") }.flatMap { Int($0.dropFirst(9)) } ?? 0
    }

    func end() { _ = eventually(within: 10) { rmdir(path) == 0 || errno == ENOENT } }
}
