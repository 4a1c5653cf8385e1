import FleetCore

/// A decoded service with the places that rules between services report at.
struct LocatedService {
    var spec: ServiceSpec
    /// nil: its tier is missing or dangling, which has been reported.
    var tier: TierName?
    var position: SourcePosition
    var needs: [(service: ServiceName, position: SourcePosition)] = []
    var aliases: [(text: String, position: SourcePosition)] = []
    /// What it is on each of its hosts, which `on` may change.
    var placed: [HostName: LocatedPlacement] = [:]
}

/// A service as one host runs it.
struct LocatedPlacement {
    var spec: ServiceSpec
    var tree: YAMLTree

    /// Where the value stands that these keys lead to; nil: nothing is written there.
    func place(_ keys: String...) -> SourcePosition? {
        var tree: YAMLTree? = tree
        for key in keys { tree = tree?[key] }
        return tree?.position
    }
}
