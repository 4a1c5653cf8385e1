internal import Glibc
internal import LinuxHost

/// A new directory of one test; whoever asked for it removes it.
package func makeTestDirectory(_ kind: String) throws -> String {
    var template = Array("/tmp/trading-\(kind)-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw LinuxError("make a directory like", "/tmp/trading-\(kind)-XXXXXX", errno: errno) }
    return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
