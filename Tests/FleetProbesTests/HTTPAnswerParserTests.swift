import FleetProbes
import Testing

@Suite("HTTP answers and addresses")
struct HTTPAnswerParserTests {
    static let two =
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nhello"
        + "HTTP/1.1 503 Busy\r\ntransfer-encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nT: 1\r\n\r\n"

    @Test("two answers on one connection are told apart however they are cut", arguments: [1, 2, 5, 1_000])
    func pieces(size: Int) throws {
        var parser = HTTPAnswerParser()
        var found: [HTTPAnswer] = []
        var rest = Array(Self.two.utf8)
        while !rest.isEmpty {
            parser.append(Array(rest.prefix(size)))
            rest.removeFirst(min(size, rest.count))
            while let answer = try parser.next() { found.append(answer) }
        }
        #expect(found.map(\.status) == [200, 503])
        #expect(found.map { String(decoding: $0.body, as: UTF8.self) } == ["hello", "abcde"])
        #expect(found.first?.header("x") == "y")
        #expect(parser.isReusable)
    }

    @Test("a body without a length ends with the connection")
    func untilEnd() throws {
        var parser = HTTPAnswerParser()
        parser.append(Array("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n\r\nrest".utf8))
        #expect(try parser.next() == nil)
        #expect(try parser.next(ended: true)?.body == Array("rest".utf8))
        #expect(!parser.isReusable)
    }

    @Test("a truncated body is no answer")
    func truncated() throws {
        var parser = HTTPAnswerParser()
        parser.append(Array("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".utf8))
        #expect(try parser.next(ended: true) == nil)
    }

    @Test(
        "malformed or oversized answers are refused",
        arguments: [
            "-ERR unknown command\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        ])
    func malformed(text: String) {
        var parser = HTTPAnswerParser()
        parser.append(Array(text.utf8))
        #expect(throws: ProbeError.self) { while try parser.next() != nil {} }
    }

    @Test("addresses are IP literals with a port")
    func endpoints() throws {
        #expect(try Endpoint("127.0.0.1:6379").description == "127.0.0.1:6379")
        #expect(try Endpoint("[::1]:80").description == "[::1]:80")
        #expect(try Endpoint("localhost", defaultPort: 6379).description == "127.0.0.1:6379")
        for bad in ["", "127.0.0.1", "redis.example:6379", "127.0.0.1:0", "127.0.0.1:70000", "[::1]80", "1.2.3:4"] {
            #expect(throws: ProbeError.self, "\(bad)") { _ = try Endpoint(bad) }
        }
        #expect(try Endpoint("127.8.0.1:1").isLoopback)
        #expect(try !Endpoint("10.0.0.1:1").isLoopback)
    }

    @Test("URLs are plain HTTP to an address")
    func urls() throws {
        #expect(try HTTPURL("http://127.0.0.1:8081/orders?owner=a").target == "/orders?owner=a")
        #expect(try HTTPURL("http://127.0.0.1").description == "http://127.0.0.1:80/")
        for bad in [
            "https://127.0.0.1/", "127.0.0.1:80", "http://127.0.0.1/a b", "http://127.0.0.1/\r\nX: y",
            "http://a@127.0.0.1/", "http://venue.example/",
        ] {
            #expect(throws: ProbeError.self, "\(bad)") { _ = try HTTPURL(bad) }
        }
        #expect(HTTPURL.encodedQueryValue("a b'&=é") == "a%20b%27%26%3D%C3%A9")
    }
}
