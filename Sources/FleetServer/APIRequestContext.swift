import FleetCoordinator
import Hummingbird

/// What a request knows of its connection.
struct APIRequestContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    let origin: ConnectionOrigin?
    /// Set by ``CallerMiddleware`` before any route runs.
    var caller: Caller?

    init(source: ApplicationRequestContextSource) {
        coreContext = .init(source: source)
        origin = ConnectionOrigin.current
    }
}
