/// What a worker's main process left of its tree, and how that ended (law 6: a kill that nobody saw would look like a clean exit).
package struct TreeEnd: Equatable, Sendable {
    /// Processes that still lived when the main one had ended.
    package var left: Int
    /// Of all but the main one, those that SIGKILL ended; nil: they died uncounted with their PID namespace, in an emergency stop.
    package var killed: Int?
    /// Of the killed, those that had not been told to stop.
    package var untold: Int?
    /// The inventory wants it so: `stop: {tree: kill}`.
    package var isDeclared: Bool

    package init(left: Int = 0, killed: Int? = 0, untold: Int? = 0, isDeclared: Bool = false) {
        self.left = left
        self.killed = killed
        self.untold = untold
        self.isDeclared = isDeclared
    }

    /// As many as a host can have: pid_max ends at 2^22 (proc_sys_kernel(5)).
    package static func bounded(_ count: UInt64) -> Int { Int(min(count, 1 << 22)) }

    /// `2 more of its processes killed, 1 of them untold`; empty: none was.
    package var words: String {
        guard let killed else { return "how many more of its processes were killed is not known" }
        guard killed > 0 else { return "" }
        let untold = untold ?? killed
        let how = untold == 0 ? "" : untold == killed ? ", untold" : ", \(untold) of them untold"
        return "\(killed) more of its processes killed\(how)\(isDeclared ? ", as declared" : "")"
    }

    /// `1 child`, `2 children`
    package static func children(_ count: Int) -> String { count == 1 ? "1 child" : "\(count) children" }

    /// For the audit; `init(fields:)` reads them back.
    var fields: [WorkerMachine.Field] {
        var fields = [WorkerMachine.Field("tree_left", left)]
        if let killed { fields.append(WorkerMachine.Field("tree_killed", killed)) }
        if let untold { fields.append(WorkerMachine.Field("tree_untold", untold)) }
        if isDeclared { fields.append(WorkerMachine.Field("tree", StopSpec.Tree.kill.rawValue)) }
        return fields
    }

    /// From a record's fields; nil: of a shim from before protocol 3.
    package init?(field: (String) -> String?) {
        func count(_ key: String) -> Int? { field(key).flatMap { UInt64($0) }.map(Self.bounded) }
        guard let left = count("tree_left") else { return nil }
        self.init(left: left, killed: count("tree_killed"), untold: count("tree_untold"), isDeclared: field("tree") == StopSpec.Tree.kill.rawValue)
    }
}
