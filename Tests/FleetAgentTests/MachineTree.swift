import Glibc
import LinuxHost
import Testing

/// A machine of Tests/Fixtures/hosts, expanded into a directory of its own.
final class MachineTree {
    let root: String

    init(_ name: String, file: StaticString = #filePath) throws {
        var template = Array("/tmp/machine-test-XXXXXX".utf8CString)
        root = String(cString: try #require(mkdtemp(&template)))
        let tests = "\(file)".split(separator: "/").dropLast(2).joined(separator: "/")
        let text = String(decoding: try Files.read("/\(tests)/Fixtures/hosts/\(name).tree", limit: 1 << 20), as: UTF8.self)
        for line in text.split(separator: "\n") {
            let tab = try #require(line.firstIndex(of: "\t"))
            let content = line[line.index(after: tab)...]
            if content.hasPrefix("-> ") {
                try link(String(line[..<tab]), to: String(content.dropFirst(3)))
            } else {
                try put(String(line[..<tab]), Self.unescaped(content))
            }
        }
    }

    deinit {
        do { try Files.removeTree(root) } catch { Issue.record(error) }
    }

    /// With the newline that files of sysfs end with.
    func put(_ path: String, _ text: String) throws {
        try Files.makeDirectory(parent(path))
        try Files.writeAtomically(root + path, Array("\(text)\n".utf8), sync: false)
    }

    func link(_ path: String, to target: String) throws {
        try Files.makeDirectory(parent(path))
        try #require(symlink(target, root + path) == 0)
    }

    private func parent(_ path: String) -> String { (root + path).split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" } }

    func remove(_ path: String) throws { try Files.removeTree(root + path) }

    func text(_ path: String) throws -> String { String(decoding: try Files.read(root + path, limit: 1 << 16), as: UTF8.self) }

    private static func unescaped(_ text: Substring) -> String {
        var plain = ""
        var escaped = false
        for character in text {
            if escaped {
                plain.append(character == "n" ? "\n" : character)
                escaped = false
            } else if character == "\\" {
                escaped = true
            } else {
                plain.append(character)
            }
        }
        return plain
    }
}
