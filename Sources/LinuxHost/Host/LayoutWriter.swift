package import FleetCore
internal import Glibc

/// Carries out one change of a host's layout and reads back what the kernel really did.
///
/// Whether it may is the caller's question (`LayoutChange.refusal`): nothing here knows who is alive. A change is checkable:
/// what is so already is not written again.
package enum LayoutWriter {
    package static func apply(_ change: LayoutChange, root: String = "") -> LayoutOutcome {
        do throws(LayoutWriteError) {
            switch change.what {
            case .hugepages(let node, let pageBytes, _, let to): return try reserve(to, pageBytes, node, HostTree(root: root))
            case .interrupt(let number, let name, _, let to): return try move(number, name, to, HostTree(root: root))
            }
        } catch {
            return .failed(error)
        }
    }

    /// nil where both kinds of setting can be written; else one sentence.
    package static func obstacle(root: String = "") -> String? {
        if root.isEmpty, geteuid() != 0 {
            return "hugepages and interrupt affinity can't be set here: this agent doesn't run as root (it runs as uid \(geteuid())); everything else works"
        }
        // One that is on every kernel with hugepages: statfs(2) would not see a read-only bind mount.
        let pool = "\(root)/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages"
        guard Files.exists(pool), access(pool, W_OK) != 0 else { return nil }
        return
            "hugepages and interrupt affinity can't be set here: \(pool) is not writable (\(LinuxError.text(errno))), as in a container; everything else works"
    }

    /// hugetlbpage.rst: the kernel takes as many pages as it finds and says nothing when they are fewer.
    private static func reserve(_ count: UInt64, _ pageBytes: UInt64, _ node: Int, _ tree: HostTree) throws(LayoutWriteError) -> LayoutOutcome {
        let size = HugepageName.size(pageBytes)
        let path = "/sys/devices/system/node/node\(node)/hugepages/hugepages-\(pageBytes / 1024)kB/nr_hugepages"
        let operation = "reserve \(count) hugepages of \(size) on node \(node)"
        func read() throws(LayoutWriteError) -> UInt64 {
            do throws(LinuxError) {
                return try tree.number(path)
            } catch {
                let cure = error.errno == ENOENT ? "this kernel has no such node or size: correct hosts.HOST.hugepages" : "look at \(path)"
                throw LayoutWriteError(operation: operation, object: tree.root + path, errno: error.errno, advice: cure)
            }
        }
        let before = try read()
        if before == count { return .done(readBack: "\(before)") }
        do throws(LinuxError) {
            try Files.overwrite(tree.root + path, "\(count)\n")
        } catch {
            throw LayoutWriteError(operation: operation, object: tree.root + path, errno: error.errno, advice: advice(error.errno, pageBytes))
        }
        let after = try read()
        if after == count { return .done(readBack: "\(after)") }
        if after > count {
            return .short(
                readBack: "\(after)", text: "asked to go down to \(count), \(after) are left: the others are in use; stop who holds them and apply again")
        }
        let cure =
            pageBytes >= 1 << 30
            ? "free memory is in pieces; pages of this size are best reserved at boot (hugepagesz=\(size == "1 GiB" ? "1G" : size) hugepages=…)"
            : "free memory is short or in pieces; free some, or apply right after a boot"
        return .short(readBack: "\(after)", text: "asked \(count), granted \(after): \(cure)")
    }

    private static func move(_ number: Int, _ name: String, _ cpus: CPUList, _ tree: HostTree) throws(LayoutWriteError) -> LayoutOutcome {
        let path = "/proc/irq/\(number)/smp_affinity_list"
        let operation = "let IRQ \(number)\(name.isEmpty ? "" : " (\(name))") go to CPUs \(cpus) only"
        func read() throws(LayoutWriteError) -> CPUList {
            do throws(LinuxError) {
                return try tree.cpus(path)
            } catch {
                let gone = "the line is gone: its interface was taken down or set up anew; plan again"
                throw LayoutWriteError(
                    operation: operation, object: tree.root + path, errno: error.errno, advice: error.errno == ENOENT ? gone : "look at \(path)")
            }
        }
        if try read() == cpus { return .done(readBack: cpus.description) }
        do throws(LinuxError) {
            try Files.overwrite(tree.root + path, "\(cpus)\n")
        } catch {
            let cure =
                switch error.errno {
                case EIO,
                    EPERM where geteuid() == 0:
                    "the driver manages this line itself; set its queues with ethtool -L, or boot with irqaffinity="
                case EINVAL: "none of these CPUs is online"
                default: advice(error.errno, 0)
                }
            throw LayoutWriteError(operation: operation, object: tree.root + path, errno: error.errno, advice: cure)
        }
        let after = try read()
        if after == cpus { return .done(readBack: after.description) }
        return .short(
            readBack: after.description, text: "asked for \(cpus), reads \(after): the driver or irqbalance set it again; switch irqbalance off and apply again"
        )
    }

    private static func advice(_ errno: Int32, _ pageBytes: UInt64) -> String {
        switch errno {
        case EACCES, EPERM: "run the agent as root"
        case EROFS: "/sys or /proc is mounted read-only, as in a container: run the agent on the host itself"
        case EINVAL where pageBytes >= 1 << 30: "pages of this size can't be reserved at run time here: reserve them at boot (hugepagesz=1G hugepages=…)"
        case ENOMEM: "there is not enough free memory on this node"
        default: "see dmesg"
        }
    }
}

/// What became of a change.
package enum LayoutOutcome: Equatable, Sendable {
    case done(readBack: String)
    /// The kernel did less, or another thing.
    case short(readBack: String, text: String)
    case failed(LayoutWriteError)

    package var isDone: Bool { if case .done = self { true } else { false } }

    /// One sentence at most.
    package var text: String {
        switch self {
        case .done(let readBack): readBack
        case .short(_, let text): text
        case .failed(let error): error.description
        }
    }
}

/// A setting that could not be written or read back.
package struct LayoutWriteError: Error, Equatable, Sendable, CustomStringConvertible {
    /// An infinitive, as in "cannot reserve 512 hugepages of 2 MiB on node 1".
    package let operation: String
    /// The file.
    package let object: String
    package let errno: Int32
    package let advice: String

    package var description: String { "cannot \(operation): \(LinuxError.text(errno)) (\(object)): \(advice)" }
}

private enum HugepageName {
    static func size(_ bytes: UInt64) -> String {
        bytes % (1 << 30) == 0 ? "\(bytes >> 30) GiB" : bytes % (1 << 20) == 0 ? "\(bytes >> 20) MiB" : "\(bytes >> 10) KiB"
    }
}
