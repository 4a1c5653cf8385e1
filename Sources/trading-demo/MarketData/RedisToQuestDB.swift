import ArgumentParser
import FleetProbes
import Glibc

/// The consumer: stores the stream's entries in a sink and acknowledges what is stored.
struct RedisToQuestDB: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "redis-to-questdb",
        abstract: "Store a Redis stream in QuestDB, or in an SQLite file; acknowledge only what is stored.")

    @OptionGroup var redis: RedisOptions
    @OptionGroup var reading: GroupOptions

    @Option(help: "The consumer group.")
    var group = "recorder"

    @Option(help: "This consumer's name; the same after a restart, so that it finds what it left unacknowledged.")
    var consumer = "recorder-1"

    @Option(help: "At most one commit per this many milliseconds.")
    var linger = 50

    @Option(help: "The SQLite file (made when missing; table ticks, key id).")
    var sqlite: String?

    @Option(help: "QuestDB's HTTP address, http://IP:9000.")
    var questdb: String?

    @Option(help: "The table in QuestDB.")
    var table = "ticks"

    func validate() throws {
        guard (sqlite == nil) != (questdb == nil) else {
            throw ValidationError("say where to store: --sqlite PATH or --questdb URL")
        }
        guard (0...10_000).contains(linger) else { throw ValidationError("--linger must be 0 to 10000 milliseconds") }
        let good =
            !table.isEmpty
            && table.utf8.allSatisfy {
                (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0) || $0 == 95
            }
        guard good else { throw ValidationError("--table: letters, digits and _ only") }
    }

    func run() throws {
        let inbox = try SignalInbox([SIGTERM, SIGINT])
        let endpoint = try redis.endpoint
        let worker = RecorderWorker(
            inbox: inbox, linger: .milliseconds(linger),
            connect: { () throws(ProbeError) in
                try GroupReader(endpoint, stream: redis.stream, group: group, consumer: consumer, options: reading)
            },
            openSink: { () throws(SinkError) in
                if let sqlite {
                    try SQLiteSink(path: sqlite)
                } else {
                    try QuestDBSink(url: questdb ?? "", table: table)
                }
            })
        try worker.run().leave()
    }
}
