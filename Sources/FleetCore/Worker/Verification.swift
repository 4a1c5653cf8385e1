/// What a launch left behind, looked at once its process tree was gone.
package struct Verification: Equatable, Sendable {
    package enum What: String, CaseIterable, Sendable {
        case tree, sockets, hugepages, locks
        case pidFile = "pid-file"
        case marker
    }

    package enum State: String, Sendable {
        case clear
        case left
        /// It could not be looked at, or not in time. Never counted as clear (law 6).
        case unknown
        /// Nothing is declared to look at.
        case unchecked
    }

    package struct Check: Equatable, Sendable {
        package var what: What
        package var state: State
        package var text: String

        package init(_ what: What, _ state: State, _ text: String = "") {
            self.what = what
            self.state = state
            self.text = text
        }
    }

    package var checks: [Check]
    package var at: BootTime

    package init(_ checks: [Check], at: BootTime) {
        self.checks = checks
        self.at = at
    }

    /// When nothing has answered: the tree is gone, that much its shim has said; all that is declared is unknown.
    package static func unanswered(_ release: ReleaseSpec, _ why: String, at: BootTime) -> Verification {
        func check(_ what: What, _ isDeclared: Bool) -> Check { isDeclared ? Check(what, .unknown, why) : Check(what, .unchecked) }
        return Verification(
            [
                Check(.tree, .clear), check(.sockets, release.sockets != .none),
                check(.hugepages, !release.hugepages.isEmpty || release.hugepageMount != nil), check(.locks, !release.lockFiles.isEmpty),
                check(.pidFile, release.pidFile != nil), check(.marker, true),
            ], at: at)
    }

    /// The same where an earlier launch is in doubt: that nothing is found says nothing about what it may have left.
    package func doubting(_ strayed: LaunchID?) -> Verification {
        guard let strayed, let index = checks.firstIndex(where: { $0.what == .tree && $0.state == .clear }) else { return self }
        var doubting = self
        doubting.checks[index] = Self.doubt(strayed)
        return doubting
    }

    package static func doubt(_ strayed: LaunchID) -> Check {
        Check(
            .tree, .unknown,
            "the shim of its launch \(strayed) was lost, and it had no cgroup of its own: a process that had left its tree is not found. "
                + "Until the host boots anew it is not known whether one lives")
    }

    package var left: [Check] { checks.filter { $0.state == .left } }

    package var unknown: [Check] { checks.filter { $0.state == .unknown } }

    // MARK: In the audit

    package var fields: [WorkerMachine.Field] {
        checks.map { WorkerMachine.Field($0.what.rawValue, $0.text.isEmpty ? $0.state.rawValue : "\($0.state.rawValue): \($0.text)") }
    }

    /// Reads `fields` back; nil where none of them is there.
    package init?(_ value: (String) -> String?, at: BootTime) {
        checks = What.allCases.compactMap { what in
            guard let words = value(what.rawValue) else { return nil }
            let parts = words.split(separator: ":", maxSplits: 1)
            guard let state = parts.first.flatMap({ State(rawValue: String($0)) }) else { return nil }
            return Check(what, state, parts.count > 1 ? String(parts[1].drop { $0 == " " }) : "")
        }
        if checks.isEmpty { return nil }
        self.at = at
    }
}
