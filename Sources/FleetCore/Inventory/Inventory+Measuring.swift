extension Inventory {
    /// Hosts whose agents can measure a stream: where its Redis is, and where a sink is.
    package var measuringHosts: [HostName] {
        var found: Set<HostName> = []
        for stream in streams {
            if case .redis(let host, _, _) = stream.via { found.insert(host) }
            for consumer in stream.to {
                switch consumer.applied {
                case .sqlite, .questdb: found.formUnion(service(consumer.service)?.hosts ?? [])
                case .counter, nil: break
                }
            }
        }
        return found.sorted()
    }
}
