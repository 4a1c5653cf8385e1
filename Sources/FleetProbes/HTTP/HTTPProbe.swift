package import FleetCore

/// Asks one question by plain HTTP/1.1, on a connection of its own.
package enum HTTPProbe {
    package static func get(_ url: String, timeout: Duration) throws(ProbeError) -> (status: Int, body: [UInt8]) {
        try request("GET", url, timeout: timeout)
    }

    package static func post(_ url: String, body: [UInt8] = [], timeout: Duration) throws(ProbeError) -> (
        status: Int, body: [UInt8]
    ) {
        try request("POST", url, body: body, timeout: timeout)
    }

    /// Any method. The answer's body is at most 1 MiB; every status is an answer, not an error.
    package static func request(
        _ method: String, _ url: String, body: [UInt8] = [], timeout: Duration
    ) throws(ProbeError) -> (status: Int, body: [UInt8]) {
        let deadline = Deadline(in: timeout)
        let parsed = try HTTPURL(url)
        let connection = try HTTPConnection(parsed.endpoint, by: deadline)
        let answer = try connection.exchange(method, parsed.target, body: body, closing: true, by: deadline)
        return (answer.status, answer.body)
    }

    /// The value that a JSON pointer (RFC 6901) names in the document behind a URL. A status other than 2xx, a body
    /// that is not JSON and a pointer that names nothing are errors: none of them is a value.
    package static func value(_ url: String, pointer: String, timeout: Duration) throws(ProbeError) -> JSON {
        let (status, body) = try get(url, timeout: timeout)
        guard (200..<300).contains(status) else {
            throw ProbeError("read", url, .refused("it answered HTTP \(status)"))
        }
        let document: JSON
        do throws(JSON.ParseError) {
            document = try JSON.parse(body)
        } catch {
            throw ProbeError("read", url, .malformed("\(error)"))
        }
        guard let value = document.at(pointer: pointer) else {
            throw ProbeError("read", url, .absent("its answer holds nothing at \"\(pointer)\""))
        }
        return value
    }
}
