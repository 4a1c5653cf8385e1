package import FleetCore

/// What is allowed and hardly ever meant: said by `inventory check`, one sentence each.
package enum InventoryAdvice {
    package static func lines(_ inventory: Inventory) -> [String] {
        emergencyStop(inventory) + addresses(inventory) + inventory.services.flatMap { service in actions(service) + gates(service, inventory) }
    }

    private static func emergencyStop(_ inventory: Inventory) -> [String] {
        let spared = inventory.services.filter { !inventory.emergencyKills($0) && $0.tier.raw == "execution" }.map(\.name.raw)
        if inventory.emergencyStop.kills.isEmpty {
            return ["emergency_stop.kills is empty: an emergency stop that names nothing kills nothing. Name tiers, or order it with --everything"]
        }
        return spared.isEmpty ? [] : ["an emergency stop that names nothing spares \(spared.joined(separator: ", ")) of the execution tier"]
    }

    private static func addresses(_ inventory: Inventory) -> [String] {
        var first: [String: HostName] = [:]
        return inventory.hosts.compactMap { host in
            guard let address = host.address, !address.hasPrefix("127."), let other = first.updateValue(host.name, forKey: address) else { return nil }
            return "\(other) and \(host.name) have one address, \(address)"
        }
    }

    private static func actions(_ service: ServiceSpec) -> [String] {
        [("quiesce", service.quiesce), ("resume", service.resume)].compactMap { name, action in
            guard let action, action.done == nil, case .signal(let signal) = action.how else { return nil }
            return
                "\(service.name): \(name) sends SIG\(signal) and nothing says that it took effect. Add done: {notify: X_\(name.uppercased())D=1} or an http condition"
        }
    }

    /// A gate is asked while everything runs: what nothing quiesces may never come to hold it.
    private static func gates(_ service: ServiceSpec, _ inventory: Inventory) -> [String] {
        guard !inventory.services.contains(where: { $0.quiesce != nil }) else { return [] }
        return service.gates.map { gate in
            "\(service.name): gate \(gate.name) waits for \(gate.probe.equals), and no service is quiesced before it is asked: a stop may wait there for a person. "
                + "Give what opens it a quiesce"
        }
    }
}
