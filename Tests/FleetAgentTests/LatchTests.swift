import FleetCore
import LinuxHost
import NIOCore
import Testing

@testable import FleetAgent

@Suite(.serialized) struct LatchTests {
    private static let latch = Latch(
        id: "em-1", by: "operator/alice", reason: "runaway \"x\"", unixMicroseconds: 5, scope: LatchScope(tiers: ["strategies"], hosts: ["md-1"]))

    private static var released: Latch {
        var latch = latch
        latch.release = Latch.Release(by: "operator/bob", reason: "fixed", unixMicroseconds: 9)
        return latch
    }

    @Test("a latch comes back from its file as it was, released or not")
    func roundTrip() throws {
        let scratch = try Scratch()
        for latch in [Self.latch, Self.released] {
            #expect(LatchFiles.write(latch, to: [(path: scratch.path + "/latch", sync: false)]).isEmpty)
            let (found, problems) = LatchFiles.read(scratch.path + "/latch")
            #expect(found == [latch] && problems.isEmpty)
        }
    }

    @Test("a directory that can't be written is named, and the other one gets the latch")
    func unwritable() throws {
        let scratch = try Scratch()
        // A file in the directory's place refuses root as well.
        try scratch.write("state/latch", "")
        let problems = LatchFiles.write(Self.latch, to: [(path: scratch.path + "/state/latch", sync: true), (path: scratch.path + "/run", sync: false)])
        #expect(problems.count == 1 && problems.first?.contains("can't be kept in \(scratch.path)/state/latch") == true)
        #expect(LatchFiles.read(scratch.path + "/run").latches == [Self.latch])
    }

    @Test("an agent makes its latches' directories at its start, not in an emergency, and says which it can't")
    func madeAtStart() throws {
        let fixture = try AgentFixture()
        try fixture.savePart()
        try Files.writeAtomically(fixture.state + "/latch", [], sync: false)
        _ = try fixture.start()
        defer { fixture.end() }
        #expect(try FileStatus.read(fixture.run + "/latch")?.kind == .directory)
        #expect(LatchFiles.make(fixture.state + "/latch")?.contains("\(fixture.state)/latch") == true)
    }

    @Test("a release that lies there already is not overwritten by who hasn't heard of it")
    func keepsRelease() throws {
        let scratch = try Scratch()
        for latch in [Self.released, Self.latch] { #expect(LatchFiles.write(latch, to: [(path: scratch.path, sync: false)]).isEmpty) }
        #expect(LatchFiles.read(scratch.path).latches == [Self.released])
    }

    @Test("garbage in a latch's place is reported, kept, and hides no other latch", arguments: ["", "{", "[]", "{\"id\":\"other\"}", "\u{0}\u{1}"])
    func garbage(text: String) throws {
        let scratch = try Scratch()
        _ = LatchFiles.write(Self.latch, to: [(path: scratch.path, sync: false)])
        let file = try scratch.write("em-2", text)
        let (found, problems) = LatchFiles.read(scratch.path)
        #expect(found == [Self.latch] && problems.count == 1)
        #expect(problems.first?.contains("may be an emergency stop in force") == true && Files.exists(file))
    }

    @Test("no directory is no latch")
    func none() throws {
        let (found, problems) = try LatchFiles.read(Scratch().path + "/none")
        #expect(found.isEmpty && problems.isEmpty)
    }

    @Test("an id that can be no word of the shim's protocol becomes one")
    func word() {
        #expect(LatchFiles.word("em-1") == "em-1")
        let word = LatchFiles.word("a b\nkill")
        #expect(word.hasPrefix("sha256-") && LatchFile.isValid(id: word))
    }

    @Test("a directory's stamp changes when a latch comes or is replaced")
    func stamp() throws {
        let scratch = try Scratch()
        #expect(Files.changed(scratch.path + "/none") == nil)
        var stamp = Files.changed(scratch.path)
        for index in 0..<3 {
            // The stamp is as coarse as the kernel's tick: another one until that has moved.
            var latch = Self.latch
            #expect(
                eventually {
                    latch.unixMicroseconds += 1
                    latch.id = "em-\(index)"
                    _ = LatchFiles.write(latch, to: [(path: scratch.path, sync: false)])
                    return Files.changed(scratch.path) != stamp
                })
            stamp = Files.changed(scratch.path)
        }
    }

    // MARK: The keeper

    @Test("at start the union of both places holds, and a release wins wherever it lies")
    func load() throws {
        let fixture = try AgentFixture()
        var other = Self.latch
        other.id = "em-2"
        _ = LatchFiles.write(Self.latch, to: [(path: fixture.run + "/latch", sync: false)])
        _ = LatchFiles.write(Self.released, to: [(path: fixture.state + "/latch", sync: false)])
        _ = LatchFiles.write(other, to: [(path: fixture.state + "/latch", sync: false)])
        let agent = try fixture.start()
        defer { fixture.end() }
        let book = try fixture.onLoop { agent.latches.book }
        #expect(book.inForce == [other] && book.latches["em-1"] == Self.released)
        // What one place lacks is written to it.
        #expect(eventually { LatchFiles.read(fixture.run + "/latch").latches.contains(other) })
    }

    @Test("what others know is merged and kept in both places; a released latch is never in force again")
    func merge() throws {
        let fixture = try AgentFixture()
        let agent = try fixture.start()
        defer { fixture.end() }
        try fixture.onLoop { agent.latches.merge([Self.latch], from: "ctl-1") }
        for place in [fixture.run, fixture.state] { #expect(eventually { LatchFiles.read(place + "/latch").latches == [Self.latch] }) }
        try fixture.onLoop { agent.latches.merge([Self.released], from: "ctl-2") }
        try fixture.onLoop { agent.latches.merge([Self.latch], from: "ctl-1") }
        #expect(try fixture.onLoop { agent.latches.book.inForce.isEmpty })
        for place in [fixture.run, fixture.state] { #expect(eventually { LatchFiles.read(place + "/latch").latches == [Self.released] }) }
    }

    @Test("a latch that --local wrote without the agent's help is found, and so is its release")
    func fromFile() throws {
        let fixture = try AgentFixture()
        let agent = try fixture.start()
        defer { fixture.end() }
        _ = LatchFiles.write(Self.latch, to: [(path: fixture.run + "/latch", sync: false)])
        #expect(try eventually { try fixture.onLoop { agent.latches.book.inForce == [Self.latch] } })
        _ = LatchFiles.write(Self.released, to: [(path: fixture.run + "/latch", sync: false)])
        #expect(try eventually { try fixture.onLoop { agent.latches.book.inForce.isEmpty } })
    }

    @Test("a latch holds in memory when it can be kept nowhere")
    func nowhere() throws {
        let fixture = try AgentFixture()
        try fixture.scratch.write("run/latch", "")
        try fixture.scratch.write("state/latch", "")
        let agent = try fixture.start()
        defer { fixture.end() }
        try fixture.onLoop { agent.latches.merge([Self.latch], from: "ctl-1") }
        #expect(try fixture.onLoop { agent.latches.book.inForce == [Self.latch] })
    }
}
