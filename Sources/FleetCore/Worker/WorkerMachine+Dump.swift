/// A process that writes its core is neither running nor gone: it still holds its sockets.
extension WorkerMachine {
    mutating func dumping(_ isDumping: Bool, _ bytes: UInt64, _ now: BootTime) -> [Effect] {
        guard isDumping else { return dumpEnded(now) }
        guard let launch, let pid else { return [] }
        if bytes > 0 { dumpedBytes = bytes }
        var effects: [Effect] = []
        switch phase {
        case .dumping, .stopped, .launching, .verifying, .backoff, .failed: return []
        case .starting, .running, .held: dumpLateAt = nil
        case .stopping(_, _, let graceEnds, _): dumpLateAt = graceEnds
        case .killing(_, _, let lateAt): dumpLateAt = lateSaid ? nil : lateAt
        }
        dumpedFrom = phase
        enter(.dumping(launch, pid: pid), now)
        if !dumpRecorded {
            dumpRecorded = true
            effects.append(.record(.workerDumping, order: slot, fields: [Field("pid", pid), Field("stopping", isUnderStop)] + dumpedFields))
        }
        if slot?.verb == .start {
            effects += finish(.failed(slug: "ended", text: "\(dumpingWords) instead of getting ready. Look at trading logs \(worker.service)"))
        }
        if isUnderStop, policy.release.coreDump == .killDump, !killedThisStop { effects += kill(launch, pid, Self.cutShort, now) }
        return effects
    }

    /// The core is written, or was cut short, and something of the launch is still there: it goes on where it was.
    private mutating func dumpEnded(_ now: BootTime) -> [Effect] {
        guard case .dumping(let launch, let pid) = phase else { return [] }
        let isLate = dumpLateAt == nil
        let from = dumpedFrom
        enter(from, now)
        switch from {
        case .killing: lateSaid = isLate
        case .starting, .running: if slot?.verb == .stop { return beginStop(launch, pid, now) }
        default: break
        }
        return []
    }

    /// A stop by order reaches a worker that is dumping core.
    mutating func stopDumping(_ launch: LaunchID, _ pid: Int32, killNow: Bool, _ now: BootTime) -> [Effect] {
        if case .killing = dumpedFrom { return kill(launch, pid, "still there", now) }
        if killNow { return kill(launch, pid, "ordered", now) }
        if policy.release.coreDump == .killDump { return kill(launch, pid, Self.cutShort, now) }
        if case .stopping = dumpedFrom {} else { dumpLateAt = now + policy.stop.grace }
        // No signal goes out to what is dying anyway; this is the record that it is being stopped.
        return [.record(.workerDumping, order: slot, fields: [Field("pid", pid), Field("stopping", true)] + dumpedFields)]
    }

    /// The stop waits for the core: said, and never killed for it.
    mutating func dumpLate(_ now: BootTime) -> [Effect] {
        dumpLateAt = nil
        if case .killing = dumpedFrom {
            return finish(
                .failed(slug: "kill-late", text: "\(dumpingWords), \(Self.killLateAfter.words) after SIGKILL. It goes by itself or with the host"))
        }
        return slot.map { [.answer($0, dumpingProgress)] } ?? []
    }

    /// A stop, by order or of its own, is under way.
    package var isUnderStop: Bool {
        if slot?.verb == .stop { return true }
        switch phase {
        case .stopping, .held, .killing: return true
        case .dumping:
            switch dumpedFrom {
            case .stopping, .held, .killing: return true
            default: return false
            }
        default: return false
        }
    }

    var dumpingProgress: Answer {
        .progress(
            slug: "dumping-core",
            text: "\(dumpingWords). It is waited for, not killed: the stop goes on by itself once the core is written")
    }

    private var dumpingWords: String {
        "\(worker) is dumping core: \(dumpedBytes == 0 ? "size unknown" : "\(Self.byteWords(dumpedBytes)) written"), still holds its sockets"
    }

    private var dumpedFields: [Field] { dumpedBytes == 0 ? [] : [Field("bytes", dumpedBytes)] }

    private static let cutShort = "kill-dump: its core dump is cut short"

    /// Something may be writing a core: whether it does may be looked at.
    package var wantsDumpLook: Bool {
        switch phase {
        case .stopping, .killing, .dumping: true
        default: false
        }
    }

    /// `2.1 GiB`
    package static func byteWords(_ bytes: UInt64) -> String {
        let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
        var unit = 0
        var whole = bytes
        var rest: UInt64 = 0
        while whole >= 1_024, unit < units.count - 1 {
            rest = whole % 1_024
            whole /= 1_024
            unit += 1
        }
        return unit == 0 ? "\(whole) B" : "\(whole).\(rest * 10 / 1_024) \(units[unit])"
    }
}
