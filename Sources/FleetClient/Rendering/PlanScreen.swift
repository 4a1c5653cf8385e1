package import FleetAPI

/// A plan as `--dry-run` shows it.
package enum PlanScreen {
    /// `command`: what was typed, without `--dry-run`; it is printed with the digest for running exactly this plan.
    package static func lines(_ plan: APIPlan, fleet: String, command: String, style: ScreenStyle) -> [String] {
        var lines = ["PLAN \(plan.kind)\(fleet.isEmpty ? "" : " · \(fleet)") · digest \(ScreenText.digest(plan.digest))"]
        let left = plan.notes.filter { $0.hasPrefix(leftAlone) }.map { String($0.dropFirst(leftAlone.count)) }
        for (index, text) in left.enumerated() {
            let prefix = index == 0 ? "LEFT ALONE " : "           "
            let wrapped = ScreenText.wrapped(text, width: style.width - prefix.count, indent: "  ")
            lines += wrapped.enumerated().map { ($0 == 0 ? prefix : "           ") + $1 }
        }
        for (index, note) in plan.notes.filter({ !$0.hasPrefix(leftAlone) }).enumerated() {
            let prefix = index == 0 ? "NOTES   " : "        "
            let wrapped = ScreenText.wrapped(note, width: style.width - prefix.count, indent: "  ")
            lines += wrapped.enumerated().map { ($0 == 0 ? prefix : "        ") + $1 }
        }
        lines.append("STEPS")
        lines += steps(plan.steps, width: style.width)
        if !plan.digest.isEmpty, !command.isEmpty {
            lines.append("Run exactly this:")
            // A command to copy is never cut.
            return style.apply(lines) + ["  \(command) --plan \(plan.digest)"]
        }
        return style.apply(lines)
    }

    /// How a note begins that names a worker which a person has locked.
    private static let leftAlone = "left alone: "

    private static func steps(_ steps: [APIPlanStep], width: Int) -> [String] {
        let label = max(8, steps.map(\.label.count).max() ?? 0)
        let indent = String(repeating: " ", count: 4 + label)
        var lines: [String] = []
        var before = ""
        for step in steps {
            // A label that repeats is shown once, so that a tier reads as one block.
            let name = step.label == before && !["gate", "check", "verify"].contains(step.label) ? "" : step.label
            before = step.label
            let head = "\(ScreenText.right(String(step.number), 2)) \(ScreenText.left(name, label)) "
            let text = step.text.isEmpty ? step.workers.joined(separator: " ∥ ") : step.text
            let wrapped = ScreenText.wrapped(text, width: width - head.count, indent: "")
            lines.append(head + (wrapped.first ?? ""))
            lines += wrapped.dropFirst().map { indent + $0 }
        }
        return lines
    }
}
