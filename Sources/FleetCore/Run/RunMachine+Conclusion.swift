/// What the verdict of a run rests on beside its own answers.
extension RunMachine {
    /// The hosts whose word the verdict rests on: of workers that are covered or looked at, and where the plan's streams are measured.
    package var witnesses: Set<HostName> { Set((plan.covered + plan.otherEnds).map(\.host)).union(readsStreams) }

    /// What is seen of the fleet once the run has ended, as far as its verdict speaks of it.
    package mutating func conclude(
        unseen: [String], contested: [HostName: String], settled: [HostName: String] = [:], moved: Set<HostName> = [],
        ranUnder: [WorkerName: String] = [:]
    ) {
        evidence.unseen = unseen
        evidence.ranUnder = ranUnder
        let witnesses = witnesses
        evidence.settledHosts = settled.filter { plan.isOfEverything || witnesses.contains($0.key) || moved.contains($0.key) }
        evidence.contested.merge(contested.filter { witnesses.contains($0.key) }) { during, _ in during }
    }
}
