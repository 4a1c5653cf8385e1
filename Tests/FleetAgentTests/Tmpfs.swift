import Glibc
import LinuxHost
import Testing

/// A small filesystem of its own, for a disk that is really full.
///
/// Needs root.
final class Tmpfs {
    static let isPossible: Bool = {
        guard geteuid() == 0 else { return false }
        do {
            _ = try Tmpfs(kilobytes: 64)
            return true
        } catch { return false }
    }()

    let path: String
    private let scratch: Scratch

    init(kilobytes: Int) throws {
        scratch = try Scratch()
        path = scratch.path + "/disk"
        try Files.makeDirectory(path)
        try Self.run(["/bin/mount", "-t", "tmpfs", "-o", "size=\(kilobytes)k", "trading-test", path])
    }

    deinit {
        do { try Self.run(["/bin/umount", "-l", path]) } catch { Issue.record("\(error)") }
    }

    /// Takes every block that is left.
    func fill() throws {
        let descriptor = open(path + "/filler", O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw LinuxError("open", path + "/filler", errno: errno) }
        defer { close(descriptor) }
        let block = [UInt8](repeating: 1, count: 4_096)
        while Glibc.write(descriptor, block, block.count) > 0 {}
        guard errno == ENOSPC else { throw LinuxError("fill", path, errno: errno) }
    }

    func empty() throws { try Files.remove(path + "/filler") }

    private static func run(_ arguments: [String]) throws {
        var pid = pid_t()
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { for argument in argv { free(argument) } }
        let result = posix_spawn(&pid, arguments[0], nil, nil, &argv, environ)
        guard result == 0 else { throw LinuxError("run", arguments[0], errno: result) }
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        guard status == 0 else { throw LinuxError("run", arguments.joined(separator: " "), errno: 0, detail: "it ended with status \(status)") }
    }
}
