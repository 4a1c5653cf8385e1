internal import FleetCore
internal import FleetWire

/// This host as its part declares it.
struct HostDeclaration: Equatable, Sendable {
    let spec: HostSpec

    init(_ part: WireHostPart) {
        var spec = HostSpec(
            name: HostName(part.host), housekeeping: WorkerDeclaration.cpus(part.housekeepingCpus), shared: WorkerDeclaration.cpus(part.sharedCpus))
        spec.hugepages = part.hugepages.map(WorkerDeclaration.pages)
        spec.diskFreeMin = part.diskFreeMin
        spec.expect = Self.expect(part.expect)
        self.spec = spec
    }

    private static func expect(_ wire: WireExpectations) -> ExpectationSpec {
        var spec = ExpectationSpec()
        spec.cmdline = wire.cmdline
        spec.sysctl = wire.sysctl
        spec.governor = WorkerDeclaration.text(wire.governor)
        spec.irqbalanceEnabled = enabled(wire.irqbalance)
        spec.smtEnabled = enabled(wire.smt)
        spec.transparentHugepages = WorkerDeclaration.text(wire.transparentHugepages)
        let time = ExpectationSpec.Time(
            source: WorkerDeclaration.text(wire.timeSource),
            offsetMax: wire.timeOffsetMaxNs > 0 ? WorkerDeclaration.duration(wire.timeOffsetMaxNs) : nil,
            via: WorkerDeclaration.text(wire.timeVia), hardwareClock: WorkerDeclaration.text(wire.timePhc))
        spec.time = time == ExpectationSpec.Time() ? nil : time
        spec.interfaces = wire.nics.mapValues { nic in
            ExpectationSpec.Interface(driver: WorkerDeclaration.text(nic.driver), irqCPUs: WorkerDeclaration.cpus(nic.irqCpus))
        }
        spec.onloadVersion = WorkerDeclaration.text(wire.onloadVersion)
        return spec
    }

    private static func enabled(_ word: String) -> Bool? {
        switch word {
        case "enabled": true
        case "disabled": false
        default: nil
        }
    }
}
