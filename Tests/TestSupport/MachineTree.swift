internal import Glibc
internal import LinuxHost

/// A machine of Tests/Fixtures/hosts, expanded into a directory of its own.
package final class MachineTree {
    package let root: String

    package init(_ name: String) throws {
        root = try makeTestDirectory("machine")
        let text = String(decoding: try Files.read("\(Program.root)/Tests/Fixtures/hosts/\(name).tree", limit: 1 << 20), as: UTF8.self)
        for line in text.split(separator: "\n") {
            guard let tab = line.firstIndex(of: "\t") else { throw LinuxError("understand", "\(name).tree", errno: EINVAL, detail: "no tab: \(line)") }
            let content = line[line.index(after: tab)...]
            if content.hasPrefix("-> ") {
                try link(String(line[..<tab]), to: String(content.dropFirst(3)))
            } else {
                try put(String(line[..<tab]), Self.unescaped(content))
            }
        }
    }

    deinit {
        do { try Files.removeTree(root) } catch { preconditionFailure("\(error)") }
    }

    /// With the newline that files of sysfs end with.
    package func put(_ path: String, _ text: String) throws {
        try makeParent(of: path)
        try Files.writeAtomically(root + path, Array("\(text)\n".utf8), sync: false)
    }

    package func link(_ path: String, to target: String) throws {
        try makeParent(of: path)
        guard symlink(target, root + path) == 0 else { throw LinuxError("link", root + path, errno: errno) }
    }

    private func makeParent(of path: String) throws {
        try Files.makeDirectory("\(root)/\(path.split(separator: "/").dropLast().joined(separator: "/"))")
    }

    package func remove(_ path: String) throws { try Files.removeTree(root + path) }

    package func text(_ path: String) throws -> String { String(decoding: try Files.read(root + path, limit: 1 << 16), as: UTF8.self) }

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
