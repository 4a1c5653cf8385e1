/// What a coordinator signs with its store's key to prove to one agent, in one session, that it holds that store.
///
/// The agent's nonce makes the proof good for that session alone; fleet, host, name, store and epoch keep it from being handed on
/// to another agent or dressed up as another coordinator's.
package struct StoreChallenge: Equatable, Sendable {
    package var fleet: FleetName
    package var host: HostName
    package var coordinator: String
    package var store: String
    package var epoch: UInt64
    /// Random, made by the agent for this session; hexadecimal.
    package var nonce: String

    /// Bytes of the nonce, before they are written in hexadecimal.
    package static let nonceBytes = 16
    /// Bytes of a store's public key and of a proof, in base64.
    package static let keyBytesMax = 1_024

    package init(fleet: FleetName, host: HostName, coordinator: String, store: String, epoch: UInt64, nonce: String) {
        self.fleet = fleet
        self.host = host
        self.coordinator = coordinator
        self.store = store
        self.epoch = epoch
        self.nonce = nonce
    }

    /// The exact text that is signed.
    package var document: String {
        JSON.object([
            .init("statement", .string("store-proof")), .init("fleet", .string(fleet.raw)), .init("host", .string(host.raw)),
            .init("coordinator", .string(coordinator)), .init("store", .string(store)), .init("epoch", .int(epoch)), .init("nonce", .string(nonce)),
        ]).text
    }
}
