package import FleetAPI

/// A run's events as lines: one for each step that ends, with its duration; what a step is doing now, for terminals.
package struct ProgressLines: Sendable {
    package enum Line: Equatable, Sendable {
        /// Stays on the screen and in a log.
        case kept(String)
        /// What happens now: rewritten on a terminal, not printed elsewhere.
        case passing(String)
    }

    private let zone: FleetZone
    private let style: ScreenStyle
    private var finished: Set<UInt32> = []
    private var lastBlocked = ""

    package init(zone: FleetZone, style: ScreenStyle) {
        self.zone = zone
        self.style = style
    }

    package mutating func take(_ event: APIRunEvent) -> [Line] {
        switch event.kind {
        case "step": step(event)
        case "worker": worker(event)
        case "flight": [.passing(style.apply(["\(stamp(event))     \(event.worker)  \(event.text) …"])[0])]
        case "blocked": blocked(event)
        case "unblocked": unblocked(event)
        default: event.text.isEmpty || event.kind == "ended" ? [] : kept(["\(stamp(event))     \(event.text)"])
        }
    }

    private mutating func step(_ event: APIRunEvent) -> [Line] {
        let step = event.step
        let head = "\(stamp(event))  \(ScreenText.right(String(step.number), 2)) \(ScreenText.left(step.label, 12)) "
        let text = step.detail.isEmpty ? step.text : step.detail
        switch step.state {
        case "done", "skipped", "failed":
            guard finished.insert(step.number).inserted else { return [] }
            lastBlocked = ""
            let end = step.state == "done" ? ScreenText.took(step.tookNs) : step.state
            let room = style.width - head.count - end.count - 1
            guard room > 10 else { return kept(["\(head)\(text) \(end)"]) }
            let wrapped = ScreenText.wrapped(text, width: room - 1, indent: "")
            let first = head + ScreenText.left(wrapped.first ?? "", room) + " " + end
            let indent = String(repeating: " ", count: head.count)
            return kept([first] + wrapped.dropFirst().map { indent + $0 })
        case "blocked":
            return []  // the blocked event says it in a sentence
        case "active":
            return [.passing(style.apply(["\(head)\(text) …"])[0])]
        default:
            return []
        }
    }

    private func worker(_ event: APIRunEvent) -> [Line] {
        let name = event.worker.isEmpty ? "" : "\(event.worker)  "
        let head = "\(stamp(event))     "
        let wrapped = ScreenText.wrapped(event.text, width: max(20, style.width - head.count - name.count), indent: "")
        let indent = String(repeating: " ", count: head.count)
        return kept([head + name + (wrapped.first ?? "")] + wrapped.dropFirst().map { indent + $0 })
    }

    /// The same block is said once, however often the coordinator repeats it with fresher figures.
    private mutating func blocked(_ event: APIRunEvent) -> [Line] {
        let lines = BlockText.lines(event.text, run: event.run, width: style.width)
        guard let head = lines.first else { return [] }
        // How long it has lasted changes with every event, and its unit with it.
        let key = String((event.text.split(separator: ";").first ?? "").filter { !$0.isNumber }) + (event.text.split(separator: "[").last ?? "")
        guard key != lastBlocked else { return [.passing(style.apply([head])[0])] }
        lastBlocked = key
        return kept(lines)
    }

    private mutating func unblocked(_ event: APIRunEvent) -> [Line] {
        lastBlocked = ""
        return kept(["\(stamp(event))     goes on"])
    }

    private func stamp(_ event: APIRunEvent) -> String { zone.time(event.unixUs, milliseconds: true) }

    private func kept(_ lines: [String]) -> [Line] { style.apply(lines).map { .kept($0) } }
}
