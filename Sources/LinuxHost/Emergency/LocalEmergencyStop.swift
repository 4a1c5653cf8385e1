internal import FleetCore
internal import Glibc

/// An emergency stop on this host that needs neither agent nor coordinator, disk, name or certificate: it asks the shims and,
/// where one doesn't answer, kills through pidfds itself (law 7).
package enum LocalEmergencyStop {
    /// One worker that was running, or starting, when the stop came.
    package struct Outcome: Equatable, Sendable {
        package let service: String
        package let launch: String
        /// nil: it had not been forked yet.
        package let pid: Int32?
        /// Verified: no process of its tree is left.
        package let gone: Bool
        /// From the start of the stop to the verification, or to giving up.
        package let after: Duration
        /// How, or why not, in words.
        package let text: String
    }

    package struct LatchWrite: Equatable, Sendable {
        package let path: String
        /// nil: written.
        package let error: LinuxError?
    }

    package struct Report: Equatable, Sendable {
        package var workers: [Outcome]
        /// Services that the latch's scope leaves alone.
        package var spared: [String]
        /// The run directory's first.
        ///
        /// With none written, only this stop's own kill has happened: an agent that hears nothing of it may launch
        /// again.
        package var latchWrites: [LatchWrite]
        /// What could not be looked at: something may run that this stop has not seen.
        package var problems: [LinuxError]

        package var everythingGone: Bool { problems.isEmpty && workers.allSatisfy(\.gone) }
    }

    /// What a shim gets to answer before it is bypassed.
    package static let shimBudget = Duration.milliseconds(50)

    /// Kills what `latch` covers among the launches below `runDirectory` and keeps the latch as a file below both
    /// directories, for the agent to find.
    ///
    /// Returns once all are verified gone, at the latest after `bound` and a moment.
    ///
    /// The latch files are written by a thread of their own beside the killing, never before it. When they are written
    /// the launches are looked at once more, for what an agent has restarted in between.
    /// - Parameters:
    ///   - host: narrows by the scope's hosts; nil when the caller has looked at them.
    ///   - isIncluded: narrows further by service name.
    ///   - settled: called with each outcome as it becomes known, on the calling thread.
    package static func run(
        runDirectory: String, stateDirectory: String?, latch: LatchFile, host: String? = nil,
        isIncluded: (String) -> Bool = { _ in true }, bound: Duration = .seconds(5), settled: @escaping (Outcome) -> Void = { _ in }
    ) -> Report {
        let runDirectory = Files.resolvingParent(runDirectory)
        var report = Report(workers: [], spared: [], latchWrites: [], problems: [])
        guard LatchFile.isValid(id: latch.id) else {
            report.problems = [LinuxError("use the latch", latch.id, errno: EINVAL, detail: "its id is not 1 to 64 letters, digits, - or _")]
            return report
        }
        let started = Clock.boottime()
        let deadline = started + bound
        // A directory that is not there is none of an agent's: to make it on a guess would look as if the stop were kept.
        let directories = [runDirectory] + (stateDirectory.map { [$0] } ?? [])
        let present = directories.filter(Files.exists)
        let absent = directories.filter { !present.contains($0) }
        if absent.contains(runDirectory) {
            report.problems.append(
                LinuxError(
                    "look into the run directory", runDirectory, errno: ENOENT, detail: "is run_dir right? What runs here was not seen, nothing was killed"))
        }
        // An agent makes it as it starts.
        let services = LaunchDirectory.services(runDirectory)
        if !absent.contains(runDirectory), !Files.exists(services) {
            report.problems.append(
                LinuxError(
                    "look at the launches", services, errno: ENOENT,
                    detail: "it was removed, or no agent has started here since boot. What was launched is looked for by its shims and slots alone"))
        }
        let writer = LatchWriter.start(latch, directories: present.map { "\($0)/latch" })
        var stop = Sweep(latch: latch, started: started, settled: settled)
        var looked: [LaunchDirectory] = []
        func sweep() {
            var spared: Set<String> = []
            var problems: [LinuxError] = []
            let found = launches(runDirectory, &problems) { service, note in
                guard isIncluded(service) else { return false }
                if latch.scope.covers(service: service, note: note, host: host) { return true }
                spared.insert(service)
                return false
            }
            looked = found
            stop.kill(found, until: deadline)
            stop.killStrays(below: runDirectory, until: deadline) { service in
                // One whose directory was made again has its note again.
                let note: ServiceNote?
                do { note = try ServiceNote.read(runDirectory: runDirectory, service: service) } catch { note = nil }
                // Of which tier it is nobody knows: another tier's is not killed on a guess.
                guard note != nil || latch.scope.tiers.isEmpty || latch.scope.services.contains(service) else { return isIncluded(service) ? nil : false }
                return isIncluded(service) && latch.scope.covers(service: service, note: note, host: host)
            }
            report.spared = spared.sorted()
            report.problems += problems.filter { !report.problems.contains($0) }
        }
        sweep()
        // At least a second for the run directory's file, even when the kill has used up the bound.
        writer.waitForFirst(until: max(deadline, Clock.boottime() + .seconds(1)))
        sweep()
        writer.waitForAll(until: max(deadline, Clock.boottime() + .milliseconds(200)))
        report.latchWrites =
            writer.results + absent.map { LatchWrite(path: "\($0)/latch", error: LinuxError("make", "\($0)/latch", errno: ENOENT)) }
        report.workers = stop.outcomes
        report.problems += stop.problems
        for launch in looked where !stop.outcomes.contains(where: { $0.service == launch.service && !$0.gone }) {
            do throws(LinuxError) {
                guard let doubt = try launch.doubt else { continue }
                report.problems.append(LinuxError("tell what is left of", "launch \(launch.launch) of \(launch.service)", errno: ESRCH, detail: doubt))
            } catch {
                report.problems.append(error)
            }
        }
        return report
    }

    private static func launches(
        _ runDirectory: String, _ problems: inout [LinuxError], _ isCovered: (String, ServiceNote?) -> Bool
    ) -> [LaunchDirectory] {
        var found: [LaunchDirectory] = []
        let services: [String]
        do {
            services = try Files.listIfPresent(LaunchDirectory.services(runDirectory))
        } catch {
            problems.append(error)
            return []
        }
        for service in services {
            do {
                let note: ServiceNote?
                do { note = try ServiceNote.read(runDirectory: runDirectory, service: service) } catch {
                    problems.append(error)
                    note = nil
                }
                let all = try LaunchDirectory.all(runDirectory: runDirectory, service: service)
                guard !all.isEmpty, isCovered(service, note) else { continue }
                found += all
            } catch {
                problems.append(error)
            }
        }
        return found
    }

    /// The kill itself, over any number of looks at the launches.
    private struct Sweep {
        let latch: LatchFile
        let started: BootTime
        let settled: (Outcome) -> Void
        var outcomes: [Outcome] = []
        var problems: [LinuxError] = []
        private var known: Set<LaunchDirectory> = []

        init(latch: LatchFile, started: BootTime, settled: @escaping (Outcome) -> Void) {
            self.latch = latch
            self.started = started
            self.settled = settled
        }

        mutating func kill(_ launches: [LaunchDirectory], until deadline: BootTime) {
            // All are asked before any is waited for.
            var targets: [EmergencyTarget] = []
            for launch in launches where !known.contains(launch) {
                let target = EmergencyTarget(launch)
                if target.ask(latch.id) { targets.append(target) }
                // One that was over stays over; one that never was (no process yet) is looked at again.
                if target.isOver || target.isAsked { known.insert(launch) }
            }
            hear(&targets, until: min(deadline, Clock.boottime() + shimBudget))
            // What is left is killed from here, in rounds, until none of its processes is found.
            var pause = Duration.milliseconds(1)
            while !targets.isEmpty {
                targets.removeAll { target in
                    let gone = target.strike()
                    if gone { settle(target, gone: true) }
                    return gone
                }
                if targets.isEmpty || Clock.boottime() >= deadline { break }
                hear(&targets, until: min(deadline, Clock.boottime() + pause))
                pause = min(pause * 2, .milliseconds(20))
            }
            for target in targets { settle(target, gone: false) }
        }

        /// Kills what is left of launches whose directories are gone: no shim can be asked about them. What may be of one is named, and left.
        /// `isCovered`: nil where it can't be told.
        mutating func killStrays(below run: String, until deadline: BootTime, _ isCovered: (String) -> Bool?) {
            let unconfirmed = Set(outcomes.filter { !$0.gone }.map(\.service))
            var strays: [String: Set<ProcessIdentity>] = [:]
            var found = StrayLaunches.Found()
            var left: [String: Set<ProcessIdentity>] = [:]
            var refused: [String: LinuxError] = [:]
            while true {
                do throws(LinuxError) {
                    found = try StrayLaunches.look(below: run)
                    left = found.processes.filter { !unconfirmed.contains($0.key) && isCovered($0.key) == true }
                    for (service, processes) in left {
                        strays[service, default: []].formUnion(processes)
                        for process in processes {
                            var tree = [process]
                            tree += try Processes.livingDescendants(of: process)
                            for one in tree {
                                do throws(PIDFD.Failure) {
                                    try PIDFD(opening: one).signal(SIGKILL)
                                } catch {
                                    // Else it has ended: the next look shows it.
                                    if case .system(let why) = error { refused[service] = why }
                                }
                            }
                        }
                    }
                } catch {
                    problems.append(error)
                    break
                }
                if left.isEmpty || Clock.boottime() >= deadline { break }
                poll(nil, 0, 1)
            }
            problems += found.processes.filter { isCovered($0.key) == nil }.keys.sorted().map {
                LinuxError(
                    "tell of which tier \($0) is", run, errno: ENOENT, detail: "what was known of it was removed, and it runs. It was not killed: name it")
            }.filter { !problems.contains($0) }
            problems += found.doubtful.map {
                LinuxError(
                    "tell whose process \($0.pid) is", run, errno: ENOENT,
                    detail: "it is of a launch whose run directory was unmounted, perhaps of this one. It was not killed: look at it")
            }.filter { !problems.contains($0) }
            for (service, processes) in strays.sorted(by: { $0.key < $1.key }) {
                let outcome = Outcome(
                    service: service, launch: "", pid: processes.map(\.pid).min(), gone: left[service] == nil, after: Clock.boottime() - started,
                    text: left[service] == nil
                        ? "killed by what it holds: its launch directory is not to be seen"
                        : (refused[service].map { "\($0)" } ?? "it outlives SIGKILL") + "; its launch directory is not to be seen"
                )
                outcomes.append(outcome)
                settled(outcome)
            }
        }

        /// Waits for the shims' own word.
        private mutating func hear(_ targets: inout [EmergencyTarget], until deadline: BootTime) {
            while !targets.isEmpty {
                // A negative descriptor is passed over (poll(2)).
                var polled = targets.map { pollfd(fd: $0.descriptor ?? -1, events: Int16(POLLIN), revents: 0) }
                // With none left to hear, only targets for striking remain; those wait only between rounds.
                if polled.allSatisfy({ $0.fd < 0 }), targets.allSatisfy({ !$0.wasStruck }) { return }
                do {
                    if try Descriptors.wait(&polled, until: deadline) == 0 { return }
                } catch {
                    problems.append(error)
                    return
                }
                var left: [EmergencyTarget] = []
                for (target, answer) in zip(targets, polled) {
                    if answer.revents != 0, target.hear() { settle(target, gone: true) } else { left.append(target) }
                }
                targets = left
            }
        }

        private mutating func settle(_ target: EmergencyTarget, gone: Bool) {
            let outcome = Outcome(
                service: target.launch.service, launch: target.launch.launch, pid: target.pid, gone: gone,
                after: Clock.boottime() - started, text: target.words(gone: gone))
            outcomes.append(outcome)
            settled(outcome)
        }
    }
}
