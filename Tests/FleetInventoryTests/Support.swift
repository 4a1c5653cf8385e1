import FleetCore
import FleetInventory
import Testing

/// A small fleet in order, into which the tests put their faults: `{{name}}` marks are places for more lines.
struct Fleet {
    var coordinators = "{ctl-1: {address: \"10.0.0.1:7443\"}}"
    var tiers = "{market-data: {}, strategies: {}, execution: {}}"
    var more = ""
    var hosts = """
          md-1: {housekeeping: 0-1, shared: 2-3}
          st-1: {like: md-1}
          ex-1: {like: md-1}
        """
    var feed = ""
    var recorder = ""
    var strategy = ""
    var gateway = ""
    var services = ""
    var streams = ""

    var text: String {
        """
        fleet: test
        coordinators: \(coordinators)
        tiers: \(tiers)
        dependencies:
          redis: {host: md-1, probe: {redis: "127.0.0.1:6379"}}
        \(more)
        hosts:
        \(hosts)
        services:
          feed:
            tier: market-data
            run: [/opt/feed]
            hosts: [md-1]
            counters: {notify: {produced: X_PRODUCED}}
        \(feed)
          recorder:
            tier: market-data
            run: [/opt/recorder]
            hosts: [md-1]
        \(recorder)
          strategy:
            tier: strategies
            run: [/opt/strategy]
            hosts: [st-1]
        \(strategy)
          gateway:
            tier: execution
            run: [/opt/gateway]
            hosts: [ex-1]
        \(gateway)
        \(services)
        \(streams.isEmpty ? "" : "streams:\n\(streams)")
        """
    }

    func load() throws -> Inventory { try InventoryLoader.load(text: text, file: "fleet.yaml") }

    /// The faults of this fleet; none when it is in order.
    func faults() -> [InventoryError] { FleetInventoryTests.faults(of: text) }
}

func faults(of text: String) -> [InventoryError] {
    do throws(InventoryErrors) {
        _ = try InventoryLoader.load(text: text, file: "fleet.yaml")
        return []
    } catch { return error.errors }
}

/// Demands exactly one fault, at the first place where `at` stands in the text, that says `what` and `instead`.
func expectOne(
    _ text: String, at place: String, _ what: String, _ instead: String, sourceLocation: SourceLocation = #_sourceLocation
) {
    let found = faults(of: text)
    #expect(found.count == 1, "\(found.map(\.description))\n\(text)", sourceLocation: sourceLocation)
    guard let fault = found.first else { return }
    #expect(fault.what.contains(what), "\(fault)", sourceLocation: sourceLocation)
    #expect(fault.instead.contains(instead), "\(fault)", sourceLocation: sourceLocation)
    let position = position(of: place, in: text)
    #expect(position != nil && fault.position == position, "\(fault), expected at \(String(describing: position))", sourceLocation: sourceLocation)
}

/// Where `place` first stands in the text.
func position(of place: String, in text: String) -> SourcePosition? {
    guard let range = text.firstRange(of: place) else { return nil }
    let before = text[..<range.lowerBound]
    let line = before.split(separator: "\n", omittingEmptySubsequences: false)
    return SourcePosition(line: line.count, column: (line.last?.unicodeScalars.count ?? 0) + 1)
}
