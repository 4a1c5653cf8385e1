import FleetCore
package import FleetWire

/// Asks a dependency whether it answers. Connecting is all it does to it.
package enum DependencyProbe {
    /// Never throws: what doesn't answer is reported as not answering, with the reason as text.
    package static func check(_ spec: WireDependencySpec, timeout: Duration) -> WireDependencyReport {
        var report = WireDependencyReport()
        report.name = spec.name
        let deadline = Deadline(in: timeout)
        do throws(ProbeError) {
            switch spec.probe {
            case .redis(let address)?: try checkRedis(address, into: &report, by: deadline)
            case .questdb(let url)?:
                let rows = try QuestDBProbe.query(url, "SELECT build()", by: deadline)
                report.text = rows.first?.first?.stringValue ?? "answers"
            case .tcp(let address)?:
                _ = try StreamSocket(connectingTo: try Endpoint(address), by: deadline)
                report.text = "accepts connections"
            case nil: throw ProbeError("check", spec.name, .malformed("its declaration names no probe"))
            }
            report.answering = true
        } catch {
            report.text = "\(error)"
        }
        report.atBoottimeNs = Deadline.now
        return report
    }

    private static func checkRedis(_ address: String, into report: inout WireDependencyReport, by deadline: Deadline)
        throws(ProbeError)
    {
        let endpoint = try Endpoint(address, defaultPort: 6379)
        let connection = try RedisConnection(endpoint, by: deadline)
        let answer = try connection.demand(["INFO", "server"], by: deadline)
        guard let text = answer.text else {
            throw ProbeError("understand", "Redis at \(endpoint)", .malformed("INFO is no text"))
        }
        let info = RedisInfo(text)
        let uptime = info["uptime_in_seconds"].flatMap { Int64($0) } ?? 0
        report.text = "Redis \(info["redis_version"] ?? "of unknown version"), up \(Duration.seconds(uptime).words)"
        // A PID that another host or namespace reports means nothing here.
        if endpoint.isLoopback, let pid = info["process_id"].flatMap({ Int32($0) }),
            let process = LocalProcess(pid: pid),
            process.name.hasPrefix("redis") || process.name.hasPrefix("valkey")
        {
            report.pid = pid
            report.cpus = process.cpus
        }
    }
}
