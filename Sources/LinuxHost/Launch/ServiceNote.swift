/// What a local emergency stop must know of a service without asking the agent: the file `RUN/w/SERVICE/spec`.
package struct ServiceNote: Equatable, Sendable {
    package var tier: String
    /// An emergency stop without a scope kills it.
    package var emergencyKilled: Bool

    package init(tier: String, emergencyKilled: Bool) {
        self.tier = tier
        self.emergencyKilled = emergencyKilled
    }

    /// The agent's, before the first launch and whenever the inventory changes.
    package func write(runDirectory: String, service: String) throws(LinuxError) {
        let directory = "\(LaunchDirectory.services(runDirectory))/\(service)"
        try Files.makeDirectory(directory, mode: 0o750)
        let text = "tier=\(tier)\nemergency=\(emergencyKilled ? "killed" : "spared")\n"
        try Files.writeAtomically("\(directory)/spec", Array(text.utf8), mode: 0o640, sync: false)
    }

    /// nil: none was written, or it can't be understood.
    package static func read(runDirectory: String, service: String) throws(LinuxError) -> ServiceNote? {
        let path = "\(LaunchDirectory.services(runDirectory))/\(service)/spec"
        guard let bytes = try Files.readIfPresent(path, limit: 4_096) else { return nil }
        let text = KeyedText(bytes)
        guard let tier = text["tier"], let emergency = text["emergency"], ["killed", "spared"].contains(emergency) else { return nil }
        return ServiceNote(tier: tier, emergencyKilled: emergency == "killed")
    }
}
