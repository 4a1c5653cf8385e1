internal import FleetCore
internal import FleetProbes
internal import FleetWire
internal import LinuxHost

/// Asks one health check; blocking, bounded by the check's own time.
enum HealthReader {
    /// nil: healthy.
    static func problem(_ spec: HealthSpec, _ declaration: WorkerDeclaration, _ programs: ProgramPolicy) -> String? {
        switch spec.how {
        case .http(let probe): http(probe, spec.timeout)
        case .tcp(let address): tcp(address, spec.timeout)
        case .exec(let arguments): exec(arguments, spec.timeout, declaration, programs)
        }
    }

    private static func http(_ probe: HTTPProbeSpec, _ timeout: Duration) -> String? {
        do {
            if probe.pointer.isEmpty, probe.equals.isEmpty {
                let (status, _) = try HTTPProbe.get(probe.url, timeout: timeout)
                return (200..<300).contains(status) ? nil : "HTTP \(status)"
            }
            let value = try HTTPProbe.value(probe.url, pointer: probe.pointer, timeout: timeout)
            return probe.equals.isEmpty || GateReading.holds(value, probe.equals) ? nil : "\(probe.pointer) is \(value.text.prefix(80)), not \(probe.equals)"
        } catch {
            return "\(error)"
        }
    }

    private static func tcp(_ address: String, _ timeout: Duration) -> String? {
        do {
            _ = try StreamSocket(connectingTo: Endpoint(address), by: Deadline(in: timeout))
            return nil
        } catch {
            return "\(error)"
        }
    }

    private static func exec(_ arguments: [String], _ timeout: Duration, _ declaration: WorkerDeclaration, _ programs: ProgramPolicy) -> String? {
        do { return try WorkerCommand(arguments, declaration, programs).run(within: timeout) } catch { return "\(error)" }
    }
}

/// A command of the inventory as its worker would run it: its user, environment and working directory, without its secrets.
struct WorkerCommand: Sendable {
    private let runner: CommandRunner

    /// Blocking; throws why the host doesn't let it run.
    init(_ arguments: [String], _ declaration: WorkerDeclaration, _ programs: ProgramPolicy) throws {
        let runAs = try programs.runAs(user: declaration.spec.user, group: declaration.spec.group)
        runner = CommandRunner(
            try programs.command(arguments), environment: LaunchOrder.environment(declaration), directory: declaration.spec.workdir,
            user: runAs.user, group: runAs.group, groups: runAs.groups)
    }

    /// nil: exit 0; else what it ended with and said last.
    func run(within: Duration) throws -> String? { try runner.run(within: within).problem }
}
