package import FleetAPI

/// One line of a log as it is shown: time, host, service, and what the worker wrote.
package enum LogText {
    package static func line(_ entry: APILogEntry, zone: FleetZone) -> String {
        // One line of a log is one line here: what a worker wrote must not move a terminal's cursor.
        let text = String(entry.text.unicodeScalars.map { $0.value < 32 && $0 != "\t" || (127..<160).contains($0.value) ? "\u{FFFD}" : Character($0) })
        let time = entry.unixUs > 0 ? zone.time(entry.unixUs, milliseconds: true) : "            "
        guard !entry.service.isEmpty else { return entry.host.isEmpty ? text : "\(time)  \(entry.host)  \(text)" }
        let file = entry.file.isEmpty ? "" : " \(entry.file.split(separator: "/").last.map(String.init) ?? entry.file)"
        return "\(time)  \(ScreenText.padded(entry.host, 6))  \(ScreenText.padded(entry.service, 16))\(file)  \(entry.stderr ? "! " : "")\(text)"
    }
}
