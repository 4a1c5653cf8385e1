package import FleetAPI
import FleetCore

/// One line of a log as it is shown: time, host, service, and what the worker wrote.
package enum LogText {
    package static func line(_ entry: APILogEntry, zone: FleetZone) -> String {
        // One line of a log is one line here: what a worker wrote must not move a terminal's cursor. Tabs are layout.
        let text = entry.text.split(separator: "\t", omittingEmptySubsequences: false).map { Cleaned.text(String($0)) }.joined(separator: "\t")
        let time = entry.unixUs > 0 ? zone.time(entry.unixUs, milliseconds: true) : "            "
        guard !entry.service.isEmpty else { return entry.host.isEmpty ? text : "\(time)  \(entry.host)  \(text)" }
        let file = entry.file.isEmpty ? "" : " \(entry.file.split(separator: "/").last.map(String.init) ?? entry.file)"
        return "\(time)  \(ScreenText.padded(entry.host, 6))  \(ScreenText.padded(entry.service, 16))\(file)  \(entry.stderr ? "! " : "")\(text)"
    }
}
