internal import FleetCore
internal import FleetProbes
internal import LinuxHost
internal import Logging
internal import NIOCore

/// Quiesce and resume.
extension WorkerShell {
    /// How often an HTTP condition is asked for while an action waits for it.
    static let conditionEvery: Duration = .milliseconds(50)
    /// The longest one such question may take.
    private static let conditionTimeout: Duration = .seconds(1)

    func perform(_ action: ActionSpec) {
        guard let operation = machine.slot?.operation else { return }
        switch action.how {
        case .signal(let signal):
            if let problem = unhandled(signal) { return sent(operation, problem, action) }
            send(signal: signal) { [self] answer in
                switch answer {
                case .ok: sent(operation, nil, action)
                case .refused(let why): sent(operation, why, action)
                }
            }
        case .exec(let arguments):
            // Once or unknown, as below.
            let notAfter = agent.operations[operation]?.notAfter
            let (declaration, programs) = (declaration, agent.programs)
            let accepted = agent.queries.submit(lane: "action \(service)") { [self] in
                if let notAfter, Clock.boottime() > notAfter {
                    return agent.loop.execute { self.sent(operation, self.agent.late(operation) ?? "it came too late", action) }
                }
                let problem: String?
                do {
                    problem = try WorkerCommand(arguments, declaration, programs).run(within: action.within).map { "\(arguments[0]) \($0)" }
                } catch {
                    problem = "\(error)"
                }
                agent.loop.execute { [problem] in self.sent(operation, problem, action) }
            }
            if !accepted { sent(operation, "the agent has too many questions waiting", action) }
        case .http(let method, let url):
            // Once or unknown (law 3): a call whose answer was lost is never repeated here.
            let notAfter = agent.operations[operation]?.notAfter
            let accepted = agent.queries.submit(lane: "action \(service)") { [self] in
                if let notAfter, Clock.boottime() > notAfter {
                    return agent.loop.execute { self.sent(operation, self.agent.late(operation) ?? "it came too late", action) }
                }
                var problem: String?
                do {
                    let (status, _) = try HTTPProbe.request(method, url, timeout: action.within)
                    if !(200..<300).contains(status) { problem = "\(method) \(url) answered HTTP \(status)" }
                } catch {
                    problem = "\(error)"
                }
                agent.loop.execute { [problem] in self.sent(operation, problem, action) }
            }
            if !accepted { sent(operation, "the agent has too many questions waiting", action) }
        }
    }

    /// Why the signal must not go out: without a handler it would end the process. Nil: there is one, or it can't be told.
    private func unhandled(_ signal: String) -> String? {
        guard let pid = machine.pid, let number = Signals.number(named: signal), Signals.harms(number) else { return nil }
        do throws(LinuxError) {
            guard let handled = try SignalMask.handled(by: pid), !handled.contains(number) else { return nil }
            return "it has no handler for \(Signals.name(number)), which would end it: nothing was sent. Let it handle that signal, or declare another way"
        } catch {
            log.warning("whether it handles a signal can't be told; it is sent", metadata: ["signal": "\(signal)", "why": "\(error)"])
            return nil
        }
    }

    private func sent(_ operation: String, _ problem: String?, _ action: ActionSpec) {
        guard machine.slot?.operation == operation else { return }
        handle(.actionSent(problem: problem))
        if problem == nil, case .http(let probe)? = action.done { ask(probe, operation) }
    }

    /// Until the condition holds or the machine has ended the operation.
    private func ask(_ probe: HTTPProbeSpec, _ operation: String) {
        guard machine.slot?.operation == operation else { return }
        let began = Clock.boottime()
        let again: @Sendable () -> Void = { [self] in
            let left = max(.zero, Self.conditionEvery - (Clock.boottime() - began))
            agent.loop.scheduleTask(in: .nanoseconds(left.nanoseconds)) { self.ask(probe, operation) }
        }
        let accepted = agent.queries.submit(lane: "shown \(service)") { [self] in
            let shown: Bool
            do {
                shown = GateReading.holds(try HTTPProbe.value(probe.url, pointer: probe.pointer, timeout: Self.conditionTimeout), probe.equals)
            } catch {
                // Unknown is not shown; the machine's own deadline ends the asking.
                shown = false
            }
            agent.loop.execute {
                guard self.machine.slot?.operation == operation else { return }
                if shown { self.handle(.actionShown) } else { again() }
            }
        }
        if !accepted { again() }
    }
}
