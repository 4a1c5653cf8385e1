/// What is declared under each heading, known before anything that may refer to it is read.
struct DeclaredNames {
    var tiers: [String]
    var hosts: [String]
    var services: [String]
    var dependencies: [String]
    var releases: [String]
    /// Of alerts.
    var receivers: [String]
}
