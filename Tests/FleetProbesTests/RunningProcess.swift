import FleetProbes
import Glibc

/// A child process of a test: killed and reaped at the latest when the last reference goes.
final class RunningProcess {
    let pid: pid_t
    private var status: Int32?

    init(_ path: String, _ arguments: [String], environment: [String: String] = [:]) throws(ProbeError) {
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var nothing = sigset_t()
        sigemptyset(&nothing)
        posix_spawnattr_setsigmask(&attributes, &nothing)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0)
        var argv = ([path] + arguments).map { (text: String) in strdup(text) }
        argv.append(nil)
        var envp = environment.map { (pair: (key: String, value: String)) in strdup("\(pair.key)=\(pair.value)") }
        envp.append(nil)
        defer { for pointer in argv + envp { free(pointer) } }
        var child: pid_t = 0
        let code = posix_spawn(&child, path, &actions, &attributes, argv, envp)
        guard code == 0 else { throw ProbeError("start", path, .system(code)) }
        pid = child
    }

    deinit {
        if status == nil {
            kill(pid, SIGKILL)
            var ignored: Int32 = 0
            waitpid(pid, &ignored, 0)
        }
    }

    func signal(_ number: Int32) { if status == nil { kill(pid, number) } }

    /// The exit code, or 128 and the signal's number; nil when it has not ended within the bound.
    func ended(within limit: Duration = .seconds(20)) -> Int32? {
        let deadline = Deadline(in: limit)
        while status == nil {
            var raw: Int32 = 0
            if waitpid(pid, &raw, WNOHANG) == pid {
                status = raw & 0x7F == 0 ? (raw >> 8) & 0xFF : 128 + (raw & 0x7F)
            } else if deadline.isPast {
                return nil
            } else {
                poll(nil, 0, 2)
            }
        }
        return status
    }
}
