import FleetCore

extension WireWorkerReport {
    /// It is down, nobody wanted that, and nothing will start it again by itself: an exit with status 0 is no order.
    package var endedUnwanted: Bool { state == .stopped && hasWanted && wanted.up && !latched }

    /// A process of it lives although the last order was to stop it.
    package var livesUnwanted: Bool { state == .running && hasWanted && !wanted.up }

    /// `2h ago by alice: "end of day"`, from how old the report is by now; empty: nobody has ordered anything.
    package func wantedWords(reportAge: UInt64, boottimeNs: UInt64, age: (UInt64) -> String) -> String {
        guard hasWanted, !wanted.by.isEmpty else { return "" }
        let by = wanted.by.split(separator: "/").last.map(String.init) ?? wanted.by
        let reason = wanted.reason.isEmpty ? "" : ": \"\(wanted.reason)\""
        guard wanted.sinceBoottimeNs > 0, boottimeNs >= wanted.sinceBoottimeNs else { return "before this boot by \(by)\(reason)" }
        return "\(age((boottimeNs - wanted.sinceBoottimeNs).addingReportingOverflow(reportAge).partialValue)) ago by \(by)\(reason)"
    }
}
