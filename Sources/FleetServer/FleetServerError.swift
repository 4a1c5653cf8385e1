/// Why the API could not be served at start.
package struct FleetServerError: Error, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}
