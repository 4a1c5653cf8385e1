internal import FleetCore

/// The kernel's own command line (/proc/cmdline, bootparam(7)): no process's.
enum KernelCommandLine {
    static func read(_ tree: HostTree) throws(LinuxError) -> [String] { words(try tree.text("/proc/cmdline")) }

    /// Double quotes protect spaces, as the kernel reads them.
    static func words(_ text: String) -> [String] {
        var words: [String] = []
        var word = ""
        var quoted = false
        for character in text {
            if character == "\"" { quoted.toggle() }
            if !quoted, character == " " || character == "\t" || character == "\n" {
                if !word.isEmpty { words.append(word) }
                word = ""
            } else {
                word.append(character)
            }
        }
        if !word.isEmpty { words.append(word) }
        return words
    }

    /// The last one said counts.
    static func value(of key: String, in words: [String]) -> String? {
        words.last { $0.hasPrefix("\(key)=") }.map { String($0.dropFirst(key.utf8.count + 1)) }
    }

    /// `4-15`, `all`, `8-N` (kernel-parameters.rst, "cpu lists"); nil for anything else, strides included.
    static func cpus(_ list: String, last: Int?) -> CPUList? {
        guard let last else { return CPUList(list) }
        if list == "all" { return CPUList(0...last) }
        return CPUList(
            list.split(separator: ",", omittingEmptySubsequences: false).map { $0.hasSuffix("N") ? "\($0.dropLast())\(last)" : String($0) }
                .joined(separator: ","))
    }
}
