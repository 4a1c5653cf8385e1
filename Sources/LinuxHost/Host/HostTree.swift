internal import FleetCore
internal import Glibc

/// Small text files of /proc and /sys below a root, and what of them could not be read.
struct HostTree {
    /// Empty: the real one.
    let root: String
    /// One sentence per kind of reading that failed, with the first failure and how many more there were.
    private var failures: [(kind: String, first: String, count: Int)] = []

    init(root: String) { self.root = root }

    var notes: [String] {
        failures.map { $0.count == 1 ? "\($0.kind): \($0.first)" : "\($0.kind): \($0.first), and \($0.count - 1) more" }
    }

    mutating func note(_ kind: String, _ text: String) {
        if let index = failures.firstIndex(where: { $0.kind == kind }) {
            failures[index].count += 1
        } else {
            failures.append((kind, text, 1))
        }
    }

    /// nil after a failure, which is noted.
    mutating func attempt<Value>(_ kind: String, _ step: (HostTree) throws(LinuxError) -> Value) -> Value? {
        do throws(LinuxError) {
            return try step(self)
        } catch {
            note(kind, error.description)
            return nil
        }
    }

    func exists(_ path: String) -> Bool { Files.exists(root + path) }

    /// Without the white space at both ends.
    func text(_ path: String, limit: Int = 64 * 1024) throws(LinuxError) -> String {
        let bytes = try Files.read(root + path, limit: limit)
        let blank: (UInt8) -> Bool = { $0 == 10 || $0 == 32 || $0 == 9 || $0 == 0 }
        let trimmed = bytes.drop(while: blank)
        let end = trimmed.lastIndex { !blank($0) }.map { $0 + 1 } ?? trimmed.startIndex
        return String(decoding: trimmed[..<end], as: UTF8.self)
    }

    /// nil where there is no such file.
    func textIfPresent(_ path: String) throws(LinuxError) -> String? {
        do throws(LinuxError) {
            return try text(path)
        } catch {
            if error.errno == ENOENT || error.errno == ENOTDIR { return nil }
            throw error
        }
    }

    func number<Number: FixedWidthInteger>(_ path: String) throws(LinuxError) -> Number {
        guard let number = Number(try text(path)) else { throw misunderstood(path) }
        return number
    }

    /// An empty file is an empty list; so is `(null)`, which nohz_full says of an unset mask.
    func cpus(_ path: String) throws(LinuxError) -> CPUList {
        let text = try text(path)
        if text.isEmpty || text == "(null)" { return .none }
        guard let cpus = CPUList(text) else { throw misunderstood(path) }
        return cpus
    }

    /// Names that begin with `prefix` and a number, by number.
    func numbered(_ directory: String, prefix: String) throws(LinuxError) -> [Int] {
        try Files.list(root + directory).compactMap { $0.hasPrefix(prefix) ? Int($0.dropFirst(prefix.utf8.count)) : nil }.sorted()
    }

    /// What a symbolic link says.
    func link(_ path: String) throws(LinuxError) -> String { try Files.link(root + path) }

    func misunderstood(_ path: String) -> LinuxError { LinuxError("understand", root + path, errno: EINVAL) }
}

extension Files {
    /// readlink(2).
    package static func link(_ path: String) throws(LinuxError) -> String {
        var failed = false
        let target = String(unsafeUninitializedCapacity: 4_096) { buffer in
            buffer.withMemoryRebound(to: CChar.self) { characters in
                let length = characters.baseAddress.map { readlink(path, $0, characters.count) } ?? -1
                failed = length < 0
                return max(0, length)
            }
        }
        if failed { throw .last("read the link", path) }
        return target
    }

    /// Into a file that exists: what /proc and /sys take as one write(2).
    package static func overwrite(_ path: String, _ text: String) throws(LinuxError) {
        let descriptor = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC)
        guard descriptor >= 0 else { throw .last("open for writing", path) }
        defer { close(descriptor) }
        let bytes = Array(text.utf8)
        let put = uninterrupted { write(descriptor, bytes, bytes.count) }
        if put < 0 { throw .last("write", path) }
        guard put == bytes.count else { throw LinuxError("write", path, errno: EIO) }
    }
}
