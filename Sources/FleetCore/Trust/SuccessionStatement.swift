/// An operator's word that agents are to follow another coordinator's store: after the old one was lost, or moved.
package struct SuccessionStatement: Equatable, Sendable {
    package var fleet: FleetName
    /// Whom to follow: a coordinator's name as in its certificate, and its store.
    package var coordinator: String
    package var store: String
    /// The store's public key, in base64; empty: agents pin the one that it proves at their next contact.
    package var storeKey: String
    /// The stores that hosts may follow until then, as the operator saw them.
    package var replaces: [String]
    /// `operator/alice`
    package var by: String
    package var reason: String
    package var unixMicroseconds: UInt64

    /// Stores that one statement may replace.
    package static let replacesMax = 64
    package static let bytesMax = 16 << 10

    package init(
        fleet: FleetName, coordinator: String, store: String, storeKey: String = "", replaces: [String], by: String, reason: String, unixMicroseconds: UInt64
    ) {
        self.fleet = fleet
        self.coordinator = coordinator
        self.store = store
        self.storeKey = storeKey
        self.replaces = replaces
        self.by = by
        self.reason = reason
        self.unixMicroseconds = unixMicroseconds
    }

    /// True if it names this store: one that was signed for another, or for a key that was lost since, is told to nobody.
    package func names(coordinator: String, store: String, key: String) -> Bool {
        self.coordinator == coordinator && self.store == store && (storeKey.isEmpty || storeKey == key)
    }

    /// What is signed.
    package var document: String {
        JSON.object([
            .init("statement", .string("coordinator-succession")), .init("fleet", .string(fleet.raw)), .init("coordinator", .string(coordinator)),
            .init("store", .string(store)), .init("key", .string(storeKey)), .init("replaces", .array(replaces.map { .string($0) })), .init("by", .string(by)),
            .init("reason", .string(reason)), .init("unix_us", .int(unixMicroseconds)),
        ]).text
    }

    /// Nil for anything but such a document within its bounds.
    package init?(document: String) {
        guard document.utf8.count <= Self.bytesMax, case .success(let json) = Result(catching: { () throws(JSON.ParseError) in try JSON.parse(document) }),
            json["statement"]?.stringValue == "coordinator-succession", let fleet = json["fleet"]?.stringValue,
            let coordinator = json["coordinator"]?.stringValue, isValidName(coordinator), let store = json["store"]?.stringValue, isValidName(store),
            let items = json["replaces"]?.items, items.count <= Self.replacesMax, let by = json["by"]?.stringValue,
            by.utf8.count <= LatchBounds.byBytesMax, let reason = json["reason"]?.stringValue, reason.utf8.count <= LatchBounds.reasonBytesMax,
            let unix = json["unix_us"]?.uintValue
        else { return nil }
        // Statements of older programs name no key.
        let key = json["key"]?.stringValue ?? ""
        guard key.utf8.count <= StoreChallenge.keyBytesMax else { return nil }
        let replaces = items.compactMap(\.stringValue)
        guard replaces.count == items.count else { return nil }
        self.init(
            fleet: FleetName(fleet), coordinator: coordinator, store: store, storeKey: key, replaces: replaces, by: by, reason: reason,
            unixMicroseconds: unix)
    }
}
