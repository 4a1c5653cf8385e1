package import FleetAPI
internal import FleetCore
internal import FleetJournal
internal import FleetTrust
internal import FleetWire
internal import NIOCore
internal import NIOPosix

/// A coordinator whose store agents don't follow yet takes over, by an operator's word (DESIGN: "Journals").
extension Coordinator {
    package func succeed(_ request: APISuccessionRequest, by caller: Caller) async throws -> APIDone {
        guard let statement = SuccessionStatement(document: request.statement.document) else {
            throw APIProblem(slug: "bad-request", what: "REFUSED  that is no statement of a succession", then: "trading coordinator succeed --reason …")
        }
        guard statement.fleet == inventory.fleet,
            statement.names(coordinator: settings.name.raw, store: storeID, key: storeKey?.publicText ?? "")
        else {
            let other = statement.store == storeID ? " and another key" : ""
            throw APIProblem(
                slug: "bad-request",
                what:
                    "REFUSED  the statement names \(statement.coordinator) with store \(statement.store), this is \(settings.name) with store \(storeID)\(other)",
                then: "trading coordinator succeed --reason …")
        }
        guard let trust else { throw APIProblem(slug: "internal", what: "FAILED   this coordinator can look at no signature") }
        let signed = request.statement
        let signer = try await NIOThreadPool.singleton.runIfActive(eventLoop: home) {
            trust.verifier.signer(of: Array(signed.document.utf8), signature: signed.signature, roles: [.operator])
        }.get()
        guard case .success(let identity) = signer, statement.by == identity.author else {
            throw APIProblem(
                slug: "not-signed", what: "REFUSED  the statement is not signed by the operator that it names",
                why: { if case .failure(let error) = signer { "\(error)" } else { "" } }(), then: "Order it with an operator's certificate, over TLS")
        }
        guard let journal else { throw APIProblem(slug: "not-here", what: "REFUSED  \(settings.name) is a relay") }
        let record = AuditRecord(
            .coordinatorSucceeded, by: statement.by, reason: statement.reason,
            fields: [
                ("store", storeID), ("replaces", statement.replaces.joined(separator: " ")), ("document", signed.document), ("signature", signed.signature),
            ])
        // On record before it is told to anybody.
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            journal.append([record]) { result in continuation.resume(with: result.map { _ in }.mapError { $0 as any Error }) }
        }
        return try await onHome { [self] in
            table.succession = signed
            var envelope = WireEnvelope()
            envelope.succession = signed
            try table.broadcast(envelope)
            var done = APIDone()
            let told = hosts.values.count { $0.connected }
            done.text =
                "told to \(told) of \(hosts.count) hosts, the others when they dial in: they are to follow \(settings.name), store \(storeID). trading status shows who does"
            return done
        }
    }
}
