/// Whose orders, parts and epochs an agent takes: one coordinator's name with one store and the store's key, pinned at first
/// contact (law 13).
///
/// What is durable of it is `pin`, which the shell writes before it takes a part. Another store is taken by an operator's
/// signed succession, once, or by a person on the host.
package struct CoordinatorBook: Equatable, Sendable {
    package struct Pin: Equatable, Sendable {
        package enum How: String, Sendable { case firstContact = "first-contact", part, succession, person }

        /// Empty: the first coordinator of that store gives it its name.
        package var coordinator: CoordinatorName
        package var store: String
        /// The store's public key, in base64. Empty: the first one that is proved for this store is taken.
        package var key: String
        /// The highest that it was seen with.
        package var epoch: UInt64
        package var how: How
        /// Who decided; empty: nobody had to.
        package var by: String
        package var reason: String
        package var unixMicroseconds: UInt64

        package init(
            coordinator: CoordinatorName, store: String, key: String = "", epoch: UInt64, how: How, by: String = "", reason: String = "",
            unixMicroseconds: UInt64
        ) {
            self.coordinator = coordinator
            self.store = store
            self.key = key
            self.epoch = epoch
            self.how = how
            self.by = by
            self.reason = reason
            self.unixMicroseconds = unixMicroseconds
        }
    }

    /// What a coordinator's certificate and its welcome say.
    package struct Contact: Equatable, Sendable {
        /// The certificate's role is relay.
        package var isRelayCertificate: Bool
        /// The certificate's name.
        package var certified: String
        package var claimedName: String
        package var claimsRelay: Bool
        package var store: String
        /// The public key whose private half it has proved to hold in this session; empty: none.
        package var provenKey: String
        package var epoch: UInt64

        package init(isRelayCertificate: Bool, certified: String, claimedName: String, claimsRelay: Bool, store: String, provenKey: String, epoch: UInt64) {
            self.isRelayCertificate = isRelayCertificate
            self.certified = certified
            self.claimedName = claimedName
            self.claimsRelay = claimsRelay
            self.store = store
            self.provenKey = provenKey
            self.epoch = epoch
        }
    }

    package enum Standing: Equatable, Sendable {
        /// Its orders are taken. `isNew`: what is pinned changed and must be kept.
        case followed(isNew: Bool)
        case relay
        /// Its orders are not taken; why.
        case stranger(String)
        /// No session.
        case refused(slug: String, text: String)
    }

    package private(set) var pin: Pin?
    /// When the last succession that was taken was signed: an older one is never taken again.
    package private(set) var lastSuccession: UInt64
    /// An agent from before pins: who sent its present part, and the epochs that it has seen by store.
    private let partFrom: CoordinatorName?
    private let epochsSeen: [String: UInt64]
    /// Why what was kept can't be used: nobody's orders are taken until a person decides.
    private var unusable: String?

    /// Starts of one coordinator between two words of it that an agent may miss. A jump beyond it is no restart.
    package static let epochJumpMax: UInt64 = 1_000_000
    package static let storeBytesMax = 64

    package init(pin: Pin? = nil, lastSuccession: UInt64 = 0, partFrom: CoordinatorName? = nil, epochsSeen: [String: UInt64] = [:], unusable: String? = nil) {
        self.unusable = unusable
        self.pin = pin
        self.lastSuccession = lastSuccession
        self.partFrom = partFrom
        self.epochsSeen = epochsSeen
    }

    /// Decides about a coordinator or relay that has welcomed this agent.
    package mutating func met(_ contact: Contact, unixMicroseconds: UInt64) -> Standing {
        guard contact.claimedName == contact.certified else {
            return .refused(slug: "wrong-name", text: "its certificate is \(contact.certified)'s, it says that it is \(contact.claimedName)")
        }
        if contact.isRelayCertificate { return .relay }
        if contact.claimsRelay {
            guard pin?.coordinator.raw != contact.certified else {
                return .stranger("it says that it is a relay, and \(contact.certified) is the coordinator that this host follows")
            }
            return .relay
        }
        guard isValidName(contact.store), contact.store.utf8.count <= Self.storeBytesMax, contact.epoch > 0 else {
            return .stranger("it names no store, or no epoch")
        }
        if let unusable { return .stranger(unusable) }
        let name = CoordinatorName(contact.certified)
        guard let pin else { return first(contact, name, unixMicroseconds) }
        guard pin.store == contact.store, pin.coordinator.raw.isEmpty || pin.coordinator == name else {
            return .stranger("this host follows \(pin.coordinator) with store \(pin.store), it is \(name) with store \(contact.store)")
        }
        guard pin.key.isEmpty || pin.key == contact.provenKey else {
            return .stranger(
                contact.provenKey.isEmpty
                    ? "it names store \(pin.store), which this host follows, and does not prove that it holds it. "
                        + "If it is of a version before store keys: trading --local coordinator accept \(pin.store) --reason …, here"
                    : "it names store \(pin.store), which this host follows, and proves another key than that store's. "
                        + "If its store.key was lost: trading coordinator succeed --reason …")
        }
        guard contact.epoch >= pin.epoch else {
            return .refused(
                slug: "stale-epoch",
                text: "this agent has seen epoch \(pin.epoch) of store \(pin.store), this coordinator is at \(contact.epoch): a newer one has taken over")
        }
        guard contact.epoch - pin.epoch <= Self.epochJumpMax else {
            return .stranger(
                "its epoch \(contact.epoch) is no restart after \(pin.epoch). If it is right: trading --local coordinator accept \(pin.store) --reason …")
        }
        var met = pin
        met.epoch = contact.epoch
        met.coordinator = name
        met.key = contact.provenKey
        self.pin = met
        return .followed(isNew: met != pin)
    }

    private mutating func first(_ contact: Contact, _ name: CoordinatorName, _ now: UInt64) -> Standing {
        if let partFrom, partFrom != name { return .stranger("this host's part of the inventory came from \(partFrom)") }
        let seen = epochsSeen[contact.store]
        if !epochsSeen.isEmpty, seen == nil { return .stranger("this host has never seen its store") }
        if let seen, contact.epoch < seen {
            return .refused(slug: "stale-epoch", text: "this agent has seen epoch \(seen) of store \(contact.store), this coordinator is at \(contact.epoch)")
        }
        guard contact.epoch - (seen ?? 0) <= Self.epochJumpMax else { return .stranger("its epoch \(contact.epoch) is no number of starts") }
        pin = Pin(
            coordinator: name, store: contact.store, key: contact.provenKey, epoch: contact.epoch, how: partFrom == nil ? .firstContact : .part,
            unixMicroseconds: now)
        return .followed(isNew: true)
    }

    /// Takes an operator's word, whose signature was verified; nil: taken, else why not.
    ///
    /// A statement counts once: it names the store that it replaces, and none is taken that is no newer than the last decision, be it a
    /// statement or a person's.
    package mutating func succeeded(_ statement: SuccessionStatement, now: UInt64) -> String? {
        guard let pin else { return "this host follows nobody yet: the first coordinator that it meets is pinned" }
        let isOtherKey = !statement.storeKey.isEmpty && statement.storeKey != pin.key
        guard statement.store != pin.store || CoordinatorName(statement.coordinator) != pin.coordinator || isOtherKey else {
            return "this host follows that store already"
        }
        guard statement.replaces.contains(pin.store) else { return "it replaces other stores than \(pin.store), which this host follows" }
        guard statement.unixMicroseconds > lastSuccession else { return "it is no newer than the last one that this host has taken" }
        self.pin = Pin(
            coordinator: CoordinatorName(statement.coordinator), store: statement.store, key: statement.storeKey, epoch: 0, how: .succession, by: statement.by,
            reason: statement.reason, unixMicroseconds: now)
        lastSuccession = statement.unixMicroseconds
        return nil
    }

    /// A person on this host decides; the epoch begins anew.
    package mutating func accepted(store: String, key: String, coordinator: CoordinatorName?, by: String, reason: String, unixMicroseconds: UInt64) {
        unusable = nil
        lastSuccession = max(lastSuccession, unixMicroseconds)
        pin = Pin(
            coordinator: coordinator ?? "", store: store, key: key, epoch: 0, how: .person, by: by, reason: reason, unixMicroseconds: unixMicroseconds)
    }
}
