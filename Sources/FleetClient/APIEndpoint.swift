package import FleetWire

/// Where an API answers.
package enum APIEndpoint: Sendable {
    /// Over TLS with the operator's certificate; an IP literal. Whoever answers must be the coordinator of that name, or the relay.
    case tls(name: String, isRelay: Bool, host: String, port: Int, trust: TLSTrust)
    /// On this host: a coordinator's or the agent's Unix socket.
    case unix(name: String, path: String)

    package var name: String {
        switch self {
        case .tls(let name, _, _, _, _), .unix(let name, _): name
        }
    }

    /// As it stands in an error: `ctl-1 (10.20.0.11:7480)`.
    package var words: String {
        switch self {
        case .tls(let name, _, let host, let port, _): "\(name) (\(host.contains(":") ? "[\(host)]" : host):\(port))"
        case .unix(let name, let path): "\(name) (\(path))"
        }
    }

    /// By the settings; its certificate may say so too.
    package var isRelay: Bool { if case .tls(_, let isRelay, _, _, _) = self { isRelay } else { false } }

    /// On this host: no certificate says who asks, and none who answers.
    package var isLocal: Bool { if case .unix = self { true } else { false } }
}
