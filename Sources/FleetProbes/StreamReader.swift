import FleetCore
package import FleetWire

/// Measures everything one host can measure of a stream's hop: the buffer and the sink.
package enum StreamReader {
    /// Reads what the probe names, the buffer first and the sink after it: what the sink counts can then only be as new
    /// or newer, so an unacknowledged entry is never missed between the two. Each half says on its own whether it is
    /// known.
    ///
    /// The timeout bounds the whole, so a slow sink can be unknown while the buffer is known.
    package static func read(_ probe: WireStreamProbe, timeout: Duration) -> WireStreamReading {
        let deadline = Deadline(in: timeout)
        var reading = WireStreamReading()
        if probe.redisAddress.isEmpty {
            reading.whyUnknown = "no Redis stream is declared for it on this host"
            reading.atBoottimeNs = Deadline.now
        } else {
            reading = RedisProbe.read(
                address: probe.redisAddress, key: probe.redisKey, group: probe.redisGroup, timeout: timeout)
        }
        reading.stream = probe.stream
        reading.consumer = probe.consumer
        readSink(probe, into: &reading, by: deadline)
        return reading
    }

    private static func readSink(_ probe: WireStreamProbe, into reading: inout WireStreamReading, by deadline: Deadline) {
        do throws(ProbeError) {
            if !probe.sqlitePath.isEmpty {
                reading.applied = try SQLiteProbe.countDistinct(
                    path: probe.sqlitePath, table: probe.sqliteTable, column: probe.sqliteColumn,
                    timeout: deadline.remaining)
            } else if !probe.questdbURL.isEmpty {
                reading.applied = try QuestDBProbe.countDistinct(
                    url: probe.questdbURL, table: probe.questdbTable, column: probe.questdbColumn,
                    timeout: deadline.remaining)
            } else {
                reading.whyAppliedUnknown = "no sink is declared for it on this host"
                return
            }
            if case .failure(let fault) = Bounded.count(reading.applied) {
                reading.applied = 0
                reading.whyAppliedUnknown = "the sink counts \(fault)"
                return
            }
            reading.appliedKnown = true
            reading.whyAppliedUnknown = ""
        } catch {
            reading.whyAppliedUnknown = Cleaned.text("\(error)", bytesMax: 512)
            reading.appliedAbsent = !probe.sqlitePath.isEmpty && SQLiteProbe.isAbsent(probe.sqlitePath)
        }
    }
}
