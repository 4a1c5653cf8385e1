/// One launch of a worker on its host: what a ledger that spans restarts must know of it.
package struct LaunchAccount: Equatable, Sendable {
    package enum End: Equatable, Sendable {
        /// It lives, or its end is not on record.
        case open
        /// No process of it has ever run.
        case never
        case ended(WorkerExit)
    }

    /// A field of the record of a launch that did not come about in time: whether a process of it has run.
    package static let lateField = "ran"

    /// Among all launches of this worker on its host: from 1, without a gap, so that a missing one is noticed.
    package var number: UInt64
    package var launch: LaunchID
    package var wasReady: Bool
    package var end: End

    package init(number: UInt64, launch: LaunchID, wasReady: Bool = false, end: End = .open) {
        self.number = number
        self.launch = launch
        self.wasReady = wasReady
        self.end = end
    }
}

/// A worker's last launch at some moment: what was launched later counts from there.
package struct LaunchMark: Equatable, Sendable {
    /// 0: it had never been launched.
    package var number: UInt64
    package var launch: String
    /// The agent's journal that counts them; empty: its agent is older.
    package var journal: String

    package init(number: UInt64 = 0, launch: String = "", journal: String = "") {
        self.number = number
        self.launch = launch
        self.journal = journal
    }

    /// `3:1f0e…:77ab…`, as it stands in the audit.
    package var text: String { "\(number):\(launch)" + (journal.isEmpty ? "" : ":\(journal)") }

    package init?(text: some StringProtocol) {
        let parts = text.split(separator: Character(":"), omittingEmptySubsequences: false).map { String($0) }
        guard 2...3 ~= parts.count, let number = UInt64(parts[0]) else { return nil }
        self.init(number: number, launch: parts[1], journal: parts.count > 2 ? parts[2] : "")
    }
}

/// A worker's launches on its host, oldest first: the last `kept` of them, in unbroken numbers.
package struct LaunchHistory: Equatable, Sendable {
    /// More restarts than this between two rests of a stream leave its ledger unproven.
    package static let kept = 128
    /// Those that stand in every report: more restarts than this since the baseline are not added up in a status.
    package static let recent = 4

    package private(set) var launches: [LaunchAccount]
    /// The agent's journal that counts them; empty: not told.
    package var journal: String

    package init(_ launches: [LaunchAccount] = [], journal: String = "") {
        self.launches = launches
        self.journal = journal
    }

    package var mark: LaunchMark {
        LaunchMark(number: launches.last?.number ?? 0, launch: launches.last?.launch.raw ?? "", journal: journal)
    }

    package mutating func begin(_ launch: LaunchID) {
        launches.append(LaunchAccount(number: mark.number + 1, launch: launch))
        if launches.count > Self.kept { launches.removeFirst(launches.count - Self.kept) }
    }

    package mutating func ready(_ launch: LaunchID) { change(launch) { $0.wasReady = true } }

    package mutating func end(_ launch: LaunchID, _ end: LaunchAccount.End) { change(launch) { $0.end = end } }

    private mutating func change(_ launch: LaunchID, _ change: (inout LaunchAccount) -> Void) {
        guard let index = launches.lastIndex(where: { $0.launch == launch }) else { return }
        change(&launches[index])
    }

    /// The launches after `mark`, or why not all of them are known.
    package func since(_ mark: LaunchMark) -> Result<ArraySlice<LaunchAccount>, Bounded.Fault> {
        guard mark.journal == journal || mark.journal.isEmpty else {
            return .failure(Bounded.Fault("its agent's journal is another than at the baseline: what it launched before is not known"))
        }
        for (one, next) in zip(launches, launches.dropFirst()) where one.number >= mark.number && next.number != one.number + 1 {
            return .failure(Bounded.Fault("launch \(one.number + 1) is not on record"))
        }
        guard let first = launches.first, let last = launches.last else {
            return mark.number == 0 ? .success([]) : .failure(Bounded.Fault("launch \(mark.number) is no longer on record"))
        }
        guard last.number >= mark.number else {
            return .failure(Bounded.Fault("\(mark.number) launches were counted before, \(last.number) are on record now"))
        }
        if first.number > mark.number {
            guard first.number == mark.number + 1 else { return .failure(Bounded.Fault("launch \(mark.number + 1) is not on record")) }
            return .success(launches[...])
        }
        guard let index = launches.firstIndex(where: { $0.number == mark.number }), launches[index].launch.raw == mark.launch else {
            return .failure(Bounded.Fault("launch \(mark.number) is not the one that was counted before"))
        }
        return .success(launches[(index + 1)...])
    }
}
