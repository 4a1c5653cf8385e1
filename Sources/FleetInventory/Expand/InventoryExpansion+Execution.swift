import FleetCore

/// How a worker is set up, watched and looked at after its end, in the order of the format.
extension InventoryExpansion {
    static func threads(of spec: ServiceSpec, on host: HostSpec, to yaml: inout YAMLText) {
        let threads = spec.cpus.threads.mapValues { placement in
            switch placement {
            case .cpus(let cpus): cpus.description
            case .helpers: host.shared?.description ?? "helpers"
            }
        }
        yaml.map("threads", threads)
    }

    static func execution(_ spec: ExecutionSpec, to yaml: inout YAMLText) {
        switch spec.scheduler {
        case .other?: yaml.pair("scheduler", "other")
        case .batch?: yaml.pair("scheduler", "batch")
        case .idle?: yaml.pair("scheduler", "idle")
        case .fifo(let priority)?: yaml.flow("scheduler", [("fifo", "\(priority)")])
        case .roundRobin(let priority)?: yaml.flow("scheduler", [("rr", "\(priority)")])
        case nil: break
        }
        yaml.pair("nice", spec.nice.map { "\($0)" })
        yaml.pair("oom_score_adj", spec.oomScoreAdjustment.map { "\($0)" })
        yaml.pair("umask", spec.umask.map { umask($0) })
        yaml.flow("limits", spec.limits.sorted { $0.key < $1.key }.map { ($0.key, ExecutionDecoder.text(ofLimit: $0.key, $0.value)) })
        yaml.list("capabilities", spec.capabilities)
        func nodes(_ nodes: [Int]) -> String { CPUList(nodes).description }
        switch spec.memory {
        case .bind(let list)?: yaml.flow("memory", [("bind", nodes(list))])
        case .preferred(let node)?: yaml.flow("memory", [("preferred", "\(node)")])
        case .interleave(let list)?: yaml.flow("memory", [("interleave", nodes(list))])
        case .local?: yaml.pair("memory", "local")
        case nil: break
        }
        yaml.pair("cgroup", spec.cgroup.rawValue)
        yaml.pair("run_sha256", spec.digest)
        yaml.list("writable", spec.writable)
        yaml.map("free", spec.freeSpace.mapValues { SchemaReader.text(ofBytes: $0) })
    }

    private static func umask(_ value: UInt32) -> String {
        let digits = String(value, radix: 8)
        return String(repeating: "0", count: Swift.max(0, 4 - digits.count)) + digits
    }

    static func health(of spec: ServiceSpec, to yaml: inout YAMLText) {
        let duration = SchemaReader.text(of:)
        yaml.pair("watchdog", spec.watchdog.map { duration($0) })
        if spec.health.isEmpty { return }
        yaml.line("health:")
        yaml.indented { yaml in
            for health in spec.health {
                switch health.how {
                case .http(let probe):
                    let wanted = probe.equals.isEmpty ? [("is", "any 2xx")] : [("pointer", probe.pointer), ("is", probe.equals)]
                    yaml.flow("http", [("url", probe.url)] + wanted)
                case .exec(let argv): yaml.list("exec", argv)
                case .tcp(let address): yaml.pair("tcp", address)
                }
            }
            // One rhythm for all of them.
            guard let first = spec.health.first else { return }
            yaml.pair("every", duration(first.every))
            yaml.pair("timeout", duration(first.timeout))
            yaml.pair("failures", "\(first.failures)")
            yaml.pair("successes", "\(first.successes)")
        }
    }

    static func release(_ spec: ReleaseSpec, to yaml: inout YAMLText) {
        yaml.pair("sockets", spec.sockets.rawValue)
        if !spec.hugepages.isEmpty || spec.hugepageMount != nil {
            yaml.line("hugepages:")
            yaml.indented { yaml in
                for node in Set(spec.hugepages.map(\.node)).sorted() {
                    yaml.flow(
                        "node\(node)", spec.hugepages.filter { $0.node == node }.map { (SchemaReader.text(ofBytes: $0.pageBytes), "\($0.count)") })
                }
                yaml.pair("mount", spec.hugepageMount)
                yaml.list("keeps", spec.hugepageKeeps)
            }
        }
        yaml.list("lock_files", spec.lockFiles)
        yaml.pair("pid_file", spec.pidFile)
        yaml.flow("marker", [spec.markerFile.map { ("file", $0) } ?? ("notify", "STOPPING=1")])
        yaml.flow("core", [("on_stop", spec.coreDump.rawValue)])
    }

    static func logs(of spec: ServiceSpec, to yaml: inout YAMLText) {
        func parts(_ log: LogRetentionSpec) -> [(String, String?)] {
            [("keep", log.keep.map { SchemaReader.text(of: $0) }), ("max", log.maxBytes.map { SchemaReader.text(ofBytes: $0) })]
        }
        let none = LogRetentionSpec()
        if spec.standardOutput == none, spec.standardError == none, spec.logFiles.isEmpty { return }
        yaml.line("logs:")
        yaml.indented { yaml in
            yaml.flow("stdout", parts(spec.standardOutput))
            yaml.flow("stderr", parts(spec.standardError))
            yaml.list("files", spec.logFiles)
        }
    }
}
