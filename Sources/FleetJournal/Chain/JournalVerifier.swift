import FleetTrust
package import LinuxHost

/// Checks a journal's file without opening it for writing: every changed, missing or reordered record is found, up to the
/// last anchor; an unanchored tail that was cut off or rewritten whole can't be.
package enum JournalVerifier {
    /// `anchors`: heads of this journal that were kept elsewhere.
    package static func verify(_ path: String, anchors: [JournalHead] = []) throws(LinuxError) -> VerifyReport {
        var walk = Walk(path: path, anchors: anchors)
        var lines = JournalLines(try JournalFile(path: path, writable: false))
        while true {
            switch try lines.next() {
            case .line(let bytes, _): walk.visit(bytes)
            case .torn(_, let count): return walk.finish(torn: count)
            case .end: return walk.finish(torn: 0)
            }
        }
    }

    private struct Walk {
        private var report: VerifyReport
        private var anchors: [UInt64: [String]] = [:]
        /// The hash that the line before states, and the one that its payload makes.
        private var stated = JournalLine.zeroHash
        private var computed = JournalLine.zeroHash
        private var sequence: UInt64 = 0

        init(path: String, anchors: [JournalHead]) {
            report = VerifyReport(path: path)
            for anchor in anchors where anchor.sequence > 0 { self.anchors[anchor.sequence, default: []].append(anchor.hash) }
        }

        mutating func visit(_ bytes: [UInt8]) {
            report.count += 1
            let number = report.count
            guard let line = JournalLine(bytes) else {
                report.add(line: number, "this is no line of a journal; record \(sequence + 1) should stand here")
                sequence += 1
                return
            }
            let record: AuditRecord
            do throws(AuditRecord.FormatError) { record = try AuditRecord(json: line.payload) } catch {
                report.add(line: number, "record \(sequence + 1) was changed: \(error)")
                computed = JournalLine.chained(line.payload, after: stated)
                stated = line.hash
                sequence += 1
                return
            }
            let follows = JournalLine.chained(line.payload, after: stated)
            // After a line whose own hash was changed, its payload still says what it was.
            let holds = follows == line.hash || JournalLine.chained(line.payload, after: computed) == line.hash
            if record.sequence > sequence + 1 {
                let missing = record.sequence == sequence + 2 ? "record \(sequence + 1) is" : "records \(sequence + 1) to \(record.sequence - 1) are"
                report.add(line: number, "\(missing) missing before record \(record.sequence)")
            } else if record.sequence <= sequence {
                report.add(line: number, "record \(record.sequence) stands where \(sequence + 1) should: out of order, repeated or changed")
            } else if !holds {
                report.add(line: number, "record \(record.sequence) was changed, or put here: it does not follow from the one before it")
            }
            computed = holds ? line.hash : follows
            stated = line.hash
            sequence = record.sequence
            report.head = JournalHead(sequence: sequence, hash: Digest.hex(line.hash))
            checkAnchors(number)
        }

        private mutating func checkAnchors(_ number: Int) {
            guard let hashes = anchors.removeValue(forKey: sequence) else { return }
            if hashes.allSatisfy({ $0 == report.head.hash }) {
                report.anchoredUpTo = max(report.anchoredUpTo, sequence)
            } else {
                report.add(line: number, "record \(sequence) is not the one that was anchored: the chain was rewritten")
            }
        }

        mutating func finish(torn: Int) -> VerifyReport {
            report.tornBytes = torn
            for (sequence, _) in anchors.sorted(by: { $0.key < $1.key }) {
                report.add(line: report.count + 1, "record \(sequence) was anchored and is missing; the file ends at \(self.sequence)")
            }
            return report
        }
    }
}
