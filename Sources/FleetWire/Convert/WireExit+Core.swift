package import FleetCore

extension WireExit {
    /// Last words of one launch that are told, and bytes of a key and of a value, in UTF-8.
    private static let notifiedMax = 64
    private static let keyBytesMax = 128
    private static let valueBytesMax = 512

    package init(_ exit: WorkerExit) {
        self.init()
        switch exit.how {
        case .exited(let status):
            code = status
            known = true
        case .signalled(let number, let dumped):
            signalled = true
            code = number
            core = dumped
            known = true
        case .unknown: known = false
        }
        atBoottimeNs = exit.at.nanoseconds
        killedByLatch = exit.killedByLatch ?? ""
        // A declared counter is a number; the rest is for people. Both are short in an honest worker.
        for (key, value) in exit.notified.sorted(by: { $0.key < $1.key }).prefix(Self.notifiedMax) {
            notified[Cleaned.cut(key, bytesMax: Self.keyBytesMax)] = Cleaned.cut(value, bytesMax: Self.valueBytesMax)
        }
        saidStopping = exit.saidStopping
        if let end = exit.tree { tree = WireTreeEnd(end) }
    }
}

extension WorkerExit {
    package init(_ wire: WireExit, status: String) {
        let how: How = !wire.known ? .unknown : wire.signalled ? .signalled(wire.code, core: wire.core) : .exited(wire.code)
        self.init(
            how: how, killedByLatch: wire.killedByLatch.isEmpty ? nil : wire.killedByLatch, notified: wire.notified, saidStopping: wire.saidStopping,
            status: status, tree: wire.hasTree ? TreeEnd(wire.tree) : nil, at: BootTime(nanoseconds: wire.atBoottimeNs))
    }
}
