/// The programs that a command line runs when it begins with wrappers that this agent knows, such as `numactl --membind=0
/// chrt -f 50 PROGRAM`: each of them is a program of its own and is judged (law 10).
///
/// The part gives one argument vector, wrapper and program joined, and does not say where the program begins. So what
/// follows a program that is **not** in `known` counts as its arguments: whoever lets an interpreter or an unknown wrapper
/// run on a host lets it run what it is told to. The sources are the manual pages of util-linux, coreutils and numactl(8).
struct WrapperCommand: Equatable, Sendable {
    /// Where in the argument vector a program stands, in rising order; the first is 0.
    let programs: [Int]

    struct Fault: Error, Equatable, CustomStringConvertible {
        let description: String
    }

    private struct Form {
        /// Options with a value, as a word of its own, after `=` or joined to a single letter.
        var valued: Set<String> = []
        var flags: Set<String> = []
        /// Words between options and program.
        var operands = 0
        /// The first operand may be missing where it is no number (chrt's priority).
        var isOperandOptional = false
        /// `NAME=VALUE` words before the program (env).
        var takesAssignments = false
        /// `-5` is an option (nice).
        var takesNumberOption = false
    }

    private static let known: [String: Form] = [
        "numactl": Form(
            valued: [
                "-i", "--interleave", "-w", "--weighted-interleave", "-p", "--preferred", "-P", "--preferred-many", "-C", "--physcpubind", "-N",
                "--cpunodebind", "-m", "--membind",
            ], flags: ["-l", "--localalloc", "-a", "--all", "-b", "--balancing"]),
        "taskset": Form(flags: ["-a", "--all-tasks", "-c", "--cpu-list"], operands: 1),
        "chrt": Form(
            valued: ["-T", "--sched-runtime", "-P", "--sched-period", "-D", "--sched-deadline"],
            flags: [
                "-a", "--all-tasks", "-b", "--batch", "-d", "--deadline", "-f", "--fifo", "-i", "--idle", "-o", "--other", "-r", "--rr", "-R",
                "--reset-on-fork", "-v", "--verbose",
            ], operands: 1, isOperandOptional: true),
        "nice": Form(valued: ["-n", "--adjustment"], takesNumberOption: true),
        "ionice": Form(valued: ["-c", "--class", "-n", "--classdata"], flags: ["-t", "--ignore"]),
        "env": Form(
            valued: ["-u", "--unset", "-C", "--chdir"],
            flags: ["-", "-i", "--ignore-environment", "-v", "--debug"], takesAssignments: true),
        "nohup": Form(),
        "setsid": Form(flags: ["-c", "--ctty", "-f", "--fork", "-w", "--wait"]),
        "stdbuf": Form(valued: ["-i", "--input", "-o", "--output", "-e", "--error"]),
        "timeout": Form(
            valued: ["-k", "--kill-after", "-s", "--signal"], flags: ["--foreground", "--preserve-status", "-v", "--verbose"], operands: 1),
        "prlimit": Form(
            valued: [
                "-c", "--core", "-d", "--data", "-e", "--nice", "-f", "--fsize", "-i", "--sigpending", "-l", "--memlock", "-m", "--rss", "-n", "--nofile",
                "-q", "--msgqueue", "-r", "--rtprio", "-s", "--stack", "-t", "--cpu", "-u", "--nproc", "-v", "--as", "-x", "--locks", "-y", "--rttime",
            ]),
    ]

    init(_ arguments: [String]) throws(Fault) {
        var programs: [Int] = []
        var at = 0
        while at < arguments.count {
            programs.append(at)
            let path = arguments[at]
            let name = path.lastIndex(of: "/").map { String(path[path.index(after: $0)...]) } ?? path
            guard let form = Self.known[name] else { break }
            at = try Self.end(of: form, name, arguments, after: at)
            guard at < arguments.count else { throw Fault(description: "\(name) is given nothing to run. Correct `wrapper` in the inventory") }
        }
        self.programs = programs
    }

    /// Where the wrapped program stands.
    private static func end(of form: Form, _ name: String, _ arguments: [String], after start: Int) throws(Fault) -> Int {
        var at = start + 1
        while at < arguments.count, arguments[at].hasPrefix("-") {
            let word = arguments[at]
            at += 1
            if word == "--" { break }
            if form.flags.contains(word) { continue }
            if form.valued.contains(word) {
                at += 1
                continue
            }
            if word.hasPrefix("--") {
                if let equals = word.firstIndex(of: "="), form.valued.contains(String(word[..<equals])) { continue }
            } else if form.valued.contains(String(word.prefix(2))) {
                continue
            } else if word.dropFirst().allSatisfy({ form.flags.contains("-\($0)") }) {
                continue
            } else if form.takesNumberOption, Int(word.dropFirst()) != nil {
                continue
            }
            throw Fault(
                description:
                    "\(name) is given \"\(word)\", which this agent doesn't know, so it can't tell what would be run. Leave it out, or let an own wrapper script do it"
            )
        }
        for _ in 0..<form.operands where at < arguments.count {
            if form.isOperandOptional, Int(arguments[at]) == nil { break }
            at += 1
        }
        while form.takesAssignments, at < arguments.count, arguments[at].contains("=") { at += 1 }
        return at
    }
}
