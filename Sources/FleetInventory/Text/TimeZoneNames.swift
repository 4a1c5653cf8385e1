import Glibc

/// The names of time zones that this system's zone database has.
enum TimeZoneNames {
    /// Nil where the system has no database, or keeps no list of it: then no name can be called wrong.
    ///
    /// From `tzdata.zi`, the compact source that comes with the database: `Z NAME …` begins a zone, `L ZONE NAME` gives it
    /// another name (zic(8)).
    static func system(_ path: String = "/usr/share/zoneinfo/tzdata.zi") -> [String]? {
        guard let file = fopen(path, "re") else { return nil }
        defer { fclose(file) }
        var names: [String] = []
        var buffer = [CChar](repeating: 0, count: 512)
        while fgets(&buffer, Int32(buffer.count), file) != nil {
            let line = String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            let words = line.split(whereSeparator: { $0 == " " || $0 == "\n" })
            switch (words.first, words.count) {
            case ("Z", 2...): names.append(String(words[1]))
            case ("L", 3): names.append(String(words[2]))
            default: break
            }
        }
        return names.isEmpty ? nil : names
    }
}
