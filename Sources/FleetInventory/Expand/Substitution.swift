import FleetCore

/// What may stand behind a `$` in a service's texts, and what the loader itself replaces.
///
/// `$release` and `$version` are replaced here. `$host` and `$service` stay until a host is known
/// (`ServiceSpec.substituted(for:)`), `$state` until an agent knows where it keeps the worker's directory, `$$` until then
/// as well.
struct Substitution {
    private static let lasting = ["host", "service", "state"]

    let faults: Faults
    /// `release` and `version`, where the service names a release that is in order.
    var values: [String: String] = [:]
    /// The service names a release, in order or not.
    var hasRelease = false

    func apply(_ text: String, at position: SourcePosition) -> String {
        var out = ""
        var rest = text[...]
        while let dollar = rest.firstIndex(of: "$") {
            out += rest[..<dollar]
            rest = rest[rest.index(after: dollar)...]
            if rest.first == "$" {
                out += "$$"
                rest = rest.dropFirst()
                continue
            }
            let name = String(rest.prefix { $0.isASCII && ($0.isLetter || $0 == "_") })
            rest = rest.dropFirst(name.count)
            if let value = values[name] {
                out += value
            } else {
                out += "$" + name
                check(name, at: position)
            }
        }
        return out + rest
    }

    private func check(_ name: String, at position: SourcePosition) {
        if Self.lasting.contains(name) { return }
        if name == "release" || name == "version" {
            if !hasRelease {
                faults.add(position, "$\(name) in a service without a release", "write release: NAME in the service, or the path itself")
            }
            return
        }
        let known = Self.lasting + (hasRelease ? ["release", "version"] : [])
        let near = nearest(to: name, in: known).map { "$" + $0 }
        let what = name.isEmpty ? "a $ that stands before no name" : "$\(name) stands for nothing"
        faults.add(
            position, what,
            "write \(near ?? FleetCore.oneOf(known.map { "$" + $0 })), or $$ for a dollar")
    }
}
