/// What is declared under each heading, known before anything that may refer to it is read.
struct DeclaredNames {
    var tiers: NameList
    var hosts: NameList
    var services: NameList
    var dependencies: NameList
    var releases: NameList
    /// Of alerts.
    var receivers: NameList
}
