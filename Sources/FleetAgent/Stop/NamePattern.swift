/// File name patterns with `*` and `?`, as `keeps:` has them.
enum NamePattern {
    static func matches(_ pattern: String, _ name: String) -> Bool {
        let (pattern, name) = (Array(pattern), Array(name))
        var (p, n) = (0, 0)
        // Where the last star stands, and how much of the name it has taken.
        var star: Int?
        var taken = 0
        while n < name.count {
            if p < pattern.count, pattern[p] == "*" {
                star = p
                taken = n
                p += 1
            } else if p < pattern.count, pattern[p] == "?" || pattern[p] == name[n] {
                p += 1
                n += 1
            } else if let star {
                taken += 1
                n = taken
                p = star + 1
            } else {
                return false
            }
        }
        return pattern[p...].allSatisfy { $0 == "*" }
    }
}
