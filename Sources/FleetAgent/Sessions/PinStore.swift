internal import FleetCore
internal import LinuxHost

/// Whose orders this agent takes, on disk: one JSON object. Written before anything is taken from a coordinator.
enum PinStore {
    private static let bytesMax = 64 << 10

    struct Fault: Error, CustomStringConvertible {
        let path: String
        var description: String {
            "\(path) can't be understood: whose orders this host takes is not known, so it takes nobody's. "
                + "trading --local coordinator accept STORE --reason …  says whose"
        }
    }

    /// `partFrom`: who sent the part that an agent from before pins holds; nil: there is none.
    static func load(_ paths: AgentPaths, partFrom: CoordinatorName?) throws -> CoordinatorBook {
        guard let bytes = try Files.readIfPresent(paths.pin, limit: bytesMax) else {
            return CoordinatorBook(partFrom: partFrom, epochsSeen: try EpochStore.load(paths.epochs))
        }
        guard case .success(let json) = Result(catching: { () throws(JSON.ParseError) in try JSON.parse(bytes) }), let store = json["store"]?.stringValue,
            isValidName(store), let coordinator = json["coordinator"]?.stringValue, coordinator.isEmpty || isValidName(coordinator),
            let key = json["key"].map(\.stringValue) ?? "", key.utf8.count <= StoreChallenge.keyBytesMax, let epoch = json["epoch"]?.uintValue,
            let how = json["how"]?.stringValue.flatMap(CoordinatorBook.Pin.How.init)
        else { throw Fault(path: paths.pin) }
        return CoordinatorBook(
            pin: CoordinatorBook.Pin(
                coordinator: CoordinatorName(coordinator), store: store, key: key, epoch: epoch, how: how,
                by: json["by"]?.stringValue ?? "", reason: json["reason"]?.stringValue ?? "", unixMicroseconds: json["unix_us"]?.uintValue ?? 0),
            lastSuccession: json["last_succession"]?.uintValue ?? 0)
    }

    static func save(_ book: CoordinatorBook, to path: String) throws(LinuxError) {
        guard let pin = book.pin else { return }
        let json = JSON.object([
            .init("coordinator", .string(pin.coordinator.raw)), .init("store", .string(pin.store)), .init("key", .string(pin.key)),
            .init("epoch", .int(pin.epoch)), .init("how", .string(pin.how.rawValue)), .init("by", .string(pin.by)), .init("reason", .string(pin.reason)),
            .init("unix_us", .int(pin.unixMicroseconds)), .init("last_succession", .int(book.lastSuccession)),
        ])
        try Files.writeAtomically(path, Array(json.text.utf8) + [10], mode: 0o600, sync: true)
    }
}
