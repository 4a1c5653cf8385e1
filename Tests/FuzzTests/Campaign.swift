import FleetCore
import Glibc
import LinuxHost
import Testing

/// So many changed inputs against one thing, from a corpus in Tests/Fixtures/fuzz.
///
/// For some seconds; in full with FUZZ_INPUTS=1000000. An input that ends the process is found again by its number, which stands in the
/// file named at the start: FUZZ_SEED=SEED FUZZ_FROM=NUMBER FUZZ_INPUTS=1.
final class Campaign {
    let name: String
    let corpus: [[UInt8]]
    private let seed = Campaign.setting("FUZZ_SEED") ?? 20_261_128
    private let first = Campaign.setting("FUZZ_FROM") ?? 0
    private let inputs = Campaign.setting("FUZZ_INPUTS")
    private let began = Clock.boottime()
    private let seconds: Int64
    private(set) var count: UInt64 = 0
    private let marker: Int32

    /// `seconds` counts where no number of inputs is given.
    init(_ name: String, _ corpus: [[UInt8]], seconds: Int64 = 7) throws {
        try #require(!corpus.isEmpty, "no corpus for \(name)")
        self.name = name
        self.corpus = corpus
        self.seconds = seconds
        let path = "/tmp/trading-fuzz-\(name)"
        marker = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        try #require(marker >= 0, "\(path): \(LinuxError.text(errno))")
        print("fuzz \(name): seed \(seed), the input at work is told by \(path)")
    }

    deinit { close(marker) }

    private static func setting(_ name: String) -> UInt64? { getenv(name).flatMap { UInt64(String(cString: $0)) } }

    /// The next input's own source of chance; nil: enough.
    func next() -> Mutator? {
        if let inputs { if count >= inputs { return end() } } else if Clock.boottime() - began >= .seconds(seconds) { return end() }
        let number = first + count
        count += 1
        let text = "\(number)\n"
        pwrite(marker, text, text.utf8.count, 0)
        return Mutator(seed: seed &+ number &* 0xD134_2543_DE82_EF95, corpus: corpus)
    }

    private func end() -> Mutator? {
        let took = max(Clock.boottime() - began, .milliseconds(1))
        print("fuzz \(name): \(count) inputs, \(Int64(count) * 1_000_000_000 / took.nanoseconds) a second")
        return nil
    }
}
