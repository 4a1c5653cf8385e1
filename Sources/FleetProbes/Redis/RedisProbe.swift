import FleetCore
package import FleetWire

/// Measures one stream, and one consumer group of it, in one atomic read.
package enum RedisProbe {
    /// STREAM, GROUPS, CONSUMERS and the server's run id inside one MULTI/EXEC: the figures belong to the same instant.
    ///
    /// Never throws: a failure is `known = false` with the reason, and no figure of such a reading means anything. A
    /// key that the server says does not exist is a measurement: known, length 0, with `last_id` empty. An empty
    /// `group` reads the stream alone. Redis's own traps stay visible (`lag` and `entries-read` null are unknown,
    /// redis.io XINFO GROUPS).
    package static func read(address: String, key: String, group: String, timeout: Duration) -> WireStreamReading {
        var reading = WireStreamReading()
        reading.whyAppliedUnknown = "not measured here"
        do throws(ProbeError) {
            let deadline = Deadline(in: timeout)
            let connection = try RedisConnection(try Endpoint(address, defaultPort: 6379), by: deadline)
            try measure(key: key, group: group, on: connection, into: &reading, by: deadline)
            try demandCounts(reading, address)
            reading.known = true
        } catch {
            // Half an answer, or one out of bounds, is none.
            reading = WireStreamReading()
            reading.whyAppliedUnknown = "not measured here"
            reading.whyUnknown = Cleaned.text("\(error)", bytesMax: 512)
        }
        reading.atBoottimeNs = Deadline.now
        return reading
    }

    private static func measure(
        key: String, group: String, on connection: RedisConnection, into reading: inout WireStreamReading,
        by deadline: Deadline
    ) throws(ProbeError) {
        let object = "stream \(key) of Redis at \(connection.endpoint)"
        var questions = [["INFO", "server"], ["EXISTS", key], ["XINFO", "STREAM", key], ["XINFO", "GROUPS", key]]
        if !group.isEmpty { questions.append(["XINFO", "CONSUMERS", key, group]) }
        connection.enqueue(["MULTI"])
        for question in questions { connection.enqueue(question) }
        connection.enqueue(["EXEC"])
        for _ in 0...questions.count {
            if case .error(let text) = try connection.receive(by: deadline) {
                throw ProbeError("measure", object, .refused(text))
            }
        }
        let outcome = try connection.receive(by: deadline)
        if case .error(let text) = outcome { throw ProbeError("measure", object, .refused(text)) }
        guard let answers = outcome.items, answers.count == questions.count else {
            throw ProbeError("measure", object, .malformed("the transaction was not carried out"))
        }
        guard let info = answers[0].text, let runID = RedisInfo(info)["run_id"], let exists = answers[1].integer else {
            throw ProbeError("measure", object, .malformed("no run id in INFO"))
        }
        reading.runID = runID
        guard exists == 1 else { return }
        if let text = answers[2].errorText { throw ProbeError("measure", object, .refused(text)) }
        try readStream(answers[2], of: object, into: &reading)
        guard !group.isEmpty, let groups = answers[3].items else { return }
        guard let entry = groups.first(where: { $0["name"]?.text == group }) else { return }
        try readGroup(entry, consumers: answers[4], of: "group \(group) of \(object)", into: &reading)
    }

    /// Counts that no Redis has: something else answers there, or was told to lie. Nothing of such an answer counts.
    private static func demandCounts(_ reading: WireStreamReading, _ address: String) throws(ProbeError) {
        for (name, count) in [
            ("length", reading.length), ("entries-added", reading.entriesAdded), ("entries-read", reading.entriesRead), ("lag", reading.lag),
            ("pending", reading.pending), ("consumers", reading.groupConsumers),
        ] {
            guard case .failure(let fault) = Bounded.count(count) else { continue }
            throw ProbeError("measure", "Redis at \(address)", .malformed("\(name): \(fault)"))
        }
    }

    private static func readStream(_ answer: RESPValue, of object: String, into reading: inout WireStreamReading)
        throws(ProbeError)
    {
        guard let length = answer["length"]?.integer, let last = answer["last-generated-id"]?.text else {
            throw ProbeError("measure", object, .malformed("XINFO STREAM without length or last-generated-id"))
        }
        // Redis before 7.0 has no entries-added: without it nothing can be proven, so there is no guess here.
        guard let added = answer["entries-added"]?.integer else {
            throw ProbeError(
                "measure", object, .malformed("XINFO STREAM without entries-added; Redis 7.0 or newer is needed"))
        }
        reading.length = length
        reading.entriesAdded = added
        reading.lastID = last
        reading.maxDeletedID = answer["max-deleted-entry-id"]?.text ?? ""
        reading.firstID = answer["first-entry"]?.items?.first?.text ?? ""
    }

    private static func readGroup(
        _ entry: RESPValue, consumers: RESPValue, of object: String, into reading: inout WireStreamReading
    ) throws(ProbeError) {
        guard let pending = entry["pending"]?.integer, let count = entry["consumers"]?.integer,
            let delivered = entry["last-delivered-id"]?.text, let members = consumers.items
        else { throw ProbeError("measure", object, .malformed("XINFO GROUPS or XINFO CONSUMERS without its fields")) }
        // Both were read in the same transaction; if they differ, the server counts differently from what we think.
        let held = Bounded.sum(members.map { $0["pending"]?.integer ?? 0 })
        guard held == pending else {
            throw ProbeError(
                "measure", object, .malformed("\(pending) pending in the group, \(held.map { "\($0)" } ?? "more than can be counted") at its consumers"))
        }
        reading.groupExists = true
        reading.pending = pending
        reading.groupConsumers = count
        reading.lastDeliveredID = delivered
        if let read = entry["entries-read"]?.integer {
            reading.entriesReadKnown = true
            reading.entriesRead = read
        }
        if let lag = entry["lag"]?.integer {
            reading.lagKnown = true
            reading.lag = lag
        }
    }
}
