extension Inventory {
    /// Hosts whose agents can measure a stream: where its Redis is, and where a sink is.
    package var measuringHosts: [HostName] { measuringHosts { _ in true } }

    package func measuringHosts(_ isWanted: (StreamSpec) -> Bool) -> [HostName] {
        var found: Set<HostName> = []
        for stream in streams where isWanted(stream) {
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
