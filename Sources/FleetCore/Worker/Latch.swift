/// An emergency stop in force (law 7): a state that every side keeps and exchanges, never a message that can be missed.
package struct Latch: Equatable, Sendable {
    package var id: String
    package var by: String
    package var reason: String
    package var unixMicroseconds: UInt64
    package var scope: LatchScope
    /// Set once, never cleared: a released latch is never honoured again.
    package var release: Release?

    package struct Release: Equatable, Sendable {
        package var by: String
        package var reason: String
        package var unixMicroseconds: UInt64

        /// Two sides may release one latch at once: the earlier release is kept everywhere.
        static func earlier(_ a: Release, _ b: Release) -> Release {
            (a.unixMicroseconds, a.by, a.reason) <= (b.unixMicroseconds, b.by, b.reason) ? a : b
        }

        package init(by: String, reason: String, unixMicroseconds: UInt64) {
            self.by = by
            self.reason = reason
            self.unixMicroseconds = unixMicroseconds
        }
    }

    package init(id: String, by: String, reason: String, unixMicroseconds: UInt64, scope: LatchScope, release: Release? = nil) {
        self.id = id
        self.by = by
        self.reason = reason
        self.unixMicroseconds = unixMicroseconds
        self.scope = scope
        self.release = release
    }
}

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

/// Every latch a side knows of, released ones included. Merging two books is a union in which a release wins, so the
/// order in which sides meet does not matter. Everything of a latch but its release is set once with its id, which is
/// random; should two differ all the same, the one known first stays.
package struct LatchBook: Equatable, Sendable {
    package private(set) var latches: [String: Latch] = [:]

    package init(_ latches: [Latch] = []) { _ = merge(latches) }

    package var all: [Latch] {
        latches.values.sorted { $0.unixMicroseconds == $1.unixMicroseconds ? $0.id < $1.id : $0.unixMicroseconds < $1.unixMicroseconds }
    }

    package var inForce: [Latch] { all.filter { $0.release == nil } }

    /// Takes in what another side knows; returns the latches that are new here or newly released here.
    package mutating func merge(_ others: [Latch]) -> [Latch] {
        var changed: [Latch] = []
        for other in others {
            guard var known = latches[other.id] else {
                latches[other.id] = other
                changed.append(other)
                continue
            }
            guard let release = other.release else { continue }
            let isNew = known.release == nil
            known.release = known.release.map { Latch.Release.earlier($0, release) } ?? release
            latches[other.id] = known
            if isNew { changed.append(known) }
        }
        return changed
    }

    /// Releases one latch, or all in force when `id` is nil; returns those it released.
    package mutating func release(_ id: String?, _ release: Latch.Release) -> [Latch] {
        var released: [Latch] = []
        for var latch in inForce where id == nil || latch.id == id {
            latch.release = release
            latches[latch.id] = latch
            released.append(latch)
        }
        return released
    }

    /// The oldest latch in force that covers a worker.
    package func forbidding(service: ServiceName, tier: TierName, host: HostName, emergencyKilled: Bool) -> Latch? {
        inForce.first { $0.scope.covers(service: service, tier: tier, host: host, emergencyKilled: emergencyKilled) }
    }
}
