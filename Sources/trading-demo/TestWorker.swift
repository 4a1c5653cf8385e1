import ArgumentParser
import FleetProbes
import Glibc

/// A worker whose only purpose is to behave badly on request.
struct TestWorker: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "test-worker", abstract: "A worker for tests and benchmarks, with every bad habit as a switch.")

    @Flag(help: "Go on after SIGTERM.")
    var ignoreTerm = false

    @Option(help: "Exit status, after SIGTERM or --exit-after.")
    var exitCode: Int32 = 0

    @Option(help: "Exit by itself this many milliseconds after the start.")
    var exitAfter: Int?

    @Option(help: "Milliseconds between SIGTERM and the exit.")
    var stopAfter = 0

    @Option(help: "Children that ignore SIGTERM, each in a process group of its own.")
    var forkChildren = 0

    @Option(help: "Say READY=1 this many milliseconds after the start.")
    var readyAfter = 0

    @Flag(help: "Never say READY=1.")
    var neverReady = false

    @Option(help: "A counter to report, NAME=VALUE; may be repeated.")
    var counter: [String] = []

    func validate() throws {
        guard (0...255).contains(exitCode) else { throw ValidationError("--exit-code must be 0 to 255") }
        guard (0...1_000).contains(forkChildren) else { throw ValidationError("--fork-children must be 0 to 1000") }
        guard readyAfter >= 0, stopAfter >= 0, exitAfter ?? 0 >= 0 else {
            throw ValidationError("times must not be negative")
        }
        guard counter.allSatisfy({ $0.contains("=") }) else { throw ValidationError("--counter must be NAME=VALUE") }
    }

    func run() throws {
        let inbox = try SignalInbox([SIGTERM, SIGINT, SIGUSR1, SIGUSR2])
        let notifier = Notifier()
        for text in counter {
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            notifier.set(String(parts[0]), String(parts[1]))
        }
        for _ in 0..<forkChildren { try Self.spawnChild() }
        notifier.status = "testing"
        let readyDue = Deadline(in: .milliseconds(readyAfter))
        var endDue = exitAfter.map { Deadline(in: .milliseconds($0)) }
        var isReady = false
        while true {
            for number in inbox.take() {
                switch number {
                case SIGUSR1, SIGUSR2:
                    notifier.set("X_QUIESCED", number == SIGUSR1 ? 1 : 0)
                    notifier.changed()
                case _ where ignoreTerm:
                    notifier.status = "SIGTERM ignored"
                    notifier.changed()
                default: endDue = min(endDue ?? Deadline(nanoseconds: .max), Deadline(in: .milliseconds(stopAfter)))
                }
            }
            if !isReady, !neverReady, readyDue.isPast {
                isReady = true
                notifier.ready("testing")
            }
            if let endDue, endDue.isPast { break }
            notifier.tell()
            var until = min(notifier.due, endDue ?? Deadline(nanoseconds: .max))
            if !isReady, !neverReady { until = min(until, readyDue) }
            inbox.wait(until: until)
        }
        notifier.final("exits with \(exitCode)")
        if exitCode != 0 { throw ExitCode(exitCode) }
    }

    /// This program again, told to ignore SIGTERM and to say nothing: its output and its notify socket are not
    /// inherited.
    private static func spawnChild() throws(ProbeError) {
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var nothing = sigset_t()
        sigemptyset(&nothing)
        posix_spawnattr_setsigmask(&attributes, &nothing)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP))
        var arguments = ["trading-demo", "test-worker", "--ignore-term"].map { (text: String) in strdup(text) }
        arguments.append(nil)
        defer { for argument in arguments { free(argument) } }
        var environment: [UnsafeMutablePointer<CChar>?] = [nil]
        var pid: pid_t = 0
        let code = posix_spawn(&pid, "/proc/self/exe", nil, &attributes, arguments, &environment)
        guard code == 0 else { throw ProbeError("start", "a child of the test worker", .system(code)) }
    }
}
