/// What a host's settings and threads are at one moment. nil is unknown, and `notes` says why.
package struct LayoutObservation: Equatable, Sendable {
    /// The kernel's, in words.
    package var commandLine: [String]?
    /// Of those asked for; one that could not be read is missing.
    package var sysctl: [String: String] = [:]
    /// By CPU, of those that have one.
    package var governors: [Int: String]?
    package var irqbalanceRunning: Bool?
    /// always, madvise, never
    package var transparentHugepages: String?
    package var time = TimeReading()
    package var onloadVersion: String?
    /// By process; one that could not be read, or has ended, is missing.
    package var threads: [Int32: [ThreadReading]] = [:]
    package var notes: [String] = []

    package init() {}
}

/// One thread of a process.
package struct ThreadReading: Hashable, Sendable {
    package var tid: Int32
    /// At most 15 bytes: the kernel cuts names there.
    package var name: String
    /// Its affinity; nil: it ended meanwhile.
    package var cpus: CPUList?
    /// `other`, `fifo 50`, `other nice -5`
    package var policy: String
    package var lastCPU: Int?
    /// User and system time.
    package var cpuTime: Duration

    package init(
        tid: Int32, name: String, cpus: CPUList?, policy: String = "other", lastCPU: Int? = nil, cpuTime: Duration = .zero
    ) {
        self.tid = tid
        self.name = name
        self.cpus = cpus
        self.policy = policy
        self.lastCPU = lastCPU
        self.cpuTime = cpuTime
    }
}

/// How well a host's clock follows its source.
package struct TimeReading: Equatable, Sendable {
    /// nil: unknown, as everywhere here.
    package var synchronised: Bool?
    /// ptp, ntp, pps, local, or a reference clock's own name; the kernel alone doesn't know.
    package var source: String?
    /// Of this clock from its source: positive is ahead.
    package var offset: Duration?
    package var maxError: Duration?
    /// What the source says of itself, or why nothing is known.
    package var text: String

    package init(
        synchronised: Bool? = nil, source: String? = nil, offset: Duration? = nil, maxError: Duration? = nil, text: String = "not read"
    ) {
        self.synchronised = synchronised
        self.source = source
        self.offset = offset
        self.maxError = maxError
        self.text = text
    }

    package var isKnown: Bool { synchronised != nil }
}
