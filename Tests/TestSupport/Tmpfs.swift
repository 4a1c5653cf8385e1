internal import Glibc
internal import LinuxHost

/// A small filesystem of its own, for a disk that is really full.
///
/// Needs root.
package final class Tmpfs {
    package static let isPossible: Bool = {
        guard geteuid() == 0 else { return false }
        do {
            _ = try Tmpfs(kilobytes: 64)
            return true
        } catch { return false }
    }()

    package let path: String
    private let parent: String

    package init(kilobytes: Int) throws {
        parent = try makeTestDirectory("tmpfs")
        path = parent + "/disk"
        try Files.makeDirectory(path)
        try Self.run(["/bin/mount", "-t", "tmpfs", "-o", "size=\(kilobytes)k", "trading-test", path])
    }

    deinit {
        do {
            try Self.run(["/bin/umount", "-l", path])
            try Files.removeTree(parent)
        } catch { preconditionFailure("\(error)") }
    }

    /// Takes every block that is left.
    package func fill() throws {
        let descriptor = open(path + "/filler", O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw LinuxError("open", path + "/filler", errno: errno) }
        defer { close(descriptor) }
        let block = [UInt8](repeating: 1, count: 4_096)
        while Glibc.write(descriptor, block, block.count) > 0 {}
        guard errno == ENOSPC else { throw LinuxError("fill", path, errno: errno) }
    }

    package func empty() throws { try Files.remove(path + "/filler") }

    private static func run(_ arguments: [String]) throws {
        let output = try Program.run(arguments[0], Array(arguments.dropFirst()))
        guard output.status == 0 else {
            throw LinuxError("run", arguments.joined(separator: " "), errno: 0, detail: "it ended with status \(output.status): \(output.text)")
        }
    }
}
