/// What `trading help TOPIC` says beyond a command's own help.
enum HelpTopics {
    /// A command with commands below it and options of its own answers `release --help` with its own help: asked the other way
    /// round, the one that is meant comes.
    static func asked(_ arguments: [String]) -> [String] {
        guard arguments.starts(with: ["emergency-stop", "release"]), arguments.contains(where: { ["-h", "--help"].contains($0) }) else { return arguments }
        return ["help", "emergency-stop", "release"]
    }

    static func lines(_ topic: String) -> [String] {
        switch topic {
        case "status":
            [
                "trading status                 the fleet on one page; what needs a person stands first",
                "trading status HOST            the host's facts, drift and workers",
                "trading status SERVICE[@HOST]  threads, sockets, open files, the last 10 records, lock, note, health",
                "",
                "Marks     ✓ as wanted   - stopped   ~ on its way, or quiesced   ! needs a person   ? unknown, with what it was",
                "NOTE      LATCHED, LOCKED, health, what happens to it, a person's note, in flight, its own words",
                "          ENDED BY ITSELF: the last order was to run it.  RUNS, was stopped: the last order was to stop it",
                "          IN DOUBT: a shim was lost without a cgroup; what may be left is not known until the host boots",
                "          RUN DIRECTORY REMOVED: its shim can't be reached; how it ends will not be known",
                "BALANCE   exact, flowing; not counted: its ends declare no counters; SHORT n: trimmed before it was read; UNKNOWN",
                "CERT      days of the certificate or the revocation list, what ends first; PAST",
                "A host with TWO INSTANCES is unknown until one has ended (trading explain host-contested). What stands under NEEDS A",
                "PERSON without a ! waits for nobody and is no reason for exit 3.",
                "LAYOUT    ok, DRIFT n (trading layout verify), RESTRICTED: a certificate's dates; UNKNOWN: the host is silent",
                "CLOCK     source and offset; NOT SYNCED; ? where nothing is known",
            ]
        case "locks":
            [
                "trading lock SERVICE[@HOST] … --reason TEXT    no verb but an emergency stop acts on it; it is not restarted",
                "trading unlock SERVICE[@HOST] … --reason TEXT  takes the lock off; nothing starts by itself. Receivers of alerts that",
                "                                               take `unlocked` are told, and one named after whoever locked it",
                "trading note SERVICE[@HOST] … --reason TEXT    for everybody to read; forbids nothing.  --clear takes it away",
                "",
                "start, quiesce and resume --all go past locked workers and say so. What names a locked worker is refused, and so",
                "is a stop that would have to stop one: leave it out by name (--except SERVICE[@HOST]), or unlock it.",
                "On a host without its coordinator: trading --local lock …",
                "systemctl stop trading-pipeline stops what the order permits and leaves a locked worker, and the tiers behind it,",
                "running. When the machine itself goes down, locked workers are stopped in order like the others, on record, and",
                "stay locked: after the boot nobody starts them by mistake.",
            ]
        default:
            [
                "trading layout show    sockets, nodes, CPUs, hugepages, interrupts of NICs, and who runs where",
                "trading layout plan    what an apply would change, whom it would touch, and what can't be had and why",
                "trading layout apply   reserves pages and places interrupts; reads back what was granted. Needs --reason",
                "trading layout verify  what is unlike the declaration now",
                "",
                "--host H (repeatable) narrows each. A live worker is touched only when named: --override SERVICE[@HOST].",
                "Exit 0 as declared, 3 drift, problems or something refused, 4 a host is unknown.",
            ]
        }
    }
}
