package import FleetCore

extension WireLaunchMark {
    package init(_ mark: LaunchMark) {
        self.init()
        number = mark.number
        launch = mark.launch
        journal = mark.journal
    }
}

extension LaunchMark {
    package init(_ wire: WireLaunchMark) { self.init(number: wire.number, launch: wire.launch, journal: wire.journal) }
}

extension WireLaunchAccount {
    /// Of its last words only those under `keys`: the declared counters.
    package init(_ account: LaunchAccount, keeping keys: Set<String>) {
        self.init()
        number = account.number
        launch = account.launch.raw
        ready = account.wasReady
        switch account.end {
        case .open: outcome = .open
        case .never: outcome = .neverRan
        case .ended(var exit):
            outcome = .over
            exit.notified = exit.notified.filter { keys.contains($0.key) }
            self.exit = WireExit(exit)
        }
    }
}

extension LaunchHistory {
    /// More than are kept are cut at the front: what is missing is then noticed.
    package init(_ wire: WireLaunchHistory) {
        self.init(
            wire.launches.suffix(LaunchHistory.kept).map { account in
                let end: LaunchAccount.End =
                    switch account.outcome {
                    case .open, .UNRECOGNIZED: .open
                    case .neverRan: .never
                    case .over: .ended(WorkerExit(account.exit, status: ""))
                    }
                return LaunchAccount(number: account.number, launch: LaunchID(account.launch), wasReady: account.ready, end: end)
            }, journal: wire.journal)
    }
}
