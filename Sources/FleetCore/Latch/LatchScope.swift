/// What a latch covers. With every list empty: what the inventory's `emergency_stop` kills.
package struct LatchScope: Equatable, Sendable {
    /// Also what the inventory spares.
    package var everything: Bool
    package var tiers: [TierName]
    package var hosts: [HostName]
    package var services: [ServiceName]

    package init(everything: Bool = false, tiers: [TierName] = [], hosts: [HostName] = [], services: [ServiceName] = []) {
        self.everything = everything
        self.tiers = tiers
        self.hosts = hosts
        self.services = services
    }

    /// Whether a worker falls under it. Hosts and tiers narrow what the inventory kills; what it spares falls under it only
    /// with `everything`, or when the service itself is named.
    package func covers(service: ServiceName, tier: TierName, host: HostName, emergencyKilled: Bool) -> Bool {
        if !hosts.isEmpty, !hosts.contains(host) { return false }
        if services.contains(service) { return true }
        let named = (tiers.isEmpty && services.isEmpty) || tiers.contains(tier)
        return named && (everything || emergencyKilled)
    }
}
