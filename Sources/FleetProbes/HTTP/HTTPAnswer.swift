/// A complete HTTP/1.1 response.
package struct HTTPAnswer: Equatable, Sendable {
    package var status: Int
    /// Names in lower case, in the order received.
    package var headers: [Header]
    package var body: [UInt8]

    package struct Header: Equatable, Sendable {
        package var name: String
        package var value: String

        package init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    package init(status: Int, headers: [Header], body: [UInt8]) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// The first value of a header, named in lower case.
    package func header(_ name: String) -> String? { headers.first { $0.name == name }?.value }

    package var isSuccess: Bool { (200..<300).contains(status) }
}
