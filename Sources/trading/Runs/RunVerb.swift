import FleetAPI
import FleetClient

/// Orders a run and watches it to its end, or shows its plan.
struct RunVerb {
    let name: String
    let path: String
    let reason: String
    let options: VerbOptions
    /// What a host's own stop does with locked workers that run.
    var locked: String?

    func run() async throws {
        if !options.dryRun { Interruption.say("Interrupted. Nothing had been ordered by then.") }
        var request = try options.request(reason: reason)
        request.locked = locked ?? ""
        let (client, status) = try await Reach(options.global, relays: false).first()
        let accepted: APIRunAccepted =
            options.dryRun ? try await client.post(path, request) : try await client.order("The \(name)", shows: "trading runs", path, request)
        if accepted.run > 0 { RunFollower.letGo(run: accepted.run) }
        if options.dryRun {
            if options.json {
                Terminal.out(bytes: try APIJSON.encode(accepted.plan))
            } else {
                Terminal.out(
                    PlanScreen.lines(
                        accepted.plan, fleet: status.fleet, command: options.typed(verb: name, reason: reason) + (locked.map { " --locked \($0)" } ?? ""),
                        style: Terminal.style
                    ))
            }
            return
        }
        if options.detach {
            if options.json {
                Terminal.out(bytes: try APIJSON.encode(accepted))
            } else {
                Terminal.out(["run \(accepted.run) accepted · trading runs \(accepted.run)  shows it"])
            }
            return
        }
        let follower = RunFollower(client: client, zone: status.zone, json: options.json)
        follower.announce(run: accepted.run, kind: name, fleet: status.fleet, plan: accepted.plan)
        throw Failure.quietly(try await follower.follow(run: accepted.run))
    }
}
