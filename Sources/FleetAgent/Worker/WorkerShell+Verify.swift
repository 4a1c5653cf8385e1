internal import FleetCore
internal import FleetWire
internal import LinuxHost
internal import Logging
internal import NIOCore

/// What is listed before a stop, and what is looked at after an end.
extension WorkerShell {
    /// A stop signal waits no longer than this for the list of the worker's sockets. It takes milliseconds; on an overloaded host a list is worth more than a
    /// stop that begins a moment earlier, for without it the stop is unproven. Kills wait for none.
    static let captureBound: Duration = .seconds(1)

    /// True while the stop signal should wait for the list; the list is begun if it was not.
    func mustCapture() -> Bool {
        guard declaration.release.sockets != .none, let link, captured?.launch != link.launch else { return false }
        beginCapture()
        return captured?.launch != link.launch
    }

    /// As soon as a stop is decided on: the list is made while the record of the stop is being written.
    func beginCapture() {
        guard declaration.release.sockets != .none, let link, captured?.launch != link.launch, capturing != link.launch else { return }
        let launch = link.launch
        capturing = launch
        agent.stopChecks.capture(link.directory, agent.emergency.entry(declaration.service)) { [weak self] sockets in
            guard let self else { return }
            capturing = nil
            captured = Captured(launch: launch, sockets: sockets)
            captureEnded()
        }
        agent.loop.scheduleTask(in: .nanoseconds(Self.captureBound.nanoseconds)) { [weak self] in
            guard let self, capturing == launch else { return }
            log.warning("the stop goes ahead before its sockets are listed", metadata: ["waited": "\(Self.captureBound.words)"])
            captured = Captured(launch: launch, sockets: StopChecks.Sockets(problems: ["its sockets could not be listed before the stop signal"]))
            captureEnded()
        }
    }

    /// Looks at what a launch has left and tells the machine.
    func verify(_ launch: LaunchID) {
        agent.stopChecks.look(look(at: launch), isEmergency: machine.latch != nil) { [weak self] verification in
            self?.handle(.verified(launch, verification))
        }
    }

    private func trace(of launch: LaunchID) -> LaunchTrace? {
        if let lastTrace, lastTrace.launch == launch { return lastTrace.trace }
        return agent.fold.workers[service].flatMap { $0.launch == launch.raw ? $0.trace : nil }
    }

    /// `launch` is over.
    func look(at launch: LaunchID) -> StopLook {
        let directory = LaunchDirectory(runDirectory: agent.paths.run, service: service, launch: launch.raw)
        let others = agent.shells.filter { $0 !== self }
        return StopLook(
            service: service, directory: directory, release: declaration.release, known: evidence?.launch == launch ? evidence?.evidence : nil,
            captured: captured?.launch == launch ? captured?.sockets : nil, isOfEarlierBoot: agent.isOfEarlierBoot(launch, of: service),
            trace: trace(of: launch),
            exit: machine.lastExit,
            othersUsePages: others.contains { $0.machine.launch != nil && !$0.declaration.release.hugepages.isEmpty },
            sharesMount: sharesMount)
    }

    /// Another worker of this host uses the same hugepage mount.
    var sharesMount: Bool {
        guard let mount = declaration.release.hugepageMount else { return false }
        return agent.shells.contains { $0 !== self && $0.declaration.release.hugepageMount == mount }
    }
}

extension WireCheck {
    init(_ check: Verification.Check, at: BootTime) {
        self.init()
        what = check.what.rawValue
        state =
            switch check.state {
            case .clear: .clear
            case .left: .left
            case .unknown: .checkUnknown
            case .unchecked: .unchecked
            }
        text = check.text
        evidence =
            switch check.state {
            case .clear where check.what == .marker && check.text.hasPrefix("said "): .reported
            case .clear, .left: .measured
            case .unknown, .unchecked: .unknown
            }
        boottimeNs = at.nanoseconds
    }
}
