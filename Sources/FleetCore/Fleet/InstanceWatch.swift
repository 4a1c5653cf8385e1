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
        /// Where its session comes from, for people.
        package var address: String
        package var session: String
        package var isOpen = true
        /// What its last report said: something of it runs, or may. True before the first.
        package var mayRun = true

        package init(id: String, bootID: String, machineID: String, address: String, session: String) {
            self.id = id
            self.bootID = bootID
            self.machineID = machineID
            self.address = address
            self.session = session
        }

        /// `boot 1f0e22aa, machine 9ab01c33, from 10.1.0.7:41022`
        package var words: String {
            "boot \(bootID.prefix(8)), machine \(machineID.isEmpty ? "unknown" : String(machineID.prefix(8))), from \(address)"
        }
    }

    package enum Effect: Equatable, Sendable {
        /// Ask whether it still lives, and tell `answered` or, past `challengeBound`, `unanswered`.
        case challenge(session: String)
        case close(session: String)
        /// Record it, alert, and tell the runs on this host.
        case contested(String)
        case settled(String)
    }

    /// What a living agent answers a challenge within.
    package static let challengeBound: Duration = .seconds(3)
    /// Past this many, the instance that said hello first among those without a session is forgotten. How many have sessions the table bounds.
    package static let kept = 8

    /// Ordered by their last hello.
    package private(set) var instances: [Instance] = []
    /// Which two live, in words; nil: one, or none.
    package private(set) var contested: String?

    /// `contested`: what the journal says.
    package init(contested: String? = nil) { self.contested = contested }

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
        instances.append(new)
        if instances.count > Self.kept, let index = instances.firstIndex(where: { !$0.isOpen }) { instances.remove(at: index) }
        return instances.dropLast().filter(\.isOpen).map { .challenge(session: $0.session) }
    }

    /// An answer to a challenge: that instance lives although a newer one has said hello.
    package mutating func answered(session: String) -> [Effect] {
        guard let older = instances.first(where: { $0.session == session }), let newest = instances.last, newest.session != session else { return [] }
        return contest(newest, older)
    }

    package mutating func unanswered(session: String) -> [Effect] {
        guard contested == nil, instances.last?.session != session, instances.contains(where: { $0.session == session && $0.isOpen }) else { return [] }
        return [.close(session: session)]
    }

    package mutating func reported(session: String, mayRun: Bool) {
        if let index = instances.firstIndex(where: { $0.session == session }) { instances[index].mayRun = mayRun }
    }

    /// The end of a session is not the end of what runs behind it: only an instance whose last word was that nothing runs is gone with it.
    package mutating func closed(session: String) -> [Effect] {
        guard let index = instances.firstIndex(where: { $0.session == session }) else { return [] }
        instances[index].isOpen = false
        guard contested != nil, !instances[index].mayRun else { return [] }
        let gone = instances.remove(at: index)
        guard instances.count == 1 else { return [] }
        contested = nil
        return [.settled("the instance of \(gone.words) has ended; its last word was that nothing runs there")]
    }

    package struct Refusal: Error, Equatable, Sendable {
        package let slug: String
        package let text: String
    }

    /// A person says that one of the two is gone. Refused while two still have sessions.
    package mutating func settle(by person: String, reason: String) -> Result<[Effect], Refusal> {
        guard contested != nil else { return .failure(Refusal(slug: "nothing-to-do", text: "one instance lives: there is nothing to settle")) }
        let open = instances.filter(\.isOpen)
        guard open.count < 2 else {
            return .failure(Refusal(slug: "host-contested", text: "both still answer: \(open.map(\.words).joined(separator: "; and ")). End one of them first"))
        }
        contested = nil
        instances = open
        return .success([.settled("settled by \(person): \(reason)")])
    }

    private mutating func contest(_ a: Instance, _ b: Instance) -> [Effect] {
        guard contested == nil else { return [] }
        let how = "\(b.words); and \(a.words)"
        contested = how
        return [.contested(how)]
    }
}
