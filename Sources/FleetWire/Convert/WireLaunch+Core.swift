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
    package init(_ wire: WireLaunchMark) { self.init(number: wire.number, launch: identifier(wire.launch), journal: identifier(wire.journal)) }
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
                return LaunchAccount(number: account.number, launch: LaunchID(identifier(account.launch)), wasReady: account.ready, end: end)
            }, journal: identifier(wire.journal))
    }
}

/// An id as agents make them, letters and digits alone; empty for anything else: ids are written into records, between marks that
/// a space or a colon would end.
private func identifier(_ text: String) -> String {
    let isOne = text.utf8.count <= 64 && text.utf8.allSatisfy { (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0) || $0 == 45 }
    return isOne ? text : ""
}
