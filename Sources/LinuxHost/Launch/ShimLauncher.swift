internal import CLinux
package import FleetCore
internal import Glibc

/// Starts a shim for a launch directory.
///
/// When it returns the shim listens, waits for `go`, and is nobody's child.
package enum ShimLauncher {
    package enum Failure: Error, Equatable, CustomStringConvertible {
        /// A worker of this service or its shim still lives; nothing was started.
        case slotHeld(service: String)
        /// The shim's own words.
        case refused(String)
        case system(LinuxError)

        package var description: String {
            switch self {
            case .slotHeld(let service): "\(service) still runs: its slot is held; stop it first, or let the agent adopt it"
            case .refused(let text): text
            case .system(let error): error.description
            }
        }
    }

    /// How long the short-lived first process may take; 1.5 ms is usual (FACTS).
    static let firstProcessMax = Duration.seconds(5)

    /// `cpus` are the shim's own, housekeeping ones.
    ///
    /// Waits for the short-lived first process only. Leave SIGCHLD at its default disposition: an ignored one would
    /// reap that process before its status is read.
    package static func spawn(shim path: String, directory: LaunchDirectory, cpus: CPUList?) throws(Failure) {
        var output: [Int32] = [-1, -1]
        guard clinux_pipe(&output) == 0 else { throw .system(.last("make", "a pipe")) }
        defer { close(output[0]) }
        let process: pid_t
        do {
            defer { close(output[1]) }
            process = try start(path, directory, cpus, standardError: output[1])
        }
        let status = try wait(for: process, path)
        if status == 0 { return }
        var words = [UInt8](repeating: 0, count: 1_024)
        let count = uninterrupted { read(output[0], &words, words.count) }
        let text = String(decoding: words.prefix(max(0, count)).prefix { $0 != 10 }, as: UTF8.self)
        // The wait status as wait(2) lays it out: exit status in bits 8 to 15, signal in the lowest 7.
        if status & 0x7f == 0, (status >> 8) & 0xff == 3 { throw .slotHeld(service: directory.service) }
        throw .refused(text.isEmpty ? "\(path) ended with wait status \(status) and said nothing" : text)
    }

    private static func start(
        _ path: String, _ directory: LaunchDirectory, _ cpus: CPUList?, standardError: Int32
    ) throws(Failure) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawnattr_init(&attributes)
        defer {
            posix_spawn_file_actions_destroy(&actions)
            posix_spawnattr_destroy(&attributes)
        }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0)
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_RDWR, 0)
        posix_spawn_file_actions_adddup2(&actions, standardError, 2)
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        let words = [path, directory.path] + (cpus.map { [$0.description] } ?? [])
        var arguments = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        // An empty environment: the agent's own is nobody else's business.
        var environment: [UnsafeMutablePointer<CChar>?] = [nil]
        var process: pid_t = 0
        let error = posix_spawn(&process, path, &actions, &attributes, &arguments, &environment)
        guard error == 0 else {
            throw .system(LinuxError("start", path, errno: error))
        }
        return process
    }

    private static func wait(for process: pid_t, _ path: String) throws(Failure) -> Int32 {
        // Our own child, not reaped yet: the number is its own.
        let descriptor = clinux_pidfd_open(process)
        if descriptor >= 0 {
            defer { close(descriptor) }
            do {
                if try !Descriptors.wait(descriptor, for: Int16(POLLIN), within: firstProcessMax) {
                    _ = clinux_pidfd_send_signal(descriptor, SIGKILL)
                }
            } catch {
                _ = clinux_pidfd_send_signal(descriptor, SIGKILL)
            }
        }
        var status: Int32 = 0
        guard uninterrupted({ waitpid(process, &status, 0) }) == process else {
            throw .system(.last("wait for", path))
        }
        return status
    }
}
