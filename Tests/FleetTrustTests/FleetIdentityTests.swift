import FleetCore
import FleetTrust
import Testing

@Suite struct FleetIdentityTests {
    @Test("an identity's URI reads back as the same identity", arguments: FleetIdentity.Role.allCases)
    func roundTrip(role: FleetIdentity.Role) throws {
        let identity = try #require(FleetIdentity(role: role, name: "md-1", fleet: "demo"))
        #expect(identity.uri == "spiffe://demo/\(role.rawValue)/md-1")
        #expect(FleetIdentity(uri: identity.uri) == identity)
    }

    @Test(
        "what isn't exactly one role and one name of a fleet is no identity",
        arguments: [
            "", "spiffe://", "spiffe://demo", "spiffe://demo/agent", "spiffe://demo/agent/", "spiffe:///agent/md-1",
            "spiffe://demo/agent/md-1/", "spiffe://demo/agent/md-1/x", "spiffe://demo/root/md-1", "spiffe://demo/Agent/md-1",
            "https://demo/agent/md-1", "SPIFFE://demo/agent/md-1", "spiffe://demo/agent/..%2f", "spiffe://demo/agent/-x",
            "spiffe://demo/agent/a b", "spiffe://demo:1/agent/md-1", "spiffe://demo/agent/md-1?x", " spiffe://demo/agent/md-1",
        ])
    func refused(uri: String) { #expect(FleetIdentity(uri: uri) == nil) }
}
