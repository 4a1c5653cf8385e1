/// Which instances of one host's agent live: one, or more — a cloned host, a copied key (laws 6 and 13).
///
/// An agent's instance is random per process, and a host's lock lets one process run at a time. So an instance that is heard of after a
/// newer one said hello proves that both live: it answered a challenge that was sent to it then, or it said hello again itself.
package struct InstanceWatch: Equatable, Sendable {
    package struct Instance: Equatable, Sendable {
        /// As its hello says.
        package var id: String
        package var bootID: String
        package var machineID: String
        /// Of its agent's journal, which an emptied state directory begins anew; empty: its agent is older.
        package var journal: String
        /// Where its session comes from, for people.
        package var address: String
        package var session: String
        /// When its host had booted, on the coordinator's clock.
        package var booted: BootTime
        package var lastWordAt: BootTime
        package var isOpen = true
        /// What its last report said: something of it runs, or may. True before the first.
        package var mayRun = true

        /// `up`: how long its host had been up when it said hello, at `now`.
        package init(
            id: String, bootID: String, machineID: String, journal: String = "", address: String, session: String, up: Duration, now: BootTime
        ) {
            self.journal = journal
            self.id = id
            self.bootID = bootID
            self.machineID = machineID
            self.address = address
            self.session = session
            booted = now + (.zero - up)
            lastWordAt = now
        }

        /// True if this instance knows what ran under `earlier`, or nothing of it can run any more: the same boot and journal, or a later
        /// boot of the same machine.
        func succeeds(_ earlier: Instance) -> Bool {
            if bootID == earlier.bootID { return journal == earlier.journal || journal.isEmpty || earlier.journal.isEmpty }
            guard machineID == earlier.machineID || machineID.isEmpty || earlier.machineID.isEmpty else { return false }
            // What was up before that one's last word is another machine, whatever it calls itself: a clone keeps the machine id.
            return booted > earlier.lastWordAt
        }

        /// `boot 1f0e22aa, machine 9ab01c33, from 10.1.0.7:41022`
        package var words: String {
            "boot \(bootID.prefix(8)), machine \(machineID.isEmpty ? "unknown" : String(machineID.prefix(8))), from \(address)\(journal.isEmpty ? "" : ", journal \(journal.prefix(8))")"
        }
    }

    package enum Effect: Equatable, Sendable {
        /// Ask whether it still lives, and tell `answered` or, past `challengeBound`, `unanswered`.
        case challenge(session: String)
        case close(session: String)
        /// Record it, alert, and tell the runs on this host.
        case contested(Contest)
        case settled(String)
    }

    /// Two instances that live.
    package struct Contest: Equatable, Sendable {
        /// For people.
        package var how: String
        /// Their ids. Empty: an older program recorded it.
        package var instances: [String]

        package init(how: String, instances: [String]) {
            self.how = how
            self.instances = instances
        }
    }

    /// How the words of a settlement begin that is a person's.
    package static let settledByPerson = "settled by "
    /// What a living agent answers a challenge within.
    package static let challengeBound: Duration = .seconds(3)
    /// Past this many, the instance that said hello first among those without a session is forgotten. How many have sessions the table bounds.
    package static let kept = 8

    /// So often the end of one instance settles which lives; then only a person does.
    package static let settledByEndsMax = 8
    private var settledByEnds = 0

    /// Ordered by their last hello.
    package private(set) var instances: [Instance] = []
    /// Which two live; nil: one, or none.
    package private(set) var contest: Contest?

    /// `contest` and `before`, the instance that was met last: what the coordinator's journal says.
    package init(contest: Contest? = nil, before: Instance? = nil) {
        self.contest = contest
        guard var before else { return }
        before.isOpen = false
        instances = [before]
    }

    /// What tells one host from another, of the instance that said hello last; an agent that is restarted keeps it.
    package var newest: (bootID: String, machineID: String, journal: String)? { instances.last.map { ($0.bootID, $0.machineID, $0.journal) } }

    /// In words.
    package var contested: String? { contest?.how }

    /// An older instance was asked whether it lives, and has not answered yet.
    package var isUndecided: Bool { contest == nil && instances.dropLast().contains(where: \.isOpen) }

    /// One lives, or none: what it says is true of its host.
    package var isOne: Bool { contest == nil && !isUndecided }

    /// An older instance that may run something is asked whether it lives, and the newest can't answer for what it runs: until it has answered, or
    /// its session has ended, it is unknown what runs on this host.
    package var isDoubtful: Bool {
        guard contest == nil, let newest = instances.last else { return false }
        return instances.dropLast().contains { $0.isOpen && $0.mayRun && !newest.succeeds($0) }
    }

    /// True if the instance that said hello last answers for what `instance` was told: it has taken its place on that host, or nothing is known of it
    /// any more because one that has did.
    package func newestAnswers(for instance: String) -> Bool {
        guard let newest = instances.last, let older = instances.first(where: { $0.id == instance }) else { return true }
        return newest.id != older.id && newest.succeeds(older)
    }

    /// Two live and not both are heard: what the other runs nobody here can order.
    package var hasUnheard: Bool { contest != nil && instances.count(where: \.isOpen) < 2 }

    // MARK: Events

    package mutating func opened(_ new: Instance) -> [Effect] {
        var effects: [Effect] = []
        if let index = instances.firstIndex(where: { $0.id == new.id }) {
            let before = instances.remove(at: index)
            if before.isOpen { effects.append(.close(session: before.session)) }
            // Another one said hello in between, and this one lives still.
            let between = instances[index...].first
            instances.append(new)
            instances[instances.count - 1].mayRun = before.mayRun
            if let between { effects += contest(new, between) }
            return effects
        }
        // The first is cut off and may live: its last word was that something runs, and this one can't answer for it.
        let outlived = instances.last { !$0.isOpen && $0.mayRun && !new.succeeds($0) }
        instances.append(new)
        forgetOldest()
        if let outlived { return contest(new, outlived) }
        return instances.dropLast().filter(\.isOpen).map { .challenge(session: $0.session) }
    }

    /// An answer to a challenge: that instance lives although a newer one has said hello.
    package mutating func answered(session: String) -> [Effect] {
        guard let older = instances.first(where: { $0.session == session }), let newest = instances.last, newest.session != session else { return [] }
        return contest(newest, older)
    }

    package mutating func unanswered(session: String) -> [Effect] {
        guard contest == nil, instances.last?.session != session, instances.contains(where: { $0.session == session && $0.isOpen }) else { return [] }
        return [.close(session: session)]
    }

    package mutating func reported(session: String, mayRun: Bool, now: BootTime) {
        guard let index = instances.firstIndex(where: { $0.session == session }) else { return }
        instances[index].mayRun = mayRun
        instances[index].lastWordAt = now
        guard !mayRun else { return }
        // It knows what ran under those that it succeeds: nothing of it is left.
        let own = instances[index]
        let covered = instances[..<index].filter { !$0.isOpen && own.succeeds($0) && contest?.instances.contains($0.id) != true }.map(\.id)
        instances.removeAll { covered.contains($0.id) }
    }

    /// The end of a session is not the end of what runs behind it: only an instance whose last word was that nothing runs is gone with it.
    /// The one that is left must be the other of the two: a successor of the one that is gone leaves the other unknown. Silence to a challenge
    /// is no end either: a newer instance that can't answer for what the silent one runs makes two.
    package mutating func closed(session: String) -> [Effect] {
        guard let index = instances.firstIndex(where: { $0.session == session }) else { return [] }
        instances[index].isOpen = false
        guard let contest else {
            guard let newest = instances.last, newest.session != session, instances[index].mayRun, !newest.succeeds(instances[index]) else { return [] }
            return self.contest(newest, instances[index])
        }
        guard !instances[index].mayRun else { return [] }
        let gone = instances.remove(at: index)
        guard instances.count == 1, contest.instances.contains(gone.id), contest.instances.contains(instances[0].id) else { return [] }
        // One that comes and goes on and on would fill the audit: a person looks.
        guard settledByEnds < Self.settledByEndsMax else { return [] }
        settledByEnds += 1
        self.contest = nil
        return [.settled("the instance of \(gone.words) has ended; its last word was that nothing runs there")]
    }

    package struct Refusal: Error, Equatable, Sendable {
        package let slug: String
        package let text: String
    }

    /// A person says that one of the two is gone. Refused while two still have sessions.
    package mutating func settle(by person: String, reason: String) -> Result<[Effect], Refusal> {
        guard contest != nil else { return .failure(Refusal(slug: "nothing-to-do", text: "one instance lives: there is nothing to settle")) }
        let open = instances.filter(\.isOpen)
        guard open.count < 2 else {
            return .failure(Refusal(slug: "host-contested", text: "both still answer: \(open.map(\.words).joined(separator: "; and ")). End one of them first"))
        }
        contest = nil
        settledByEnds = 0
        instances = open
        return .success([.settled("\(Self.settledByPerson)\(person): \(reason)")])
    }

    /// Those without a session beyond the bound, but for the two that a contest is about.
    private mutating func forgetOldest() {
        while instances.count > Self.kept,
            let index = instances.firstIndex(where: { !$0.isOpen && contest?.instances.contains($0.id) != true })
        {
            instances.remove(at: index)
        }
    }

    private mutating func contest(_ a: Instance, _ b: Instance) -> [Effect] {
        guard contest == nil else { return [] }
        let new = Contest(how: "\(b.words); and \(a.words)", instances: [b.id, a.id])
        contest = new
        return [.contested(new)]
    }
}
