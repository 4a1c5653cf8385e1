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
            releaseSignature = release.signature
        }
        signature = latch.signature
        word = latch.word.description
    }

    /// As its bringer's word; what is longer than the bounds of a latch's texts is cut, and is then not what was signed.
    package func core(word: LatchWord) -> Latch {
        func kept(_ signature: String) -> String { signature.utf8.count <= LatchBounds.signatureBytesMax ? signature : "" }
        return Latch(
            id: id, by: LatchBounds.author(by), reason: LatchBounds.reason(reason), unixMicroseconds: unixUs, scope: scope.core,
            release: released
                ? Latch.Release(
                    by: LatchBounds.author(releasedBy), reason: LatchBounds.reason(releaseReason), unixMicroseconds: releasedUnixUs,
                    signature: kept(releaseSignature)) : nil,
            signature: kept(signature), word: word)
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
    package init(_ latches: [Latch]) {
        self.init()
        self.latches = latches.map { WireLatch($0) }
    }
}
