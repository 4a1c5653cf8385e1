import FleetAPI
import FleetClient
import Glibc
import SwiftProtobuf

/// Ctrl-C ends the watching, never what was ordered, and says what goes on.
enum Interruption {
    /// Read by the signal handler: whole lines, made beforehand, never freed.
    nonisolated(unsafe) private static var words: UnsafeMutableBufferPointer<UInt8>?

    /// Call right before an order goes out: from then on it may have been taken.
    static func ordering(_ what: String, shows: String = "trading status") {
        say("\(what) may have been ordered: no answer had come.  \(shows)  shows it; what was ordered goes on without this command.")
    }

    /// What a Ctrl-C says from now on; the process then ends with 6.
    static func say(_ text: String) {
        let bytes = Array("\n\(text)\n".utf8)
        let buffer = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: bytes.count)
        _ = buffer.initialize(from: bytes)
        words = buffer
        signal(SIGINT) { _ in
            // Only what signal-safety(7) allows.
            if let words = Interruption.words { _ = write(2, words.baseAddress, words.count) }
            _exit(ExitStatus.unfinished.rawValue)
        }
    }
}

extension APIClient {
    /// Posts what changes something: a Ctrl-C before its answer says that it may have been taken. `what` begins the sentence: "The release".
    func order<Answer: Message>(
        _ what: String, shows: String = "trading status", _ path: String, _ request: some Message, within bound: Duration = answerBound
    ) async throws -> Answer {
        Interruption.ordering(what, shows: shows)
        return try await post(path, request, within: bound)
    }
}
