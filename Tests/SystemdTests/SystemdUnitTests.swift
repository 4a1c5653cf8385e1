import Foundation
import TestSupport
import Testing

@Suite("unit files", .serialized)
struct SystemdUnitTests {
    private static func text(_ unit: String) throws -> String {
        try String(contentsOfFile: "\(Program.root)/deploy/systemd/\(unit)", encoding: .utf8)
    }

    /// `Key=value` lines, comments left out.
    private static func settings(_ unit: String) throws -> [String] {
        try text(unit).split(separator: "\n").map(String.init).filter { !$0.hasPrefix("#") && !$0.hasPrefix(";") && $0.contains("=") }
    }

    @Test("the agent's unit stops, kills and limits nothing but the agent")
    func agentUnit() throws {
        let settings = try Self.settings("trading-agent.service")
        for needed in [
            "Type=notify", "NotifyAccess=main", "KillMode=process", "SendSIGKILL=no", "OOMPolicy=continue", "Delegate=yes", "Restart=always", "WatchdogSec=30s",
            "TasksMax=infinity", "RuntimeDirectoryPreserve=yes",
        ] {
            #expect(settings.contains(needed), "\(needed)")
        }
        // What a worker would inherit, by the beginning of its name.
        let inherited = [
            "Protect", "Private", "Restrict", "SystemCall", "NoNewPrivileges", "Capability", "Ambient", "ReadOnly", "ReadWrite", "Inaccessible", "Memory",
            "CPUQuota", "CPUAffinity", "CPUScheduling", "Nice", "IOScheduling", "OOMScoreAdjust", "UMask", "User", "Group", "DynamicUser", "RootDirectory",
            "LockPersonality", "NUMA", "TemporaryFileSystem", "Bind", "IPAddress", "LimitCPU", "LimitAS", "LimitRTPRIO",
        ]
        for setting in settings {
            for name in inherited { #expect(!setting.hasPrefix(name), "a worker would inherit \(setting)") }
        }
    }

    @Test("the pipeline's unit does not fall with the agent")
    func pipelineUnit() throws {
        let settings = try Self.settings("trading-pipeline.service")
        for forbidden in ["Requires=", "BindsTo=", "PartOf=", "Requisite="] {
            #expect(!settings.contains { $0.hasPrefix(forbidden) }, "\(forbidden) stops the workers when the agent is stopped")
        }
        #expect(settings.contains("Wants=trading-agent.service"))
        #expect(settings.contains { $0.hasPrefix("After=trading-agent.service ") })
    }

    @Test(
        "systemd-analyze has no complaint about any unit, and little to say against coordinator and relay",
        .enabled(if: SystemdMachine.problem == nil, Comment(rawValue: SystemdMachine.problem ?? "")))
    func analyzed() throws {
        let machine = try SystemdMachine()
        defer { machine.end() }
        try machine.boot()
        let verified = machine.inside(["systemd-analyze", "verify"] + SystemdMachine.units.map { "/etc/systemd/system/\($0)" })
        #expect(verified.status == 0 && verified.text.isEmpty, "\(verified.text)")
        for unit in ["trading-coordinator.service", "trading-relay.service"] {
            // Under such hardening it must also run.
            #expect(machine.property(unit, "ActiveState") == "active", "\(machine.logText)")
            #expect(machine.inside("stat", "-c", "%U", "/proc/\(machine.property(unit, "MainPID"))").text == "trading\n")
            // A score of ten is fully exposed; 2.0 and below is systemd's own "OK".
            let security = machine.inside("systemd-analyze", "security", "--no-pager", "--threshold=20", unit)
            #expect(security.status == 0, "\(security.text)")
        }
        // Nothing else than what was asked for has failed.
        #expect(machine.systemctl("list-units", "--failed", "--no-legend").text.isEmpty, "\(machine.logText)")
    }
}
