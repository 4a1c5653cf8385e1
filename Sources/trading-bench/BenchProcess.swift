import Glibc

/// This same binary as another process, ended by the end of its standard input.
struct BenchProcess {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    let pid: pid_t
    private let input: Int32
    private let output: Int32

    /// Starts `trading-bench arguments…`.
    ///
    /// Its standard output comes here, its errors go where ours go.
    static func start(_ arguments: [String], ownGroup: Bool = false) throws -> BenchProcess {
        var input: [Int32] = [0, 0]
        var output: [Int32] = [0, 0]
        let kind = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &input) == 0, socketpair(AF_UNIX, kind, 0, &output) == 0 else {
            throw Failure(description: "cannot make a socket pair: \(String(cString: strerror(errno)))")
        }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, input[0], 0)
        posix_spawn_file_actions_adddup2(&actions, output[0], 1)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        if ownGroup {
            posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
            posix_spawnattr_setpgroup(&attributes, 0)
        }
        var argv: [UnsafeMutablePointer<CChar>?] = (["trading-bench"] + arguments).map { strdup($0) } + [nil]
        defer { for argument in argv { free(argument) } }
        var pid: pid_t = 0
        let code = posix_spawn(&pid, "/proc/self/exe", &actions, &attributes, &argv, environ)
        close(input[0])
        close(output[0])
        guard code == 0 else {
            close(input[1])
            close(output[1])
            throw Failure(description: "cannot start a second trading-bench: \(String(cString: strerror(code)))")
        }
        return BenchProcess(pid: pid, input: input[1], output: output[1])
    }

    /// The next line that it prints, without the line feed; nil when it has ended.
    ///
    /// Blocks.
    func readLine() -> String? {
        var bytes: [UInt8] = []
        var byte: UInt8 = 0
        while true {
            let count = read(output, &byte, 1)
            if count < 0 && errno == EINTR { continue }
            if count <= 0 { return nil }
            if byte == UInt8(ascii: "\n") { return String(decoding: bytes, as: UTF8.self) }
            bytes.append(byte)
        }
    }

    /// Sends it a line.
    ///
    /// What it no longer reads is lost; its end shows at the next ``readLine()``.
    func writeLine(_ line: String) {
        let bytes = Array((line + "\n").utf8)
        _ = send(input, bytes, bytes.count, CInt(MSG_NOSIGNAL))
    }

    /// Stops it and its own children, if it leads a group; they take no processor time until ``resume()``.
    func pause() { kill(-pid, SIGSTOP) }
    func resume() { kill(-pid, SIGCONT) }

    /// Closes its input, which ends it, and waits for it; its exit status.
    @discardableResult
    func finish() -> Int32 {
        close(input)
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
        close(output)
        return status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f)
    }

    /// In the child: blocks until the parent closes this process's standard input, or is gone.
    static func waitForEndOfInput() {
        var byte: UInt8 = 0
        while true {
            let count = read(0, &byte, 1)
            if count == 0 || (count < 0 && errno != EINTR) { return }
        }
    }

    /// This process's resident memory in bytes (/proc/self/statm, second field).
    static func residentBytes() -> Int {
        let fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
        guard fd >= 0 else { return 0 }
        defer { close(fd) }
        var text = [UInt8](repeating: 0, count: 256)
        let count = read(fd, &text, text.count)
        guard count > 0 else { return 0 }
        let fields = String(decoding: text[..<count], as: UTF8.self).split(separator: " ")
        return fields.count > 1 ? (Int(fields[1]) ?? 0) * Int(sysconf(CInt(_SC_PAGESIZE))) : 0
    }
}
