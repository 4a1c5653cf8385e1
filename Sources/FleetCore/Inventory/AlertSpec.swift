/// Who is told when something needs a person.
package struct AlertSpec: Equatable, Sendable {
    package enum Event: String, Sendable, CaseIterable {
        case failed
        case hold
        case unknownHost = "unknown-host"
        case unprovenStop = "unproven-stop"
        case drift
        /// Somebody took off a lock that another had put on.
        case unlocked
        /// A certificate or a revocation list ends within 30 days, within 7, or is past its date.
        case expiry
    }

    package var name: String
    /// `http://` or `https://`, of an address or a name: the coordinator asks, never an agent.
    package var webhook: String
    package var events: Set<Event>

    /// Whether it is told of this: what it takes, and whatever is about the person or page that it is named after.
    package func takes(_ event: Event, page: String?) -> Bool { events.contains(event) || name == page }

    package init(name: String, webhook: String, events: Set<Event> = Set(Event.allCases)) {
        self.name = name
        self.webhook = webhook
        self.events = events
    }
}
