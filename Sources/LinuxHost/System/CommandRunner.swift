internal import CLinux
internal import FleetCore
internal import Glibc

/// Runs one short command of the inventory as a given user and waits for it, bounded.
///
/// Blocking: for a thread of its own. The command is a process group; the whole group is killed at the time-out, and what is
/// left of it once the command itself has ended. What leaves the group (setsid(2)) is not reached.
package struct CommandRunner: Equatable, Sendable {
    /// [0] is the path that is executed, without a search in PATH.
    package var arguments: [String]
    package var environment: [String: String]
    /// nil: the caller's.
    package var directory: String?
    /// nil: the caller's own.
    package var user: UInt32?
    package var group: UInt32?
    package var groups: [UInt32]

    /// As much of the output as is kept; the rest is read and dropped.
    package static let outputMax = 4_096

    package enum End: Equatable, Sendable {
        case exited(Int32)
        case signalled(Int32)
        /// Killed at the time-out.
        case late
    }

    package struct Outcome: Equatable, Sendable {
        package var end: End
        /// At most `outputMax` bytes of both outputs, newlines at the end left out.
        package var output: String

        package init(end: End, output: String) {
            self.end = end
            self.output = output
        }

        /// nil: exit 0; else a clause as in "exited with status 3: no such table".
        package var problem: String? {
            let said = output.isEmpty ? "" : ": \(output.split(separator: "\n").last.map(String.init) ?? "")"
            return switch end {
            case .exited(0): nil
            case .exited(let code): "exited with status \(code)\(said)"
            case .signalled(let number): "was ended by \(Signals.name(number))\(said)"
            case .late: "did not end in time and was killed\(said)"
            }
        }
    }

    package init(
        _ arguments: [String], environment: [String: String] = [:], directory: String? = nil, user: UInt32? = nil, group: UInt32? = nil,
        groups: [UInt32] = []
    ) {
        self.arguments = arguments
        self.environment = environment
        self.directory = directory
        self.user = user
        self.group = group
        self.groups = groups
    }

    /// Throws when it could not be started; nothing ran then.
    package func run(within: Duration) throws(LinuxError) -> Outcome {
        guard let program = arguments.first, program.hasPrefix("/") else {
            throw LinuxError("run", arguments.first ?? "a command", errno: EINVAL, detail: "it is no absolute path")
        }
        let deadline = Clock.boottime() + within
        var output: Int32 = -1
        let child = start(&output)
        guard child > 0 else { throw .last("run", program) }
        defer { close(output) }
        // Not reaped yet: number and group are its own until `clinux_wait`.
        let process = clinux_pidfd_open(child)
        defer { if process >= 0 { close(process) } }
        var kept: [UInt8] = []
        let ended = collect(&kept, output, process, until: deadline)
        kill(-child, SIGKILL)
        var code: Int32 = 0
        var signalled: Int32 = 0
        guard clinux_wait(child, &code, &signalled) == 0 else { throw .last("wait for", program) }
        Self.drain(output, &kept)
        let end: End = !ended ? .late : signalled != 0 ? .signalled(code) : .exited(code)
        while kept.last == 10 || kept.last == 13 { kept.removeLast() }
        return Outcome(end: end, output: String(decoding: kept, as: UTF8.self))
    }

    private func start(_ output: inout Int32) -> pid_t {
        var words = arguments.map { strdup($0) } + [nil]
        var variables = environment.sorted { $0.key < $1.key }.map { strdup("\($0.key)=\($0.value)") } + [nil]
        let place = directory.map { strdup($0) } ?? nil
        defer {
            for word in words { free(word) }
            for variable in variables { free(variable) }
            free(place)
            words = []
            variables = []
        }
        return words.withUnsafeBufferPointer { words in
            variables.withUnsafeBufferPointer { variables in
                groups.withUnsafeBufferPointer { groups in
                    var command = clinux_command()
                    command.arguments = words.baseAddress
                    command.environment = variables.baseAddress
                    command.directory = UnsafePointer(place)
                    command.changes_user = user != nil
                    command.changes_group = group != nil
                    command.uid = user ?? 0
                    command.gid = group ?? 0
                    command.groups = groups.baseAddress
                    command.group_count = groups.count
                    return clinux_command_start(&command, &output)
                }
            }
        }
    }

    /// False: the deadline has passed before the command ended.
    private func collect(_ kept: inout [UInt8], _ output: Int32, _ process: Int32, until deadline: BootTime) -> Bool {
        var isOpen = true
        while true {
            var polled = [pollfd(fd: process, events: Int16(POLLIN), revents: 0)]
            if isOpen { polled.append(pollfd(fd: output, events: Int16(POLLIN), revents: 0)) }
            do {
                guard try Descriptors.wait(&polled, until: deadline) > 0 else { return false }
            } catch {
                return false
            }
            if isOpen, polled[1].revents != 0 { isOpen = Self.drain(output, &kept) }
            if polled[0].revents != 0 { return true }
        }
    }

    /// Takes what is there; false once nobody holds the other end.
    @discardableResult
    private static func drain(_ output: Int32, _ kept: inout [UInt8]) -> Bool {
        var chunk = [UInt8](repeating: 0, count: outputMax)
        // Bounded: a command that writes without end must not keep its reader from the clock.
        for _ in 0..<64 {
            let got = uninterrupted { read(output, &chunk, chunk.count) }
            if got == 0 { return false }
            if got < 0 { return errno == EAGAIN }
            kept += chunk[..<min(got, outputMax - kept.count)]
        }
        return true
    }
}
