/// Where a coordinator's API listens, and its bounds.
package struct FleetServerSettings: Sendable {
    /// Operators' certificates over TLS 1.3: an IP literal and a port; nil: not served.
    package var tls: Address?
    /// A Unix socket with mode 0660 inside a directory that exists; nil: not served.
    package var unixSocket: String?
    /// Plain HTTP on a loopback address with a bearer token; nil: not served, which is the default.
    package var loopback: Loopback?
    /// How long an emergency stop waits for the agents' words before it answers with those it has.
    package var emergencyBound: Duration = .seconds(3)
    /// How often an idle event stream says that it is alive.
    package var keepAlive: Duration = .seconds(10)
    /// A connection without a request for this long is closed.
    package var idleTimeout: Duration = .seconds(60)

    package struct Address: Sendable, Equatable {
        package var host: String
        package var port: Int

        package init(host: String, port: Int) {
            self.host = host
            self.port = port
        }
    }

    package struct Loopback: Sendable {
        package var address: Address
        /// At least 16 bytes: a shorter one is refused at start.
        package var token: String

        package init(address: Address, token: String) {
            self.address = address
            self.token = token
        }
    }

    /// The largest request body that is read: every verb fits a thousand times over.
    package static let bodyBytesMax = 1 << 20
    /// How many events may wait for one slow reader before its stream is ended.
    package static let eventsPendingMax = 10_000

    package init(tls: Address? = nil, unixSocket: String? = nil, loopback: Loopback? = nil) {
        self.tls = tls
        self.unixSocket = unixSocket
        self.loopback = loopback
    }
}
