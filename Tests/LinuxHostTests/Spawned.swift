import FleetCore
import Glibc
import LinuxHost
import Testing

/// A real program with pipes for its input and output; killed and reaped at the end of its test.
final class Spawned {
    let pid: pid_t
    private let input: Int32
    private let output: Int32
    private var buffered: [UInt8] = []
    private var reaped = false

    init(_ argv: [String]) throws {
        var toChild: [Int32] = [-1, -1]
        var fromChild: [Int32] = [-1, -1]
        try #require(pipe(&toChild) == 0 && pipe(&fromChild) == 0)
        for end in [toChild[1], fromChild[0]] { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, toChild[0], 0)
        posix_spawn_file_actions_adddup2(&actions, fromChild[1], 1)
        var words = argv.map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var child: pid_t = 0
        let result = posix_spawnp(&child, argv[0], &actions, nil, &words, environ)
        close(toChild[0])
        close(fromChild[1])
        (pid, input, output) = (child, toChild[1], fromChild[0])
        try #require(result == 0, "\(argv[0]): \(LinuxError.text(result))")
    }

    deinit {
        end()
        close(input)
        close(output)
    }

    /// The next line it says, without the newline; nil: it said no more.
    func line() throws -> String? {
        while true {
            if let newline = buffered.firstIndex(of: 10) {
                defer { buffered.removeFirst(newline + 1) }
                return String(decoding: buffered[..<newline], as: UTF8.self)
            }
            guard try Descriptors.wait(output, for: Int16(POLLIN), within: ShimFixture.patience) else {
                throw LinuxError("hear from", "\(pid)", errno: ETIMEDOUT)
            }
            var chunk = [UInt8](repeating: 0, count: 512)
            let got = read(output, &chunk, chunk.count)
            if got <= 0 { return nil }
            buffered += chunk[..<got]
        }
    }

    func end(_ signal: Int32 = SIGKILL) {
        guard !reaped else { return }
        reaped = true
        kill(pid, signal)
        var status: Int32 = 0
        waitpid(pid, &status, 0)
    }
}

/// Tries again until it holds; false past the patience of these tests.
func eventually(_ holds: () throws -> Bool) rethrows -> Bool {
    let deadline = Clock.boottime() + ShimFixture.patience
    while true {
        if try holds() { return true }
        if Clock.boottime() > deadline { return false }
        poll(nil, 0, 20)
    }
}
