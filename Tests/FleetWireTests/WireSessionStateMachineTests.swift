import FleetCore
import FleetWire
import Testing

@Suite struct WireSessionStateMachineTests {
    private func at(_ seconds: Double) -> BootTime { BootTime(nanoseconds: UInt64(seconds * 1e9)) }

    private func open(_ side: WireSessionStateMachine.Side) -> WireSessionStateMachine {
        var machine = WireSessionStateMachine(side: side, timing: WireTiming())
        _ = machine.peerVerified(at: at(0))
        _ = machine.received(side == .server ? .hello : .welcome, at: at(0))
        machine.opened(timing: WireTiming(), at: at(0))
        return machine
    }

    private func slug(_ action: WireSessionStateMachine.TickAction) -> String? {
        if case .close(let slug, _) = action { slug } else { nil }
    }

    private func slug(_ action: WireSessionStateMachine.ReceivedAction) -> String? {
        if case .close(let slug, _) = action { slug } else { nil }
    }

    @Test("a server waits for hello, answers it once, and delivers what follows")
    func server() {
        var machine = WireSessionStateMachine(side: .server, timing: WireTiming())
        #expect(machine.ticked(at: at(0)) == .nothing)
        #expect(machine.peerVerified(at: at(0)) == .awaitHello)
        #expect(machine.received(.hello, at: at(1)) == .answerHello)
        machine.opened(timing: WireTiming(), at: at(1))
        #expect(machine.received(.other, at: at(2)) == .deliver)
        #expect(machine.received(.heartbeat, at: at(2)) == .noteHeartbeat)
        #expect(machine.received(.nothing, at: at(2)) == .ignore)
        #expect(machine.peerVerified(at: at(2)) == .noteChange)
        #expect(slug(machine.received(.hello, at: at(3))) == "out-of-order")
    }

    @Test("a client says hello first and is open with the welcome")
    func client() {
        var machine = WireSessionStateMachine(side: .client, timing: WireTiming())
        #expect(machine.peerVerified(at: at(0)) == .sayHello)
        #expect(machine.received(.welcome, at: at(1)) == .open)
        #expect(slug(machine.received(.welcome, at: at(1))) == "out-of-order")
    }

    @Test(
        "nothing but hello opens a session at the server", arguments: [WireSessionStateMachine.Kind.welcome, .heartbeat, .other, .nothing])
    func beforeHello(kind: WireSessionStateMachine.Kind) {
        var machine = WireSessionStateMachine(side: .server, timing: WireTiming())
        #expect(slug(machine.received(kind, at: at(0))) == "out-of-order")
        _ = machine.peerVerified(at: at(0))
        #expect(slug(machine.received(kind, at: at(0))) == "out-of-order")
    }

    @Test("hello and welcome have a deadline")
    func greeting() {
        var server = WireSessionStateMachine(side: .server, timing: WireTiming())
        _ = server.peerVerified(at: at(0))
        #expect(server.ticked(at: at(10)) == .nothing)
        #expect(slug(server.ticked(at: at(10.1))) == "no-hello")
        var client = WireSessionStateMachine(side: .client, timing: WireTiming())
        _ = client.peerVerified(at: at(0))
        #expect(slug(client.ticked(at: at(10.1))) == "no-welcome")
    }

    @Test("silence ends an open session, a heartbeat keeps it")
    func silence() {
        var machine = open(.server)
        #expect(machine.ticked(at: at(5)) == .sendHeartbeat)
        _ = machine.received(.heartbeat, at: at(4))
        #expect(machine.ticked(at: at(9)) == .sendHeartbeat)
        #expect(slug(machine.ticked(at: at(9.1))) == "silent")
    }

    @Test("half a frame and silence, and a frame that trickles for ever, end the session")
    func halfFrame() {
        var silent = open(.server)
        silent.bytesRead(midFrame: true, at: at(1))
        #expect(slug(silent.ticked(at: at(6.1))) == "silent")
        var trickle = open(.server)
        for second in 1...20 {
            trickle.bytesRead(midFrame: true, at: at(Double(second)))
            #expect(trickle.ticked(at: at(Double(second))) == .sendHeartbeat)
        }
        trickle.bytesRead(midFrame: true, at: at(21.1))
        #expect(slug(trickle.ticked(at: at(21.1))) == "bad-frame")
    }

    @Test("a frame that ended lets the next one have its own bound")
    func nextFrame() {
        var machine = open(.server)
        machine.bytesRead(midFrame: true, at: at(1))
        machine.frameEnded()
        machine.bytesRead(midFrame: true, at: at(20))
        #expect(machine.ticked(at: at(22)) == .sendHeartbeat)
    }

    @Test("a reader that takes nothing, or is too far behind, is cut off")
    func slowReader() {
        var machine = open(.server)
        machine.writabilityChanged(false, at: at(1))
        machine.writabilityChanged(false, at: at(9))
        _ = machine.received(.heartbeat, at: at(11))
        #expect(machine.ticked(at: at(11)) == .sendHeartbeat)
        #expect(slug(machine.ticked(at: at(11.1))) == "slow-reader")
        machine.writabilityChanged(true, at: at(11.2))
        #expect(machine.ticked(at: at(11.3)) == .sendHeartbeat)
        #expect(machine.outboxHolds(8 << 20) == nil)
        #expect(machine.outboxHolds(8 << 20 + 1)?.slug == "slow-reader")
    }

    @Test("a closed session does nothing more and closes once")
    func closed() {
        var machine = open(.client)
        let first = machine.closed()
        let second = machine.closed()
        #expect(first && !second)
        #expect(machine.received(.other, at: at(1)) == .ignore)
        #expect(machine.ticked(at: at(100)) == .nothing)
        #expect(machine.peerVerified(at: at(1)) == .ignore)
    }

    @Test("the back-off doubles to its cap, and stays within half to all of its step")
    func backoff() {
        var backoff = Backoff()
        #expect(backoff.wait(random: 0) == .milliseconds(125))
        #expect(backoff.wait(random: 0.999) < .milliseconds(500))
        for _ in 0..<20 { _ = backoff.wait(random: 0.5) }
        #expect(backoff.wait(random: 0) == .seconds(5))
        #expect(backoff.wait(random: 0.99) <= Backoff.cap)
        backoff.reset()
        #expect(backoff.wait(random: 0) == .milliseconds(125))
    }
}
