import FleetCore
import LinuxHost
import Logging
import NIOCore
import SwiftProtobuf

/// The sessions of one event loop: one timer beats for all of them, and a broadcast takes one hop.
///
/// Belongs to its event loop.
final class SessionGroup {
    private let eventLoop: any EventLoop
    private let heartbeatEvery: Duration
    /// nil: whoever owns this calls `look`.
    private let lookEvery: Duration?
    private var beatAt = BootTime.zero
    private let heartbeat: @Sendable () -> WireHeartbeat
    private let log: Logger
    private var handlers: [ObjectIdentifier: WireSessionHandler] = [:]
    private var timer: RepeatedTask?

    init(
        eventLoop: any EventLoop, heartbeatEvery: Duration, lookEvery: Duration?, heartbeat: @escaping @Sendable () -> WireHeartbeat, log: Logger
    ) {
        self.eventLoop = eventLoop
        self.lookEvery = lookEvery
        self.heartbeatEvery = heartbeatEvery
        self.heartbeat = heartbeat
        self.log = log
    }

    var count: Int { handlers.count }

    func add(_ handler: WireSessionHandler) {
        eventLoop.preconditionInEventLoop()
        handlers[ObjectIdentifier(handler)] = handler
        guard timer == nil, let lookEvery else { return }
        let every = TimeAmount.nanoseconds(lookEvery.nanoseconds)
        let box = NIOLoopBound(self, eventLoop: eventLoop)
        timer = eventLoop.scheduleRepeatedTask(initialDelay: every, delay: every) { _ in box.value.look() }
    }

    func remove(_ handler: WireSessionHandler) {
        eventLoop.preconditionInEventLoop()
        handlers[ObjectIdentifier(handler)] = nil
        // Nothing to watch: no wake-ups.
        guard handlers.isEmpty else { return }
        timer?.cancel()
        timer = nil
    }

    func broadcast(_ frame: ByteBuffer, where included: (WireSession) -> Bool) {
        for handler in handlers.values {
            guard let session = handler.session, included(session) else { continue }
            handler.write(frame)
        }
    }

    func closeAll(why: String) {
        for handler in Array(handlers.values) { handler.end(slug: "closed", text: why, tell: true) }
    }

    /// Ends what is silent or stuck, and says something to the others when a heartbeat is due.
    func look() {
        guard !handlers.isEmpty else { return }
        let now = Clock.boottime()
        // A tenth early rather than a whole look late: timers are never early.
        let isDue = now - beatAt >= heartbeatEvery - .nanoseconds(heartbeatEvery.nanoseconds / 10)
        do {
            var frame: ByteBuffer?
            if isDue {
                beatAt = now
                var message = heartbeat()
                message.boottimeNs = now.nanoseconds
                frame = try FrameEncoder.encode(.with { $0.heartbeat = message })
            }
            // A copy: a session that closes takes itself out.
            for handler in Array(handlers.values) { handler.tick(now, heartbeat: frame) }
        } catch {
            log.error("no heartbeat could be made", metadata: ["why": "\(error)"])
        }
    }
}
