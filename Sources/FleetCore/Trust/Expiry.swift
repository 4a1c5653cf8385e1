/// How long something of limited validity is good for, in whole days, and what that means to people (law 11).
package struct Expiry: Equatable, Sendable {
    /// From here on it is said.
    package static let warnDays: Int64 = 30
    /// From here on a person is needed.
    package static let urgentDays: Int64 = 7

    /// Rounded down; below zero it is past.
    package var daysLeft: Int64

    package init(daysLeft: Int64) { self.daysLeft = daysLeft }

    /// Both in seconds since 1970.
    package init(untilUnix: Int64, nowUnix: Int64) {
        let seconds = untilUnix.subtractingReportingOverflow(nowUnix).partialValue
        daysLeft = seconds >= 0 ? seconds / 86_400 : (seconds - 86_399) / 86_400
    }

    package var isSaid: Bool { daysLeft < Self.warnDays }
    package var isUrgent: Bool { daysLeft < Self.urgentDays }

    /// Rises where people should be told again: 0 good, 1 soon, 2 in days, 3 past.
    package var stage: Int { daysLeft < 0 ? 3 : isUrgent ? 2 : isSaid ? 1 : 0 }

    /// `ends in 12 days`, `was good until 3 days ago`
    package var sentence: String { "\(daysLeft < 0 ? "was good until" : "ends") \(words)" }

    /// `in 12 days`, `today`, `less than a day ago`, `3 days ago`
    package var words: String {
        switch daysLeft {
        case 0: "today"
        case 1...: "in \(daysLeft) day\(daysLeft == 1 ? "" : "s")"
        case -1: "less than a day ago"
        default: "\(-daysLeft - 1) day\(daysLeft == -2 ? "" : "s") ago"
        }
    }
}
