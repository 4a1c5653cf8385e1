package import FleetCore

extension WireLatch {
    package init(_ latch: Latch) {
        self.init()
        id = latch.id
        by = latch.by
        reason = latch.reason
        unixUs = latch.unixMicroseconds
        scope = WireScope(latch.scope)
        if let release = latch.release {
            released = true
            releasedBy = release.by
            releaseReason = release.reason
            releasedUnixUs = release.unixMicroseconds
        }
    }

    package var core: Latch {
        Latch(
            id: id, by: by, reason: reason, unixMicroseconds: unixUs, scope: scope.core,
            release: released ? Latch.Release(by: releasedBy, reason: releaseReason, unixMicroseconds: releasedUnixUs) : nil)
    }
}

extension WireScope {
    package init(_ scope: LatchScope) {
        self.init()
        everything = scope.everything
        tiers = scope.tiers.map(\.raw)
        hosts = scope.hosts.map(\.raw)
        services = scope.services.map(\.raw)
    }

    package var core: LatchScope {
        LatchScope(
            everything: everything, tiers: tiers.map { TierName($0) }, hosts: hosts.map { HostName($0) },
            services: services.map { ServiceName($0) })
    }
}

extension WireLatchSet {
    package init(_ book: LatchBook) {
        self.init()
        latches = book.all.map { WireLatch($0) }
    }
}
