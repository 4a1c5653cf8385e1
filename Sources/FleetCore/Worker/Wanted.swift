/// What the last order wanted of a worker: what is, is held against it.
package struct Wanted: Equatable, Sendable {
    package var isUp: Bool
    /// `operator/alice`, an emergency stop's id, …
    package var by: String
    package var reason: String
    package var since: BootTime

    package init(isUp: Bool, by: String, reason: String, since: BootTime) {
        self.isUp = isUp
        self.by = by
        self.reason = reason
        self.since = since
    }
}
