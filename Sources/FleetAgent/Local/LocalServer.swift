internal import Glibc
internal import LinuxHost
internal import Logging
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix

/// The agent's own API on a Unix socket: what `trading --local` talks to when no coordinator is near.
///
/// The socket's mode lets in root, the agent's own user and the local group; who connected is asked of the kernel all the
/// same.
///
/// `@unchecked Sendable`: everything mutable is touched on the agent's loop only.
final class LocalServer: @unchecked Sendable {
    /// More than any number of people and monitors on one host.
    private static let connectionsMax = 64
    /// A connection without a word in either direction for this long gives its place to another.
    private static let idleLimit: TimeAmount = .seconds(60)

    private unowned let agent: Agent
    private var channel: (any Channel)?
    private(set) var connections = 0
    private var localGroup: UInt32?

    init(agent: Agent) { self.agent = agent }

    func open() {
        let descriptor: Int32
        do {
            localGroup = try group()
            descriptor = try UnixSocket.listen(path: agent.paths.localSocket, mode: localGroup == nil ? 0o600 : 0o660)
            if let localGroup {
                // The directory too: it must be searched on the way.
                for path in [agent.paths.run, agent.paths.localSocket] { try Files.give(path, user: geteuid(), group: localGroup) }
            }
        } catch {
            agent.log.error("no local API: trading --local can't reach this agent", metadata: ["error": "\(error)"])
            return
        }
        ServerBootstrap(group: agent.group)
            .childChannelInitializer { [self] channel in
                channel.eventLoop.makeCompletedFuture { try accept(channel) }
            }
            .withBoundSocket(descriptor)
            .whenComplete { [self] result in
                switch result {
                case .success(let channel): self.channel = channel
                case .failure(let error): agent.log.error("no local API", metadata: ["error": "\(error)"])
                }
            }
    }

    /// As the host's settings name it; one that isn't there lets nobody in, and is said.
    private func group() throws -> UInt32? {
        guard !agent.settings.localGroup.isEmpty else { return nil }
        let found = try Account.group(named: agent.settings.localGroup)
        if found == nil {
            agent.log.error(
                "there is no group of the name in local-group: root and the agent's user alone may use the local socket",
                metadata: ["group": "\(agent.settings.localGroup)"])
        }
        return found
    }

    /// Takes no further connection; removes the socket's file so that a client says at once that nobody is here.
    func close() {
        channel?.close(promise: nil)
        channel = nil
        do { try Files.remove(agent.paths.localSocket) } catch { agent.log.warning("a socket is left", metadata: ["error": "\(error)"]) }
    }

    private func accept(_ channel: any Channel) throws {
        guard connections < Self.connectionsMax, let provider = channel as? any SocketOptionProvider else {
            channel.close(promise: nil)
            return
        }
        let who = LocalPeer.Holder()
        connections += 1
        channel.closeFuture.whenComplete { [self] _ in connections -= 1 }
        try channel.pipeline.syncOperations.configureHTTPServerPipeline(withPipeliningAssistance: true, withErrorHandling: true)
        try channel.pipeline.syncOperations.addHandler(IdleStateHandler(allTimeout: Self.idleLimit))
        try channel.pipeline.syncOperations.addHandler(LocalHandler(agent: agent, who: who))
        let (localGroup, groupName) = (localGroup, agent.settings.localGroup)
        let credentials: EventLoopFuture<LocalPeer.Credentials> = provider.unsafeGetSocketOption(
            level: SocketOptionLevel(SOL_SOCKET), name: SocketOptionName(SO_PEERCRED))
        // More groups than there is room for (ERANGE): the host's group file decides.
        let groups =
            (provider.unsafeGetSocketOption(level: SocketOptionLevel(SOL_SOCKET), name: SocketOptionName(LocalPeer.Groups.option))
            as EventLoopFuture<LocalPeer.Groups>).recover { _ in LocalPeer.Groups() }
        credentials.and(groups)
            .whenComplete { [log = agent.log] result in
                switch result {
                case .success((let credentials, let groups)) where credentials.mayEnter(agentUser: geteuid(), localGroup: localGroup, groups: groups):
                    who.peer = LocalPeer(credentials)
                case .success((let credentials, _)):
                    log.warning("a local peer was turned away", metadata: ["uid": "\(credentials.user)", "pid": "\(credentials.pid)"])
                    let name = Account.name(of: credentials.user) ?? "uid \(credentials.user)"
                    who.refusal =
                        groupName.isEmpty
                        ? "\(name) may not use the local socket: root and the agent's user alone may; `local-group` in the agent's settings would let a group"
                        : "\(name) may not use the local socket: root, the agent's user and members of the group \(groupName) may"
                case .failure(let error):
                    log.warning("a local peer could not be identified", metadata: ["error": "\(error)"])
                    channel.close(promise: nil)
                }
            }
    }
}
