import FleetCore

/// Reads who is told when something needs a person.
struct AlertDecoder {
    let reader: SchemaReader

    func decode(_ entry: YAMLTree.Entry) -> AlertSpec? {
        guard
            let map = reader.map(
                entry.value, at: entry.keyPosition, "the receiver \(entry.key)", keys: ["webhook", "events"],
                // What of the format sends no webhook: an alertmanager's own form, and a heartbeat to who watches the watcher.
                later: ["alertmanager", "url", "every"])
        else { return nil }
        if ["alertmanager", "url"].contains(where: { map.tree[$0] != nil }) { return nil }
        let webhook = map.required("webhook", "https://10.0.0.16/alerts").flatMap { reader.webURL($0, "webhook") }
        let events = map["events"].map { self.events($0) } ?? Set(AlertSpec.Event.allCases)
        guard let webhook else { return nil }
        return AlertSpec(name: entry.key, webhook: webhook, events: events)
    }

    private func events(_ tree: YAMLTree) -> Set<AlertSpec.Event> {
        if case .scalar(let text, _) = tree.content {
            if text == "all" { return Set(AlertSpec.Event.allCases) }
            let known = AlertSpec.Event.allCases.map(\.rawValue)
            let instead = nearest(to: text, in: known).map { "write [\($0)]" } ?? "write all, or a list of \(oneOf(known))"
            reader.faults.add(tree.position, "events is \(text)", instead)
            return []
        }
        guard let items = reader.texts(tree, "events") else { return [] }
        if items.isEmpty { reader.faults.add(tree.position, "events is empty: this receiver would never be told", "write all, or [failed, hold]") }
        return Set(
            items.compactMap { item in
                if let event = AlertSpec.Event(rawValue: item.text) { return event }
                let known = AlertSpec.Event.allCases.map(\.rawValue)
                let near = nearest(to: item.text, in: known).map { "write \($0)" }
                reader.faults.add(item.position, "\(item.text) in events is no event that this version tells", near ?? "write \(oneOf(known)), or remove it")
                return nil
            })
    }
}
