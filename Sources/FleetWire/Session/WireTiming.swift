/// The bounds of a session; the defaults are what a fleet runs with.
package struct WireTiming: Equatable, Sendable {
    /// This side says something at least this often.
    package var heartbeat: Duration
    /// Silence of the other side longer than this ends the session.
    ///
    /// Seen at the next look, so up to one look late.
    package var timeout: Duration
    /// What a listener asks of whoever dials in instead; nil: the same.
    package var offeredTimeout: Duration?
    /// How often sessions are looked at; never less often than they say something.
    ///
    /// Apart from the heartbeat, so that a quiet peer is woken half as often as silence is looked for.
    package var look: Duration
    /// From the verified peer to its hello, or to the welcome.
    package var greeting: Duration
    /// A frame that has begun must end within this.
    package var frame: Duration
    /// A reader that takes nothing for this long is cut off.
    package var stalled: Duration
    /// A reader that is behind by more than this is cut off: many large reports, and still bounded for a whole fleet.
    package var outboxBytesMax: Int

    package init(
        heartbeat: Duration = .seconds(2), timeout: Duration = .seconds(5), offeredTimeout: Duration? = nil, look: Duration = .seconds(1),
        greeting: Duration = .seconds(10), frame: Duration = .seconds(20), stalled: Duration = .seconds(10), outboxBytesMax: Int = 8 << 20
    ) {
        self.heartbeat = heartbeat
        self.timeout = timeout
        self.offeredTimeout = offeredTimeout
        self.look = min(look, heartbeat)
        self.greeting = greeting
        self.frame = frame
        self.stalled = stalled
        self.outboxBytesMax = outboxBytesMax
    }

    /// A coordinator's: agents report every second and are missed after five, but each word to them wakes a trading host up.
    ///
    /// A dead link an agent finds by its own reports (`WireDialer.unacknowledgedMax`); only a coordinator that hangs takes longer
    /// to be missed, and to dial that one again would help nobody.
    package static let coordinator = WireTiming(heartbeat: .seconds(4), timeout: .seconds(5), offeredTimeout: .seconds(12))
}
