/// A paragraph for every slug that an operator or a log may show.
///
/// The agent's, coordinator's and wire's words are all here.
enum Explanations {
    static func text(_ slug: String) -> String? {
        if let found = all.first(where: { $0.slug == slug }) { return found.text }
        // The verbs' own: quiesce-failed, resume-late, no-resume.
        if slug.hasSuffix("-failed") {
            return
                "\(slug.dropLast(7)) was ordered and the worker, or the call to it, answered with a failure. Nothing is known to have changed; the run's line and the worker's log say what it answered. Retry, or stop the worker."
        }
        if slug.hasSuffix("-late") {
            return
                "\(slug.dropLast(5)) was ordered and the worker has not shown in time that it did it. It may still do it. Look at its status and its log; a gate or a person decides, for it is never sent twice."
        }
        if slug == "no-quiesce" || slug == "no-resume" {
            return "The inventory declares no \(slug.dropFirst(3)) for this service, so there is nothing to send it. Stop it instead, or declare one."
        }
        return nil
    }

    static let all: [(slug: String, text: String)] = [
        // Runs, plans, blocks.
        (
            "host-unknown",
            "A host in scope does not report, so what runs there is unknown, and unknown is never taken for stopped. A stop refuses to begin, or waits before the next tier. It goes on when the host answers. On the host itself: trading --local status. If it is off: trading runs attest ID --host H --powered-off, or begin with --exclude-host H; the verdict is then at most unproven."
        ),
        (
            "open-orders",
            "A gate wants zero open orders and the gateway, asked a moment ago, has some. Nothing has been stopped. It goes on by itself at zero. Give up with trading runs abort ID, which resumes what was quiesced; go on without the gate with trading runs override ID --gate open-orders --reason, and the verdict is then at most unproven."
        ),
        (
            "gate",
            "A condition that must hold before the next step does not hold, or can't be read. A gate never passes by waiting, only by holding. Abort the run, or override the gate by name with a reason; the verdict is then at most unproven."
        ),
        (
            "not-drained",
            "A stream that is to be drained still holds entries, or how many is unknown; unknown is not zero. It goes on when lag and pending read zero after the producer is gone. Override it with trading runs override ID --stream NAME --reason; the verdict is then at most unproven."
        ),
        (
            "not-gone",
            "A worker was called stopped, yet something of its process tree is still there, or can't be shown gone. The next tier does not begin. Look at trading status and at the host; it goes on once the tree is empty."
        ),
        (
            "hold",
            "A worker outlived its grace and its declaration says hold: it is not killed, a person decides. trading hold wait gives it time; trading hold release --kill kills it, and its orders at a venue may stay live."
        ),
        (
            "hold-released",
            "Somebody ended the hold and left the worker running. The stop that waited for it can't prove it stopped: abort the run, or stop the worker again."
        ),
        (
            "not-recorded",
            "A lock, its end or a note holds in the agent's memory and could not be written to its journal: it would be gone when the agent starts again. Make room for the agent's state directory (trading status HOST names it), then order the same again: it is recorded then, though it changes nothing."
        ),
        (
            "host-contested",
            "Two instances of one host's agent live: a cloned host, or a key that was copied. What either of them runs is not known of the other, so nothing is started or proven there; an emergency stop goes to both. End one of them. If nothing ran there that settles it; else look there, then trading hosts settle HOST --reason. A copied key is revoked: trading certs revoke agent/HOST."
        ),
        (
            "open",
            "A line of a stop's ledger whose other end runs on, or is not shown stopped: nothing is proven of that stream. Stop both ends to settle it; a later stop counts from the same baseline."
        ),
        (
            "plan-unsound",
            "The plan that this coordinator made breaks one of its own rules and was not begun. A fault of the program: report it. Order tier by tier meanwhile."
        ),
        ("not-held", "The worker is not held, so there is nothing to decide. trading status shows its state."),
        (
            "plan-stale",
            "The fleet is no longer as it was when this plan was made: a worker, a launch, a latch or the inventory changed. Nothing was done. Look at the new plan with --dry-run and order that."
        ),
        (
            "no-part",
            "The host's agent has not been told what runs there, or goes by another inventory than the coordinator, so the order would do nothing or the wrong thing. Nothing was done. An agent takes its part within a second of its session; if it refuses it, its log says why. Order again, or leave the host out with --exclude-host."
        ),
        ("run-active", "Another run is under way, and two runs never act on a fleet at once. Wait for it, follow it with trading runs watch ID, or abort it."),
        ("run-ended", "The run is over; nothing can be changed about it. trading runs ID shows how it ended."),
        ("unknown-run", "There is no run of that number here. trading runs lists them."),
        ("nothing-to-do", "Nothing in scope can be ordered to do that: it declares no such action, or is in that state already."),
        (
            "busy",
            "The worker's operation slot is taken, or the agent has too much work waiting. The line names the operation and who ordered it. Wait for it, or stop the worker: a stop supersedes a start."
        ),
        (
            "stale",
            "The order was made for an earlier state of the worker; somebody changed it since. Nothing was done. Look at trading status and order again."
        ),
        ("superseded", "A later order took this one's place on the worker, a stop over a start. The line names who ordered it."),
        (
            "expired",
            "The order reached the agent after its deadline, by the agent's own clock, and was not carried out. A run offers again what it still wants."
        ),
        (
            "host-off",
            "A person attested that the host has no power, so nothing can be started there. When it is back and reports, order again; leave it out with --exclude-host."
        ),
        ("host-answers", "A person attested that the host has no power, and it has a session with the coordinator. Nothing was changed."),
        // Workers.
        (
            "latched",
            "An emergency stop is in force and covers this worker: nothing in its scope is launched or restarted by anybody. Release it by name, with a reason: trading emergency-stop release. Nothing starts by itself then."
        ),
        ("not-latched", "No emergency stop of that id is in force on this host. trading --local status shows those that are."),
        ("no-latch", "No emergency stop of that id is in force here. trading status shows those that are."),
        ("latch-released", "That emergency stop was released. A released latch is never honoured again, on any side: order a new one."),
        (
            "launch-failed",
            "The worker could not be launched: the program is missing or may not be run, a limit or a user is not as declared, or it ended before it ran. The line has the system's own words. Nothing of it runs."
        ),
        (
            "launch-unresolved",
            "The shim was asked to launch the worker and has not said whether it runs. It is neither called running nor stopped. Look at trading status; stopping it resolves it."
        ),
        (
            "not-ready",
            "The worker runs and has not said READY=1 in the time declared. It was left running. Look at its log; stop it, or raise ready in the inventory."
        ),
        ("not-running", "The worker is not running, so there is nothing to quiesce or resume."),
        ("ended", "The worker ended by itself while something was ordered of it. The line has its exit status; its log has the rest."),
        (
            "start-limit",
            "The worker ended too often in the time declared and is not restarted any more. The line has its last exit and how long it ran. Find out why from its log, then start it by hand; having run stably for stable_after earns the whole budget back."
        ),
        (
            "locked",
            "A person has locked this worker: no verb acts on it, and it is not restarted, until trading unlock with a reason. Only an emergency stop goes through. The line says who locked it, when and why. start --all and the like go past it; a stop that would have to stop it is refused, for what lies behind it would end first; --except leaves it out by name. When the machine goes down it is stopped in order, on record, and stays locked."
        ),
        (
            "unhealthy",
            "A health check failed as often in a row as its threshold says, or the worker's own watchdog fell silent. It was stopped by its own stop sequence and is restarted by its restart policy, as after a failure. Its status page has the check and the reason."
        ),
        (
            "no-answer",
            "The host has a session and has not answered in time. Whether it did what was asked is unknown until it reports. In a run: within 30 s, and for a worker's order what the inventory allows it beside. A mount that hangs, a stuck disk. The run says BLOCKED, and goes on when the answer comes. Readings of streams, snapshots and the looks at what is left can be gone on without: trading runs override ID --gate no-answer --reason. That host is then not asked again in this step, and the verdict is at most unproven. Else: trading runs abort ID."
        ),
        (
            "left-behind",
            "The worker has ended and something of it is still there: a process, a socket, hugepages, a lock or PID file, or its shutdown marker is missing; or its shim was lost and it had no cgroup of its own, so that it can't be told whether a process lives. The line names it. Remove it and retry; a repeated stop looks again. Going on as it is: trading runs override ID --gate left-behind --reason, and the verdict is then at most unproven."
        ),
        (
            "hugepages",
            "There are fewer free pages of that size on that node than the worker needs, so it was not launched. Files that an ended worker left below the hugepage mount hold pages; trading layout plan says what is reserved, trading layout apply reserves what is declared."
        ),
        (
            "leftovers",
            "Something of an earlier launch is still there: a live PID file or lock, or files below the hugepage mount that are not among those it keeps. The line names it. Nothing was launched. Look whether anything still uses it, then remove it."
        ),
        (
            "digest-mismatch",
            "The program's SHA-256 is not the one that the inventory declares, so it was not launched. Install the right one, or declare this one after looking at it."
        ),
        (
            "not-executable",
            "The program is not there, or the worker's user may not run it. Nothing was launched."
        ),
        (
            "not-writable",
            "A directory that the worker needs can't be written to by its user. Nothing was launched. Correct its owner or mode; the line names the directory and the user."
        ),
        (
            "disk-space",
            "A directory has less free space than the service declares that it needs. Nothing was launched. Free space there, or declare less."
        ),
        (
            "dumping-core",
            "The worker crashed and the kernel still writes its core; until that is over it holds its sockets and memory, and its end can't be shown. core: wait lets it finish, core: kill-dump cuts it short at a stop. It goes on by itself."
        ),
        (
            "drift",
            "A host is unlike what its inventory declares: a thread's or an interrupt's CPUs, hugepages, irqbalance, the governor, a sysctl, the kernel command line, the clock. Nothing is changed by looking. trading layout verify lists it, trading layout apply sets what can be set; the rest is the host's own configuration."
        ),
        (
            "capability",
            "An ambient capability that the service declares can't be given: the agent does not hold it, or this host's settings do not allow it. Nothing was launched."
        ),
        (
            "realtime",
            "The declared scheduling policy or priority can't be set: the agent lacks CAP_SYS_NICE, rtprio is limited, or kernel.sched_rt_runtime_us forbids it. Nothing was launched."
        ),
        (
            "not-allowed-here",
            "This host's own root-owned settings do not allow that user, directory or program, whatever the inventory says. Nothing was launched."
        ),
        (
            "live-worker",
            "The change would touch the CPUs, interrupts or pages of a worker that runs. Stop it first, or name it with --override and a reason."
        ),
        (
            "thread-affinity", "A worker's thread may run on other CPUs than declared: it was changed from outside, or the worker did not place it."
        ),
        ("irq-affinity", "An interrupt of a network interface may be handled on a CPU that is not declared for it, perhaps one of a worker."),
        ("irqbalance", "irqbalance runs where it is declared disabled, or the other way round. It moves interrupts onto any CPU."),
        ("governor", "A CPU's frequency governor is not the declared one."),
        ("sysctl", "A kernel setting has another value than declared. It is compared, never set, by us."),
        ("cmdline", "The running kernel's command line lacks a word that is declared. It takes effect at a boot only."),
        ("smt-sibling", "Two workers that are pinned, or a pinned one and housekeeping, share one core's two threads: each slows the other."),
        ("not-isolated", "An exclusive CPU of a worker is not isolated by the kernel (isolcpus), so the scheduler may put others on it."),
        ("nohz-full", "An exclusive CPU of a worker is not in nohz_full: the timer tick interrupts it."),
        ("wrong-node", "A worker's CPU lies on another NUMA node than the worker declares: its memory would be remote."),
        ("cpu-claimed", "Two workers declare the same CPU exclusively."),
        ("cpu-absent", "The host has no CPU of that number."),
        ("cpu-offline", "The CPU is there and offline."),
        ("digest-unknown", "The program could not be read to its end, so its digest is not known. Nothing was launched."),
        ("unknown", "Something could not be looked at, so it is not taken for good. The line says what and why."),
        ("no-directory", "A directory that the worker needs is not there. Nothing was launched."),
        (
            "pid-file",
            "The worker's PID file names a process that lives and is not of this launch. Nothing was launched, and nothing is signalled because of a file."
        ),
        ("smt", "Simultaneous multithreading is on where it is declared off, or the other way round."),
        ("transparent-hugepages", "The kernel's setting of transparent hugepages is not the declared one."),
        ("time", "The clock is not synchronised as declared, by another source, or further off than declared."),
        ("driver", "A network interface is served by another driver than declared, or is not there."),
        ("onload", "OpenOnload is not there in the declared version."),
        (
            "kill-late",
            "SIGKILL went out and the process is still there: it sleeps uninterruptibly in the kernel or writes a core dump. Nothing more can be done from outside; it goes by itself or with the host."
        ),
        (
            "moved",
            "The service was moved to another host in the inventory, or taken off one, while a worker of it ran there, and by the last word of that host it may run still. Starting it elsewhere would run it twice. Stop it where it was, by its own name, service@host. If that host doesn't answer and nothing of it runs there: trading hosts settle HOST --reason. To start the rest without it: --except SERVICE; to start it although it may run: --except SERVICE@HOST. A service that the inventory has on several hosts is started anyway, with a note."
        ),
        ("not-declared", "The inventory no longer has this worker on this host. What runs can be stopped, and is not started again."),
        // Requests.
        ("bad-request", "The request is not what this path or command takes; nothing was done. The line says what is wrong with it."),
        ("no-reason", "Every order that stops, quiesces or kills stands in the audit with its reason. Add --reason."),
        ("unknown-service", "No service or worker of that name is in the inventory. trading status shows the names; a worker is SERVICE@HOST."),
        ("unknown-tier", "No tier of that name is in the inventory. trading status shows them in their stop order."),
        ("unknown-host", "No host of that name is in the inventory, or with --local it is not this one."),
        (
            "unknown-gate",
            "There is no gate of that name in the inventory. Where an agent says so, its part is older or newer than the coordinator's, and it settles once the part is taken over."
        ),
        ("unknown-stream", "No stream of that name is in the inventory. trading status shows them."),
        ("unknown-command", "The agent does not know this command: it is of an older version. Upgrade it; healthy workers are not touched by that."),
        ("not-found", "There is no such path in the API. The paths are those of FleetAPI/Route.swift."),
        ("body-too-large", "The request's body is above the bound of 1 MiB. Every verb fits far below; name tiers or hosts instead of every worker."),
        (
            "not-here",
            "A relay was asked for something that only a full coordinator does. A relay carries status, an emergency stop, a release that an operator has signed, and quiesce. Ask a full coordinator: --via NAME."
        ),
        (
            "internal",
            "A defect of ours, or a system that refused something that it never should. The log of the program that answered has the same line. What holds now: trading status."
        ),
        (
            "bad-answer",
            "Something answered that is not a coordinator or agent of this version. Check the address in the settings and the versions on both sides."
        ),
        // Reach and trust.
        (
            "no-coordinator",
            "No coordinator could be reached. Workers are not affected: the loss of a coordinator stops nothing. On a trading host --local works; --via RELAY gives status and emergency stop."
        ),
        (
            "no-agent",
            "This host's agent does not answer on its socket. Workers are not affected: they outlive it. Start trading-agent; until then trading --local emergency-stop works without it."
        ),
        ("stream-broken", "The connection that showed a run's progress ended. The run goes on without it: trading runs watch ID takes it up again."),
        ("starting", "The coordinator is starting or shutting down. Ask again in a moment."),
        (
            "restricted",
            "The only fault of this certificate, or of the revocation list, is its date. That is no outage: status, emergency stop, quiesce and stop go on, the rest waits for a renewal; never a release. Where no revocation list was ever seen, only status and emergency stop go on. trading certs issue operator NAME --force, or a fresh crl.pem."
        ),
        ("not-allowed", "This identity, or this user of the host, may not do that."),
        ("no-certificate", "The peer showed no certificate. Both sides of every connection need one of this fleet."),
        (
            "no-token",
            "Plain HTTP on loopback is served to holders of the coordinator's bearer token only. Send Authorization: Bearer TOKEN, or use the Unix socket or TLS."
        ),
        ("foreign-ca", "The peer's certificate was signed by another authority. Check that ca is this fleet's, on both sides."),
        ("wrong-fleet", "The peer's certificate is of another fleet. Check the addresses: one of the two is not where it should be."),
        (
            "wrong-role",
            "The certificate is of this fleet and of the wrong kind: an agent's where an operator's is asked for, or the like. Use the one issued for the purpose."
        ),
        ("revoked", "The certificate was revoked. It is never accepted again: issue a new one, and find out why it was revoked."),
        ("bad-identity", "The certificate names no identity of a fleet, or more than one. It needs exactly one URI name spiffe://FLEET/ROLE/NAME."),
        ("bad-certificate", "The certificate's chain has a fault other than its dates. The log says which."),
        (
            "crl-missing",
            "No revocation list of the authority can be read, so nobody can say whether a certificate was revoked. The last good one that was seen goes on counting; where none was ever seen, only status and emergency stop go on. Install crl.pem from where the authority is kept."
        ),
        (
            "other-coordinator",
            "This host takes orders, parts of the inventory and epochs from one coordinator's store alone, proved by that store's key (store.key in its state directory): the one that it met first, or that it was told to follow. Another one asked, or one that can't prove the key. Status and emergency stop go through all the same. trading status HOST shows whom it follows. If the other one is to take over, once and for every host: trading coordinator succeed --reason, signed by an operator; on the host itself: trading --local coordinator accept STORE --reason. If nobody expected another one, somebody holds a coordinator's key who should not: revoke it."
        ),
        (
            "stale-epoch",
            "A coordinator says an older epoch of its store than this host has seen, or one that is further ahead than restarts can explain: it was put back from a backup, is a copy, or lies. Its orders are not taken. If the right one can't come back: trading coordinator succeed --reason."
        ),
        (
            "stale-coordinator",
            "Agents have seen a later epoch of this coordinator's store than it says itself: its state directory was put back from a backup, or is a copy. It gets no session. Start the right one. If it is gone: set it up anew with an empty state directory, then trading coordinator succeed --reason."
        ),
        (
            "wrong-host",
            "An agent says that it is another host than its certificate names. It gets no session. Each host needs the certificate that was issued for its name."
        ),
        (
            "wrong-name",
            "The certificate is of this fleet and of the right kind, and names somebody else than the address was given for. Check who listens at that address."
        ),
        (
            "not-signed",
            "What was asked takes an operator's signature, and there is none, or it is of somebody else, or over something else. trading signs with the key in its settings; over a Unix socket no operator is known, so ask over TLS. A relay releases an emergency stop by an operator's signature alone."
        ),
        (
            "out-of-bounds",
            "A number, a text or a list from outside is longer, larger or of another kind than its field can be. It was not taken, nothing was changed, and its sender alone has lost a session or a request. The line names the field and its bound."
        ),
        ("tls-version", "The peer does not offer TLS 1.3, and nothing below it is spoken here."),
        (
            "resumed",
            "The peer resumed an earlier TLS session, in which nothing would be verified. The connection was closed; it comes back with a full handshake."
        ),
        ("handshake-timeout", "The TLS handshake was not over in time. The peer hangs, or something between the two swallows packets."),
        ("refused-by-peer", "The other side ended the handshake. Its log says why, with one of these words."),
        ("abandoned", "The peer closed the connection before the handshake was over."),
        ("bad-handshake", "What the peer sent is not TLS, or broken TLS. Something else connects to this port."),
        // Sessions between agents and coordinators.
        (
            "bad-frame",
            "A peer sent a frame of no bytes, of more than 4 MiB (2 MiB before its hello), or one that is no message. It cost that peer its connection and nobody else anything."
        ),
        ("slow-reader", "A peer did not read what it was sent and fell behind its bound. It was cut off, never waited for; it connects again by itself."),
        ("silent", "Nothing was heard from the peer for the session's time-out. What it last said is kept, and is shown as old."),
        ("no-hello", "An accepted peer did not introduce itself in time."),
        (
            "too-many",
            "One identity has four connections that have not introduced themselves, so a further one was closed. An agent has one. If its agent runs once only, somebody else holds its key: revoke it."
        ),
        (
            "crowded",
            "More TLS handshakes were unfinished than are kept, and this was the oldest: honest ones take milliseconds. Somebody opens connections and leaves them; the log's addresses say who."
        ),
        ("no-welcome", "The coordinator did not answer an agent's greeting in time. The agent tries again."),
        ("out-of-order", "A peer sent a message that its session does not expect at that point: another version, or a defect. The session was ended."),
        ("closed", "This side ended the session; the line says why."),
        ("disconnected", "The connection ended. Agents connect again by themselves."),
        (
            "wrong-part",
            "A host's part of the inventory was sent to another host, or is of another fleet. It was not taken over. Check the agent's host and fleet in its settings."
        ),
        ("bad-digest", "A part of the inventory does not match its own digest: it was changed on the way, or the versions differ. It was not taken over."),
        ("bad-part", "A part of the inventory holds something that this host can't carry out. It was not taken over; the line says what."),
    ]
}
