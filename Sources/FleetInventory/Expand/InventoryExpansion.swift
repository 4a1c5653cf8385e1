package import FleetCore

/// Shows one worker with every default, `like` and substitution worked in.
package enum InventoryExpansion {
    /// The inventory has no such worker.
    package struct UnknownWorker: Error, Equatable, Sendable, CustomStringConvertible {
        package let worker: WorkerName
        package let fleet: FleetName
        package let known: [WorkerName]

        package var description: String {
            let near = nearest(to: worker.description, in: known.map(\.description))
            let instead = near.map { "write \($0)" } ?? "its workers: \(known.map(\.description).joined(separator: ", "))"
            return "no worker \(worker) in the inventory of \(fleet); \(instead)"
        }
    }

    /// YAML, in the order of the format; `$state` stays, since only an agent knows where that is.
    package static func show(_ inventory: Inventory, _ worker: WorkerName) throws(UnknownWorker) -> String {
        guard let service = inventory.service(worker.service), service.hosts.contains(worker.host),
            let host = inventory.host(worker.host)
        else { throw UnknownWorker(worker: worker, fleet: inventory.fleet, known: inventory.workers) }
        let spec = service.substituted(for: worker.host)
        var yaml = YAMLText()
        yaml.line("# \(worker) of fleet \(inventory.fleet)\(inventory.digest.isEmpty ? "" : ", inventory \(inventory.digest.prefix(12))")")
        yaml.line("\(worker):")
        yaml.indented { yaml in
            write(spec, on: host, inventory, to: &yaml)
            streams(of: service, inventory, to: &yaml)
        }
        return yaml.text
    }

    private static func write(_ spec: ServiceSpec, on host: HostSpec, _ inventory: Inventory, to yaml: inout YAMLText) {
        let duration = SchemaReader.text(of:)
        yaml.pair("tier", spec.tier.raw)
        if !spec.wrapper.isEmpty { yaml.list("wrapper", spec.wrapper) }
        yaml.list("run", spec.run)
        yaml.pair("host", host.name.raw)
        yaml.list("needs", spec.needs.map(\.raw))
        yaml.flow(
            "cpus",
            [
                ("exclusive", spec.cpus.exclusive?.description), ("helpers", spec.cpus.helpers ? host.shared?.description : nil),
                ("node", spec.cpus.node.map { "\($0)" }),
                ("housekeeping", spec.cpus.exclusive == nil && !spec.cpus.helpers ? host.housekeeping?.description : nil),
            ])
        threads(of: spec, on: host, to: &yaml)
        execution(spec.execution, to: &yaml)
        yaml.map("env", spec.env)
        yaml.map("secrets", spec.secrets)
        yaml.pair("workdir", spec.workdir)
        yaml.pair("user", spec.user)
        yaml.pair("group", spec.group)
        switch spec.ready {
        case .notify(let within): yaml.flow("ready", [("notify", duration(within))])
        case .delay(let delay): yaml.flow("ready", [("delay", duration(delay))])
        }
        health(of: spec, to: &yaml)
        yaml.line("stop:")
        yaml.indented { yaml in
            yaml.pair("signal", spec.stop.signal)
            yaml.pair("grace", duration(spec.stop.grace))
            yaml.pair("extend_to", duration(spec.stop.extendTo))
            yaml.pair("then", spec.stop.then.rawValue)
            yaml.pair("tree", spec.stop.tree.rawValue)
            yaml.list("clean_exit", spec.stop.cleanExit.map(\.text))
        }
        action("quiesce", spec.quiesce, to: &yaml)
        action("resume", spec.resume, to: &yaml)
        if !spec.gates.isEmpty {
            yaml.line("gates:")
            yaml.indented { yaml in
                yaml.line("before_stop:")
                yaml.indented { yaml in
                    for gate in spec.gates {
                        yaml.flow(gate.name, [("at", gate.at?.raw)] + parts(gate.probe) + [("wait", duration(gate.wait))])
                    }
                }
            }
        }
        if !spec.counters.isEmpty {
            yaml.line("counters:")
            yaml.indented { yaml in
                for counter in spec.counters {
                    switch counter.how {
                    case .notify(let key): yaml.flow(counter.name, [("notify", key)])
                    case .http(let probe): yaml.flow(counter.name, parts(probe))
                    }
                }
            }
        }
        yaml.flow(
            "restart",
            [
                ("policy", spec.restart.policy.rawValue), ("delay", duration(spec.restart.delay)),
                ("delay_max", duration(spec.restart.delayMax)), ("stable_after", duration(spec.restart.stableAfter)),
                ("limit", "\(spec.restart.limitStarts) starts within \(duration(spec.restart.limitWithin))"),
            ])
        release(spec.release, to: &yaml)
        yaml.list("state_files", spec.stateFiles)
        yaml.list("aliases", spec.aliases)
        logs(of: spec, to: &yaml)
        yaml.pair("after_boot", spec.startAfterBoot ? "start" : "stay-down")
        yaml.pair("emergency_stop", inventory.emergencyKills(spec) ? "killed" : "spared")
        yaml.flow("on_hold", [("page", spec.holdPage), ("note", spec.holdNote)])
    }

    private static func action(_ name: String, _ action: ActionSpec?, to yaml: inout YAMLText) {
        guard let action else { return }
        yaml.line("\(name):")
        yaml.indented { yaml in
            switch action.how {
            case .signal(let signal): yaml.pair("signal", signal)
            case .http(let method, let url): yaml.pair("http", "\(method) \(url)")
            case .exec(let argv): yaml.list("exec", argv)
            }
            switch action.done {
            case .notify(let text): yaml.flow("done", [("notify", text)])
            case .http(let probe): yaml.flow("done", parts(probe))
            case nil: break
            }
            yaml.pair("within", SchemaReader.text(of: action.within))
        }
    }

    static func parts(_ probe: HTTPProbeSpec) -> [(String, String?)] {
        [
            ("http", probe.url), ("pointer", probe.pointer), ("is", probe.equals.isEmpty ? nil : probe.equals),
            ("max_age", SchemaReader.text(of: probe.maxAge)),
        ]
    }

    private static func streams(of service: ServiceSpec, _ inventory: Inventory, to yaml: inout YAMLText) {
        let mine = inventory.streams.filter { stream in
            stream.from.contains(service.name) || stream.to.contains { $0.service == service.name }
        }
        guard !mine.isEmpty else { return }
        yaml.line("streams:")
        yaml.indented { yaml in
            for stream in mine {
                yaml.line("\(stream.name):")
                yaml.indented { yaml in
                    if stream.from.contains(service.name) {
                        yaml.pair("produced", stream.produced.map { "counters.\($0)" } ?? "unknown: proven from the buffer on")
                        yaml.list("to", stream.to.map(\.service.raw))
                    }
                    if case .redis(let host, let address, let key) = stream.via { yaml.pair("via", "redis \(host)/\(key) at \(address)") }
                    for consumer in stream.to where consumer.service == service.name {
                        yaml.list("from", stream.from.map(\.raw))
                        yaml.pair("group", consumer.group)
                        yaml.pair("on_stop", consumer.policy.rawValue)
                        switch consumer.applied {
                        case .counter(let name): yaml.pair("applied", "counters.\(name)")
                        case .sqlite(let path, let table, let column):
                            yaml.flow("applied", [("sqlite", path), ("table", table), ("column", column)])
                        case .questdb(let url, let table, let column):
                            yaml.flow("applied", [("questdb", table), ("column", column), ("at", url)])
                        case nil: yaml.pair("applied", "unknown: proves only acknowledged")
                        }
                    }
                }
            }
        }
    }
}
