import ArgumentParser

/// The benchmarks, one subcommand each.
///
/// All print lines `bench=NAME metric=NAME unit=U value=V` and a table.
@main
struct TradingBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trading-bench", abstract: "Measures the orchestrator.",
        subcommands: [
            WireBench.self, EstopBench.self, AgentBench.self, PerturbationBench.self, InventoryBench.self, WireBenchServer.self, WireBenchAgents.self,
        ])
}
