import Foundation
import TestSupport
import Testing

/// What is typed, rightly and wrongly.
@Suite(.serialized) struct CommandLineTests {
    @Test("the help of an emergency stop shows its options, and what is required is shown as required")
    func help() throws {
        for arguments in [["emergency-stop", "--help"], ["help", "emergency-stop"]] {
            let help = try Program.run(TestFleet.bin + "/trading", arguments)
            #expect(help.status == 0)
            for option in ["--reason <", "--yes", "--everything", "--tier <", "--host <", "--service <", "release"] {
                #expect(help.text.contains(option), "\(arguments): \(option) is not shown: \(help.text)")
            }
        }
        for command in [["emergency-stop"], ["emergency-stop", "release"], ["stop"], ["quiesce"], ["lock"], ["coordinator", "succeed"]] {
            let help = try Program.run(TestFleet.bin + "/trading", command + ["--help"])
            let usage = help.text.split(separator: "\n").first { $0.hasPrefix("USAGE") } ?? ""
            #expect(usage.contains(" --reason ") && !usage.contains("[--reason"), "\(command): \(usage)")
        }
    }

    @Test(
        "words of other tools and slips of the hand are answered with what is meant, and do nothing",
        arguments: [
            ("ps", "trading status"), ("list", "trading status"), ("drain", "trading lock"), ("failover", "not in this version"), ("history", "trading runs"),
            ("kill", "trading emergency-stop"), ("reload", "trading-coordinator"), ("emergncy-stop", "Did you mean emergency-stop?"),
            ("stpo", "Did you mean stop?"), ("statuses", "Did you mean status?"),
        ])
    func habits(word: String, meant: String) throws {
        for more in [[], ["--all", "--reason", "x"]] {
            let answer = try Program.run(TestFleet.bin + "/trading", [word] + more)
            #expect(answer.status == 2 && answer.text.contains("no command \(word)") && answer.text.contains(meant), "\(answer.text)")
        }
    }

    @Test("the options that every command has are taken before it and after it, with relative paths")
    func globalOptions() throws {
        let fleet = try TestFleet.ofTwo()
        defer { fleet.end() }
        try fleet.beginWithoutRelay()
        for command in [
            "--config client.conf status", "status --config client.conf", "--config client.conf --via ctl-1 runs", "runs --config client.conf --via ctl-1",
            "inventory check fleet.yaml --config client.conf", "--config client.conf inventory show strategy@st-1 --inventory fleet.yaml",
            "explain hold --config client.conf",
            "certs issue agent md-9 --dir pki --config client.conf", "--config client.conf certs revoke agent/md-9 --dir pki",
        ] {
            let output = try Program.run("/bin/sh", ["-c", "cd \(fleet.directory) && exec \(TestFleet.bin)/trading \(command)"])
            #expect([0, 3].contains(output.status), "\(command): \(output.text)")
        }
    }

    @Test("every word is explained once: a second text of the same word would be shown to nobody")
    func explanations() throws {
        let words = try Program.run(TestFleet.bin + "/trading", ["explain"]).text.split(separator: "\n")
        #expect(words.count > 50 && Set(words).count == words.count, "\(words)")
    }

    @Test("an emergency stop in words that it doesn't take is guessed at in nothing; a run directory that isn't there is no success and is not made")
    func emergencySlips() throws {
        let directory = "/tmp/tc-\(UUID().uuidString.prefix(8).lowercased())"
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let config = directory + "/c.conf"
        try "fleet = demo\nrun_dir = \(directory)/run/nope\nstate_dir = \(directory)/state/nope\n".write(toFile: config, atomically: true, encoding: .utf8)
        func trading(_ arguments: String...) throws -> Program.Output { try Program.run(TestFleet.bin + "/trading", ["--config", config] + arguments) }
        for (words, hint) in [(["--all"], "--everything"), (["order-gateway"], "--service order-gateway"), (["relase"], "release")] {
            let slip = try Program.run(TestFleet.bin + "/trading", ["--config", config, "emergency-stop"] + words + ["--reason", "x", "--yes"])
            #expect(slip.status == 2 && slip.text.contains(hint) && slip.text.contains("Nothing was sent"), "\(slip.text)")
        }
        let nowhere = try trading("--local", "emergency-stop", "--everything", "--yes", "--reason", "x")
        #expect(nowhere.status == 4 && flat(nowhere.text).contains("is run_dir right?") && nowhere.text.contains("NOT KEPT"), "\(nowhere.text)")
        #expect(!FileManager.default.fileExists(atPath: directory + "/run") && !FileManager.default.fileExists(atPath: directory + "/state"))
        // Somebody's private key, named by mistake, is printed nowhere.
        let key = directory + "/secret.key"
        try "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----\n".write(toFile: key, atomically: true, encoding: .utf8)
        let wrong = try Program.run(TestFleet.bin + "/trading", ["--config", key, "status"])
        #expect(wrong.status == 2 && !wrong.text.contains("MIGHAgEA"), "\(wrong.text)")
    }

    @Test("curl verifies a coordinator's name by its certificate, as browsers and Prometheus do")
    func standardClient() throws {
        let fleet = try TestFleet.ofTwo()
        defer { fleet.end() }
        try fleet.beginWithoutRelay()
        let pki = fleet.directory + "/pki"
        let identity = ["--cacert", "\(pki)/ca.pem", "--cert", "\(pki)/operator-alice.pem", "--key", "\(pki)/operator-alice.key"]
        let answer = try Program.run("/usr/bin/curl", ["-sS"] + identity + ["https://127.0.0.1:\(fleet.ports.api)/api/v1/status"])
        #expect(answer.status == 0 && answer.text.contains("\"fleet\":\"demo\""), "\(answer.text)")
        // Of another name it is not: 60, as curl says of a certificate that is not the peer's.
        let other = try Program.run(
            "/usr/bin/curl",
            ["-sS"] + identity + ["--resolve", "other.example:\(fleet.ports.api):127.0.0.1", "https://other.example:\(fleet.ports.api)/api/v1/status"])
        #expect(other.status == 60, "\(other.text)")
    }

    @Test("a relay that shows a coordinator's certificate goes on, with a warning, as a relay only")
    func relayOfBefore() throws {
        let fleet = try TestFleet.ofTwo()
        defer { fleet.end() }
        // As a version before relays' certificates issued it.
        let refused = try Program.run(
            TestFleet.bin + "/trading", ["certs", "issue", "coordinator", "ctl-2", "--dir", fleet.directory + "/pki", "--inventory", fleet.inventory])
        #expect(refused.status == 2 && refused.text.contains("trading certs issue relay ctl-2"), "\(refused.text)")
        try fleet.issue("coordinator", "ctl-2", "--san", "127.0.0.1")
        try fleet.startRelay(as: "coordinator-ctl-2")
        try fleet.beginWithoutRelay()
        #expect(try fleet.trading("start", "--all", "--reason", "test").status == 0, "\(fleet.logs)")
        #expect(eventually(within: 10) { fleet.agents.values.allSatisfy { $0.log.contains("trading certs issue relay ctl-2") } }, "\(fleet.logs)")
        #expect(try eventually(within: 20) { try fleet.trading("--via", "ctl-2", "status").text.contains("hosts 2 of 2") }, "\(fleet.logs)")
        // Paths are judged as the router reads them.
        let identity = [
            "--cacert", "\(fleet.directory)/pki/ca.pem", "--cert", "\(fleet.directory)/pki/operator-alice.pem", "--key",
            "\(fleet.directory)/pki/operator-alice.key",
        ]
        for path in ["/api/v1/audit", "/api/v1/audit/", "//api//v1/audit", "/api/v1/logs/"] {
            let answer = try Program.run("/usr/bin/curl", ["-sS", "--path-as-is"] + identity + ["https://127.0.0.1:\(fleet.ports.relayAPI)\(path)"])
            #expect(answer.text.contains("not-here"), "\(path): \(answer.text)")
        }
        let start = try fleet.trading("--via", "ctl-2", "stop", "--all", "--reason", "test")
        #expect(start.status == 3 && start.text.contains("not-here"), "\(start.text)")
        let stop = try fleet.trading("--via", "ctl-2", "emergency-stop", "--yes", "--reason", "test")
        #expect(stop.status == 0 && stop.text.contains("GONE 2 of 2"), "\(stop.text)")
    }

    @Test("a host where a person has released an emergency stop that the fleet still holds is named")
    func disagreement() throws {
        let fleet = try TestFleet.startedOfTwo()
        defer { fleet.end() }
        let stop = try fleet.trading("emergency-stop", "--yes", "--service", "strategy", "--reason", "set")
        #expect(stop.status == 0, "\(stop.text)")
        #expect(try fleet.local("st-1", "emergency-stop", "release", "--reason", "not yours").status == 3)
        fleet.coordinator?.killNow()
        #expect(try eventually(within: 20) { try fleet.local("st-1", "emergency-stop", "release", "--reason", "nobody is there").status == 0 }, "\(fleet.logs)")
        try fleet.startCoordinator()
        #expect(
            try eventually(within: 40) {
                try fleet.trading("status").text.split(whereSeparator: \.isWhitespace).joined(separator: " ").contains(
                    "NOT in force on st-1: released or forgotten there")
            }, "\(fleet.logs)")
    }
}
