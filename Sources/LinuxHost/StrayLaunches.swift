internal import FleetCore
internal import Glibc

/// Launches below `RUN/w` whose directories are gone while something of them runs.
///
/// A shim works in its launch's directory, and what it launches inherits the service's slot file, unless it closes it.
enum StrayLaunches {
    struct Found: Equatable {
        /// The processes of such launches by service, without their shims.
        var processes: [String: Set<ProcessIdentity>] = [:]
        /// What holds a slot, or is a shim, of a run directory that was unmounted: its path no longer tells whose. It may be another agent's.
        var doubtful: [ProcessIdentity] = []
    }

    /// Looks through all processes, as far as this user may; some milliseconds. `services`: `RUN/w`.
    static func look(below services: String) throws(LinuxError) -> Found {
        var found = Found()
        for name in try Files.list("/proc") {
            guard let pid = Int32(name), pid != getpid(), let place = place(of: pid, services) else { continue }
            let identity: ProcessIdentity
            // It ended meanwhile, or its number is another's: both times it must have been the same one.
            do { identity = try ProcessIdentity.read(pid: pid) } catch  where error.errno == ESRCH { continue }
            guard self.place(of: pid, services) == place else { continue }
            switch place {
            case .removed(let service, isShim: false): found.processes[service, default: []].insert(identity)
            case .removed(let service, isShim: true):
                let tree = try Processes.livingDescendants(of: identity)
                if !tree.isEmpty { found.processes[service, default: []].formUnion(tree) }
            case .detached: found.doubtful.append(identity)
            }
        }
        return found
    }

    private enum Place: Equatable {
        case removed(String, isShim: Bool)
        case detached
    }

    private static func place(of pid: Int32, _ services: String) -> Place? {
        var place: Place?
        func look(_ target: String, isShim: Bool) -> Bool {
            let deleted = " (deleted)"
            let isDeleted = target.hasSuffix(deleted)
            let parts = (isDeleted ? target.dropLast(deleted.count) : target[...]).split(separator: "/")
            // RUN/w/SERVICE/slot, RUN/w/SERVICE/LAUNCH
            guard parts.count >= 3, target.hasPrefix("/"), isShim || parts.last == "slot" else { return false }
            let own = services + "/" + parts.suffix(2).joined(separator: "/")
            let path = "/" + parts.joined(separator: "/")
            if isDeleted, path == own {
                place = .removed(String(parts[parts.count - 2]), isShim: isShim)
            } else if path != own, own.hasSuffix(path) {
                place = .detached
            }
            return place != nil
        }
        if Processes.holds(pid: pid, { _, _, target in look(target, isShim: false) }) { return place }
        if isShim(pid), let directory = Processes.link("/proc/\(pid)/cwd") { _ = look(directory, isShim: true) }
        return place
    }

    private static func isShim(_ pid: Int32) -> Bool {
        do { return String(decoding: try Files.read("/proc/\(pid)/comm", limit: 64), as: UTF8.self) == "trading-shim\n" } catch { return false }
    }
}
