import ArgumentParser

/// How a consumer reads its group.
struct GroupOptions: ParsableArguments {
    @Option(help: "Entries read at a time.")
    var batch = 500

    @Option(help: "How long one read waits for entries, in milliseconds.")
    var block = 100

    func validate() throws {
        guard (1...10_000).contains(batch) else { throw ValidationError("--batch must be 1 to 10000") }
        guard (1...5_000).contains(block) else {
            throw ValidationError("--block must be 1 to 5000 milliseconds: a stop waits for it")
        }
    }
}
