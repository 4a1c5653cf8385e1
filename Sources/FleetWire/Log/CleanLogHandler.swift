import FleetCore
package import Logging

/// Logs on standard error as swift-log does, with all text from outside cleaned: what a peer or a worker said can neither move
/// a terminal's cursor nor look like a line of its own.
package struct CleanLogHandler: LogHandler {
    private var stream: StreamLogHandler

    package init(label: String) { stream = StreamLogHandler.standardError(label: label) }

    package var metadata: Logger.Metadata {
        get { stream.metadata }
        set { stream.metadata = Self.clean(newValue) }
    }

    package var logLevel: Logger.Level {
        get { stream.logLevel }
        set { stream.logLevel = newValue }
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { stream[metadataKey: key] }
        set { stream[metadataKey: key] = newValue.map(Self.clean) }
    }

    package func log(event: LogEvent) {
        var event = event
        event.message = "\(Cleaned.text(event.message.description))"
        event.metadata = event.metadata.map(Self.clean)
        stream.log(event: event)
    }

    private static func clean(_ metadata: Logger.Metadata) -> Logger.Metadata { metadata.mapValues(clean) }

    /// Of one value, in UTF-8: a line of a log is for people.
    private static let valueBytesMax = 4 << 10

    private static func clean(_ value: Logger.Metadata.Value) -> Logger.Metadata.Value {
        .string(Cleaned.text("\(value)", bytesMax: valueBytesMax))
    }
}
