/// A set of CPU numbers, written as the kernel writes them: `0-1,4` (cpuset(7), "List format"). CPUs 0 to 1023.
package struct CPUList: Hashable, Sendable, CustomStringConvertible {
    /// Sorted, without repeats.
    package let cpus: [Int]

    package static let limit = 1024  // the kernel's CPU_SETSIZE, what sched_setaffinity(2) masks here hold

    package init(_ cpus: some Sequence<Int>) {
        self.cpus = Array(Set(cpus)).sorted()
    }

    /// Parses the list format; nil for anything else, for numbers past 1023 and for ranges that run backwards.
    package init?(_ text: String) {
        var found: [Int] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let ends = part.split(separator: "-", omittingEmptySubsequences: false)
            guard (1...2).contains(ends.count), let from = Self.number(ends[0]), let to = Self.number(ends[ends.count - 1]),
                from <= to
            else { return nil }
            found.append(contentsOf: from...to)
        }
        self.init(found)
    }

    package var isEmpty: Bool { cpus.isEmpty }

    package func contains(_ cpu: Int) -> Bool { cpus.contains(cpu) }

    package func intersection(_ other: CPUList) -> CPUList { CPUList(Set(cpus).intersection(other.cpus)) }

    package func union(_ other: CPUList) -> CPUList { CPUList(cpus + other.cpus) }

    package var description: String {
        var parts: [String] = []
        var start = 0
        while start < cpus.count {
            var end = start
            while end + 1 < cpus.count, cpus[end + 1] == cpus[end] + 1 { end += 1 }
            parts.append(start == end ? "\(cpus[start])" : "\(cpus[start])-\(cpus[end])")
            start = end + 1
        }
        return parts.joined(separator: ",")
    }

    private static func number(_ text: Substring) -> Int? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (48...57).contains($0) }), let value = Int(text), value < limit else {
            return nil
        }
        return value
    }
}
