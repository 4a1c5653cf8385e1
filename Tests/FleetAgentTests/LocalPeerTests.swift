import Glibc
import Testing

@testable import FleetAgent

/// Who may use the local socket, by what the kernel says of who connected.
struct LocalPeerTests {
    private func groups(_ numbers: [UInt32]) -> LocalPeer.Groups {
        var bytes = numbers
        // As getsockopt(2) leaves it: what it has no group for is zero.
        bytes += Array(repeating: 0, count: MemoryLayout<LocalPeer.Groups>.size / 4 - numbers.count)
        return bytes.withUnsafeBytes { $0.loadUnaligned(as: LocalPeer.Groups.self) }
    }

    @Test("root, the agent's user and whoever connected with the group may; no group at all lets nobody else in")
    func members() {
        func peer(_ user: UInt32, _ group: UInt32) -> LocalPeer.Credentials { LocalPeer.Credentials(pid: 1, user: user, group: group) }
        let none = groups([])
        #expect(peer(0, 0).mayEnter(agentUser: 990, localGroup: nil, groups: none))
        #expect(peer(990, 5).mayEnter(agentUser: 990, localGroup: nil, groups: none))
        #expect(!peer(4_000_001, 77).mayEnter(agentUser: 990, localGroup: nil, groups: groups([77])))
        #expect(peer(4_000_001, 77).mayEnter(agentUser: 990, localGroup: 77, groups: none))
        #expect(peer(4_000_001, 5).mayEnter(agentUser: 990, localGroup: 77, groups: groups([6, 77])))
        #expect(!peer(4_000_001, 5).mayEnter(agentUser: 990, localGroup: 77, groups: groups([6, 78])))
        // What is not filled in is no membership of root's group.
        #expect(!peer(4_000_001, 5).mayEnter(agentUser: 990, localGroup: 0, groups: groups([6])))
    }
}
