internal import CLinux
internal import FleetCore
internal import Glibc

/// A program that is run for its answer: on the caller's thread, without a shell, for a bounded time.
package enum ShortCommand {
    package struct Result: Equatable, Sendable {
        /// As waitpid(2) gives it.
        package let status: Int32
        /// Standard output.
        package let output: [UInt8]

        /// nil: a signal ended it.
        package var exitCode: Int32? { status & 0x7f == 0 ? (status >> 8) & 0xff : nil }

        var words: String { exitCode.map { "ended with \($0)" } ?? "was ended by signal \(status & 0x7f)" }
    }

    /// Standard input and error are /dev/null, the environment is a PATH and the C locale; its own process group, so that
    /// nothing of it outlives the bound.
    ///
    /// ETIMEDOUT past `within` and EFBIG past `outputMax` bytes, in both cases after it has been killed.
    package static func run(_ argv: [String], within: Duration, outputMax: Int = 64 << 10) throws(LinuxError) -> Result {
        guard let program = argv.first else { throw LinuxError("run", "nothing", errno: EINVAL) }
        var ends: [Int32] = [-1, -1]
        guard clinux_pipe(&ends) == 0 else { throw .last("make a pipe for", program) }
        defer { close(ends[0]) }
        // A program expects its output to wait.
        _ = fcntl(ends[1], F_SETFL, 0)
        let (pid, refusal) = spawn(argv, output: ends[1])
        close(ends[1])
        guard refusal == 0 else { throw LinuxError("run", program, errno: refusal) }
        let deadline = Clock.boottime() + within
        var output: [UInt8] = []
        var status: Int32 = 0
        var failure: LinuxError?
        do throws(LinuxError) {
            output = try read(ends[0], until: deadline, max: outputMax, of: program)
            // It may have closed its output and live on.
            if try !ended(pid, until: deadline, &status) {
                failure = LinuxError("run", program, errno: ETIMEDOUT, detail: "no end within \(within.words)")
            }
        } catch {
            failure = error
        }
        guard let failure else { return Result(status: status, output: output) }
        kill(-pid, SIGKILL)
        _ = uninterrupted { waitpid(pid, &status, 0) }
        throw failure
    }

    private static func spawn(_ argv: [String], output: Int32) -> (pid: pid_t, errno: Int32) {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output, 1)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // What this process ignores or blocks is no business of the child's.
        var all = sigset_t()
        var none = sigset_t()
        sigfillset(&all)
        sigemptyset(&none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP))
        var words: [UnsafeMutablePointer<CChar>?] = argv.map { strdup($0) }
        var environment: [UnsafeMutablePointer<CChar>?] = [strdup("PATH=/usr/sbin:/usr/bin:/sbin:/bin"), strdup("LC_ALL=C")]
        defer { for word in words + environment { free(word) } }
        words.append(nil)
        environment.append(nil)
        var pid: pid_t = 0
        let result = posix_spawn(&pid, argv[0], &actions, &attributes, words, environment)
        return (pid, result)
    }

    private static func read(_ descriptor: Int32, until deadline: BootTime, max: Int, of program: String) throws(LinuxError) -> [UInt8] {
        var output: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4_096)
        while true {
            var polled = [pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)]
            guard try Descriptors.wait(&polled, until: deadline) > 0 else {
                throw LinuxError("run", program, errno: ETIMEDOUT, detail: "it said nothing more and didn't end in time")
            }
            let got = uninterrupted { Glibc.read(descriptor, &chunk, chunk.count) }
            if got < 0 { throw .last("read what is said by", program) }
            if got == 0 { return output }
            output += chunk[..<got]
            if output.count > max { throw LinuxError("run", program, errno: EFBIG, detail: "it said more than \(max) bytes") }
        }
    }

    /// Waits by pidfd; reaps it.
    private static func ended(_ pid: pid_t, until deadline: BootTime, _ status: inout Int32) throws(LinuxError) -> Bool {
        if waitpid(pid, &status, WNOHANG) == pid { return true }
        // Not reaped yet, so the number is its own.
        let pidfd = clinux_pidfd_open(pid)
        guard pidfd >= 0 else { return waitpid(pid, &status, 0) == pid }
        defer { close(pidfd) }
        var polled = [pollfd(fd: pidfd, events: Int16(POLLIN), revents: 0)]
        guard try Descriptors.wait(&polled, until: deadline) > 0 else { return false }
        return uninterrupted { waitpid(pid, &status, 0) } == pid
    }
}
