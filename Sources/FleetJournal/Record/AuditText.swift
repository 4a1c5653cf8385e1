import FleetCore
import LinuxHost

/// The audit as people read it.
package enum AuditText {
    /// One line: number, time, event, where, by whom, why, then the fields.
    ///
    /// A field longer than ``fieldMax`` is cut with its length; the file holds the whole.
    package static func line(_ record: AuditRecord) -> String {
        var parts = [
            pad("\(record.sequence)", 6, left: true), time(record.unixMicroseconds), pad(record.event, 18),
        ]
        if let place = record.worker ?? record.host { parts.append(place) }
        if let run = record.run { parts.append("run \(run)") }
        if let by = record.by { parts.append("by \(plain(by))") }
        if let reason = record.reason { parts.append("\"\(plain(reason))\"") }
        for field in record.fields { parts.append("\(plain(field.key))=\(quotedIfNeeded(field.value))") }
        return parts.joined(separator: " ")
    }

    /// What a person reads of one field in passing: a SHA-256 fits.
    static let fieldMax = 80

    /// Such as `2026-11-23 17:05:00.412345Z`.
    private static func time(_ unixMicroseconds: UInt64) -> String {
        var text = Clock.rfc3339(unixMicroseconds: unixMicroseconds)
        text.replace("T", with: " ", maxReplacements: 1)
        return text
    }

    private static func pad(_ text: String, _ width: Int, left: Bool = false) -> String {
        let space = String(repeating: " ", count: max(0, width - text.count))
        return left ? space + text : text + space
    }

    private static func quotedIfNeeded(_ whole: String) -> String {
        let text = whole.count <= fieldMax ? whole : "\(whole.prefix(fieldMax - 20))… (\(whole.count) characters)"
        return quoted(text)
    }

    private static func quoted(_ text: String) -> String {
        text.isEmpty || text.contains(" ") ? "\"\(plain(text))\"" : plain(text)
    }

    /// Fit for a terminal: what a worker said must not move its cursor.
    package static func plain(_ text: String) -> String { Cleaned.text(text) }
}
