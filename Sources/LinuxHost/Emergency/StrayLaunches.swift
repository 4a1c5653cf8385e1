internal import FleetCore

/// What runs of launches below `RUN/w`, whatever is left of their directories: what an emergency stop without an agent can't find there.
///
/// A shim keeps its launch's directory in its arguments; what it launches inherits the service's slot file, unless it closes it.
enum StrayLaunches {
    struct Found: Equatable {
        /// The processes of such launches by service, without their shims.
        var processes: [String: Set<ProcessIdentity>] = [:]
        /// What holds a slot of a run directory that was unmounted and has no shim: its path no longer tells whose it is.
        var doubtful: [ProcessIdentity] = []
    }

    /// Looks through all processes, as far as this user may; some milliseconds. `run` is as `Files.resolvingParent` gives it.
    static func look(below run: String) throws(LinuxError) -> Found {
        var found = Found()
        for (directory, shim) in try Processes.shims() {
            let parts = directory.split(separator: "/")
            guard parts.count > 3, parts[parts.count - 3] == "w",
                Files.resolvingParent("/" + parts.dropLast(3).joined(separator: "/")) == run
            else { continue }
            let tree = try Processes.livingDescendants(of: shim)
            if !tree.isEmpty { found.processes[String(parts[parts.count - 2]), default: []].formUnion(tree) }
        }
        for (place, identity) in try Processes.every({ place(of: $0, run) }) {
            switch place {
            case .own(let service): found.processes[service, default: []].insert(identity)
            case .detached: found.doubtful.append(identity)
            }
        }
        let known = Set(found.processes.values.joined())
        found.doubtful.removeAll(where: known.contains)
        return found
    }

    private enum Place: Equatable {
        case own(String)
        case detached
    }

    /// Whose slot a process holds; nil: none of these, or it only looks at one.
    private static func place(of pid: Int32, _ run: String) -> Place? {
        var place: Place?
        _ = Processes.holds(pid: pid) { pid, number, target in
            let path = target.hasSuffix(" (deleted)") ? target.dropLast(" (deleted)".count) : target[...]
            let parts = path.split(separator: "/")
            guard parts.count >= 3, parts.last == "slot", parts[parts.count - 3] == "w" else { return false }
            let service = String(parts[parts.count - 2])
            let own = "\(run)/w/\(service)/slot"
            if path == own {
                place = .own(service)
            } else if path == target, own.hasSuffix(path) {
                place = .detached
            }
            // Workers inherit it without close-on-exec; those who only look at its lock open it close-on-exec.
            if place != nil, Processes.closesOnExec(pid: pid, number) { place = nil }
            return place != nil
        }
        return place
    }
}
