import FleetCore
import Glibc
import LinuxHost
import Testing

/// A directory of its own for one test, gone with it.
final class Scratch: Sendable {
    let path: String

    init() throws {
        var template = Array("/tmp/trading-agent-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw LinuxError("make a directory like", "/tmp/trading-agent-XXXXXX", errno: errno) }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        do { try Files.removeTree(path) } catch { Issue.record("\(error)") }
    }

    @discardableResult
    func write(_ name: String, _ text: String, mode: UInt32 = 0o644) throws -> String {
        let file = "\(path)/\(name)"
        try Files.makeDirectory(String(file[..<(file.lastIndex(of: "/") ?? file.endIndex)]), mode: 0o755)
        try Files.writeAtomically(file, Array(text.utf8), mode: mode, sync: false)
        return file
    }

    func append(_ name: String, _ text: String) throws {
        let file = "\(path)/\(name)"
        let descriptor = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw LinuxError("open", file, errno: errno) }
        defer { close(descriptor) }
        guard Glibc.write(descriptor, text, text.utf8.count) == text.utf8.count else { throw LinuxError("write", file, errno: errno) }
    }

    @discardableResult
    func link(_ name: String, to target: String) throws -> String {
        guard symlink(target, "\(path)/\(name)") == 0 else { throw LinuxError("link", "\(path)/\(name)", errno: errno) }
        return "\(path)/\(name)"
    }
}

/// Waits until a level is reached; false when it isn't within the bound.
func eventually(within bound: Duration = .seconds(20), _ holds: () throws -> Bool) rethrows -> Bool {
    let deadline = Clock.boottime() + bound
    while try !holds() {
        guard Clock.boottime() < deadline else { return false }
        poll(nil, 0, 2)
    }
    return true
}
