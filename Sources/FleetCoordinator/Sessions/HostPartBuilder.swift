package import FleetCore
internal import FleetTrust
package import FleetWire
internal import SwiftProtobuf

/// One host's part of the inventory as its agent gets it: substituted, in tier stop order, bound by a digest.
package struct HostPartBuilder: Sendable {
    package let inventory: Inventory

    package init(inventory: Inventory) { self.inventory = inventory }

    /// Throws only when protobuf can't serialize, which a checked inventory does not cause.
    package func part(for host: HostSpec) throws -> WireHostPart {
        var part = WireHostPart()
        part.fleet = inventory.fleet.raw
        part.host = host.name.raw
        part.inventoryDigest = inventory.digest
        part.timezone = inventory.timezone
        part.housekeepingCpus = host.housekeeping?.description ?? ""
        describe(host, in: &part)
        part.workers = inventory.workers.filter { $0.host == host.name }.compactMap { worker in
            inventory.service(worker.service).map { self.worker($0.substituted(for: host.name), host) }
        }
        part.dependencies = inventory.dependencies.filter { $0.host == host.name }.map(dependency)
        part.streams = probes(on: host.name)
        // Maps have no order of their own: the digest is of the one serialization that both sides can repeat.
        var options = BinaryEncodingOptions()
        options.useDeterministicOrdering = true
        part.digest = try Digest.sha256Hex(part.serializedBytes(options: options) as [UInt8])
        return part
    }

    private func worker(_ service: ServiceSpec, _ host: HostSpec) -> WireWorkerSpec {
        var spec = WireWorkerSpec()
        spec.service = service.name.raw
        spec.tier = service.tier.raw
        spec.run = service.wrapper + service.run
        spec.wrapperCount = UInt32(service.wrapper.count)
        spec.env = service.env
        spec.secrets = service.secrets
        spec.workdir = service.workdir ?? ""
        spec.user = service.user ?? ""
        spec.group = service.group ?? ""
        var cpus = service.cpus.exclusive ?? CPUList([Int]())
        if service.cpus.helpers, let shared = host.shared { cpus = cpus.union(shared) }
        spec.cpus = cpus.description
        switch service.ready {
        case .notify(let within):
            spec.ready.notify = true
            spec.ready.withinNs = UInt64(within.nanoseconds)
        case .delay(let delay):
            spec.ready.delay = true
            spec.ready.withinNs = UInt64(delay.nanoseconds)
        }
        spec.stop.signal = service.stop.signal
        spec.stop.graceNs = UInt64(service.stop.grace.nanoseconds)
        spec.stop.extendToNs = UInt64(service.stop.extendTo.nanoseconds)
        spec.stop.hold = service.stop.then == .hold
        spec.stop.killTree = service.stop.tree == .kill
        if let quiesce = service.quiesce { spec.quiesce = action(quiesce) }
        if let resume = service.resume { spec.resume = action(resume) }
        spec.counters = service.counters.map(counter)
        spec.restart.policy =
            switch service.restart.policy {
            case .never: .never
            case .onFailure: .onFailure
            case .always: .always
            }
        spec.restart.delayNs = UInt64(service.restart.delay.nanoseconds)
        spec.restart.limitStarts = UInt32(service.restart.limitStarts)
        spec.restart.limitWithinNs = UInt64(service.restart.limitWithin.nanoseconds)
        spec.restart.delayMaxNs = UInt64(service.restart.delayMax.nanoseconds)
        spec.restart.stableAfterNs = UInt64(service.restart.stableAfter.nanoseconds)
        spec.stateFiles = service.stateFiles
        spec.aliases = service.aliases
        spec.logFiles = service.logFiles
        spec.emergencyKilled = inventory.emergencyKills(service)
        spec.startAfterBoot = service.startAfterBoot
        spec.holdNote = service.holdNote ?? ""
        spec.holdPage = service.holdPage ?? ""
        execution(service.execution, in: &spec)
        placement(service.cpus, in: &spec)
        release(service.release, in: &spec)
        spec.watchdogNs = UInt64(service.watchdog?.nanoseconds ?? 0)
        spec.health = service.health.map(health)
        if service.standardOutput != LogRetentionSpec() { spec.stdout = retention(service.standardOutput) }
        if service.standardError != LogRetentionSpec() { spec.stderr = retention(service.standardError) }
        spec.gates = gates(askedAt: service.name, on: host.name)
        return spec
    }

    /// The gates that this service's host asks: its own, and those of others that name it in `at`.
    private func gates(askedAt service: ServiceName, on host: HostName) -> [WireGate] {
        inventory.services.flatMap { owner in
            owner.substituted(for: host).gates.filter { ($0.at ?? owner.name) == service }.map { gate in
                var wire = WireGate()
                wire.name = gate.name
                wire.at = owner.name.raw
                wire.probe = probe(gate.probe)
                wire.waitNs = UInt64(gate.wait.nanoseconds)
                return wire
            }
        }
    }

    private func action(_ action: ActionSpec) -> WireAction {
        var wire = WireAction()
        switch action.how {
        case .signal(let name): wire.signal = name
        case .http(let method, let url):
            wire.http.method = method
            wire.http.url = url
        case .exec(let argv): wire.exec.argv = argv
        }
        switch action.done {
        case .notify(let text): wire.done.notify = text
        case .http(let spec): wire.done.http = probe(spec)
        case nil: break
        }
        wire.withinNs = UInt64(action.within.nanoseconds)
        return wire
    }

    private func counter(_ counter: CounterSpec) -> WireCounter {
        var wire = WireCounter()
        wire.name = counter.name
        switch counter.how {
        case .notify(let key): wire.notify = key
        case .http(let spec): wire.http = probe(spec)
        }
        return wire
    }

    func probe(_ spec: HTTPProbeSpec) -> WireHTTPProbe {
        var wire = WireHTTPProbe()
        wire.url = spec.url
        wire.pointer = spec.pointer
        wire.is = spec.equals
        wire.maxAgeNs = UInt64(spec.maxAge.nanoseconds)
        return wire
    }

    private func dependency(_ spec: DependencySpec) -> WireDependencySpec {
        var wire = WireDependencySpec()
        wire.name = spec.name
        switch spec.probe {
        case .redis(let address): wire.redis = address
        case .questdb(let url): wire.questdb = url
        case .tcp(let address): wire.tcp = address
        }
        return wire
    }

    private func probes(on host: HostName) -> [WireStreamProbe] {
        inventory.streams.flatMap { stream in
            stream.to.compactMap { consumer -> WireStreamProbe? in
                var probe = WireStreamProbe()
                probe.stream = stream.name.raw
                probe.consumer = consumer.service.raw
                var measures = false
                // An address is meant as its own host sees it: only that host's agent reads it.
                if case .redis(host, let address, let key) = stream.via {
                    probe.redisAddress = address
                    probe.redisKey = key
                    probe.redisGroup = consumer.group ?? consumer.service.raw
                    measures = true
                }
                if inventory.service(consumer.service)?.hosts.contains(host) == true {
                    switch consumer.applied {
                    case .sqlite(let path, let table, let column):
                        let values = ["host": host.raw, "service": consumer.service.raw]
                        probe.sqlitePath = substitute(path, values).text
                        probe.sqliteTable = table
                        probe.sqliteColumn = column
                        measures = true
                    case .questdb(let url, let table, let column):
                        probe.questdbURL = url
                        probe.questdbTable = table
                        probe.questdbColumn = column
                        measures = true
                    case .counter, nil: break
                    }
                }
                return measures ? probe : nil
            }
        }
    }
}
