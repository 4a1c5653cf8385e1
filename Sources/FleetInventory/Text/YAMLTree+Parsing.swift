import FleetCore
import Yams

extension YAMLTree {
    /// Parses one document.
    ///
    /// nil: the text is not YAML at all, which is then the last fault.
    ///
    /// Refused with their places: anchors (and so aliases), tags, merge keys, repeated keys, keys that aren't texts.
    static func parse(_ text: String, faults: Faults) -> YAMLTree? {
        var reader = YAMLSource(text: text, faults: faults)
        return reader.tree()
    }
}

/// The text of one file on its way through Yams.
///
/// Yams gives up at the first mapping with a repeated key and names no more than that key's first place. So that the rest of
/// the file is read nevertheless, the first of the repeated keys gets another first letter (same length: places stay true)
/// and the text is parsed again; the tree then has the key as it was written, and finds the repetition itself.
private struct YAMLSource {
    let faults: Faults
    /// The lines as Unicode scalars: libyaml's columns.
    private var lines: [[Unicode.Scalar]]
    /// What stood where a first letter was replaced.
    private var replaced: [SourcePosition: Unicode.Scalar] = [:]

    /// More repeated keys than this are not looked for.
    private static let retriesMax = 64

    init(text: String, faults: Faults) {
        self.faults = faults
        self.lines = [[]]
        // CRLF is one Character but two scalars; libyaml breaks lines at CR, LF, CRLF, and (1.1) NEL, LS, PS.
        var previous: Unicode.Scalar?
        for scalar in TextLines.withoutMark(text).unicodeScalars {
            if previous == "\r", scalar == "\n" {
                lines[lines.count - 2].append(scalar)
            } else {
                lines[lines.count - 1].append(scalar)
                if ["\n", "\r", "\u{85}", "\u{2028}", "\u{2029}"].contains(scalar) { lines.append([]) }
            }
            previous = scalar
        }
    }

    mutating func tree() -> YAMLTree? {
        for _ in 0..<Self.retriesMax {
            var text = String.UnicodeScalarView()
            for line in lines { text.append(contentsOf: line) }
            do {
                let parser = try Parser(yaml: String(text), encoding: .utf8)
                guard let root = try parser.singleRoot() else {
                    faults.add(.start, "the file is empty", "write at least fleet, coordinators, tiers, hosts and services")
                    return nil
                }
                return convert(root)
            } catch YamlError.duplicatedKeysInMapping(let duplicates, let context) {
                let place = SourcePosition(line: context.mark.line, column: context.mark.column)
                guard replaceFirstLetter(at: place) else {
                    faults.add(place, "the key \(duplicates.first ?? "here") stands twice", "write it once")
                    return nil
                }
            } catch {
                report(error)
                return nil
            }
        }
        for (place, letter) in replaced.sorted(by: { ($0.key.line, $0.key.column) < ($1.key.line, $1.key.column) }) {
            faults.add(place, "the key \(key(at: place, beginning: letter)) stands twice", "write it once")
        }
        faults.add(.start, "more than \(Self.retriesMax) keys stand twice: the rest is not listed", "correct these and check again")
        return nil
    }

    /// As it was written, up to what ends a key.
    private func key(at place: SourcePosition, beginning letter: Unicode.Scalar) -> String {
        let rest = lines[place.line - 1].dropFirst(place.column).prefix { ![":", "\"", "'", ",", "}", "\n", "\r"].contains($0) }
        return String(String.UnicodeScalarView([letter] + rest))
    }

    private mutating func replaceFirstLetter(at place: SourcePosition) -> Bool {
        guard let opening = scalar(at: place) else { return false }
        var place = place
        if opening == "\"" || opening == "'" { place.column += 1 }
        guard let letter = scalar(at: place), letter != "\\", letter != "\"", letter != "'", replaced[place] == nil,
            let stand_in = Unicode.Scalar(0xF0000 + UInt32(replaced.count))
        else { return false }
        lines[place.line - 1][place.column - 1] = stand_in
        replaced[place] = letter
        return true
    }

    private func scalar(at place: SourcePosition) -> Unicode.Scalar? {
        guard lines.indices.contains(place.line - 1), lines[place.line - 1].indices.contains(place.column - 1) else { return nil }
        return lines[place.line - 1][place.column - 1]
    }

    private func report(_ error: any Error) {
        switch error {
        case YamlError.scanner(_, let problem, let mark, _), YamlError.parser(_, let problem, let mark, _):
            faults.add(
                SourcePosition(line: mark.line, column: mark.column), "this is not YAML: \(problem)",
                "write a value in quotes if it holds : # { } [ ] , or starts with a special character, and indent by spaces")
        case YamlError.composer(_, let problem, let mark, _) where problem.contains("alias"):
            faults.add(SourcePosition(line: mark.line, column: mark.column), "aliases are not allowed", "write the value itself, or use like:")
        case YamlError.composer(_, let problem, let mark, _):
            faults.add(
                SourcePosition(line: mark.line, column: mark.column), "this is not one YAML document: \(problem)",
                "write one document per file")
        case YamlError.reader(let problem, let offset, _, let yaml):
            var place = SourcePosition.start
            for scalar in yaml.prefix(offset ?? 0).unicodeScalars {
                if scalar == "\n" { place = SourcePosition(line: place.line + 1, column: 1) } else { place.column += 1 }
            }
            faults.add(place, "this can't be read: \(problem)", "write plain UTF-8 text")
        default:
            faults.add(.start, "this can't be parsed: \(error)", "write plain YAML")
        }
    }

    // MARK: From Yams' nodes

    private func convert(_ node: Node) -> YAMLTree {
        let place = node.mark.map { SourcePosition(line: $0.line, column: $0.column) } ?? .start
        // A node that carries an anchor or a tag starts with it; no plain text may start with these characters.
        switch scalar(at: place) {
        case "&":
            faults.add(place, "anchors and aliases are not allowed", "write the value itself, or use like:")
            return YAMLTree(position: place, content: .refused)
        case "!":
            faults.add(place, "tags are not allowed", "write the value without it: its type follows from its key")
            return YAMLTree(position: place, content: .refused)
        default: break
        }
        switch node {
        case .scalar(let scalar):
            if scalar.string.utf8.contains(0) {
                faults.add(place, "a text with a NUL character", "write it without")
                return YAMLTree(position: place, content: .refused)
            }
            return YAMLTree(position: place, content: .scalar(restored(scalar.string, at: place), plain: scalar.style == .plain))
        case .sequence(let items):
            return YAMLTree(position: place, content: .list(items.map(convert)))
        case .mapping(let pairs):
            return YAMLTree(position: place, content: .map(entries(of: pairs)))
        case .alias:
            return YAMLTree(position: place, content: .refused)
        }
    }

    private func entries(of pairs: Node.Mapping) -> [YAMLTree.Entry] {
        var entries: [YAMLTree.Entry] = []
        var places: [String: SourcePosition] = [:]
        for (keyNode, valueNode) in pairs {
            let key = convert(keyNode)
            switch key.content {
            case .scalar("<<", plain: true):
                faults.add(key.position, "merge keys (<<) are not allowed", "write the keys themselves, or use like:")
            case .scalar(let name, _):
                if let first = places[name] {
                    faults.add(key.position, "\(name) stands twice, first in line \(first.line)", "write it once")
                } else {
                    places[name] = key.position
                    entries.append(YAMLTree.Entry(key: name, keyPosition: key.position, value: convert(valueNode)))
                }
            case .list, .map:
                faults.add(key.position, "a key that is \(key.kind)", "write a name as the key")
            case .refused: break
            }
        }
        return entries
    }

    /// The text with the letter that `replaceFirstLetter` took.
    private func restored(_ text: String, at place: SourcePosition) -> String {
        for column in [place.column, place.column + 1] {
            guard let letter = replaced[SourcePosition(line: place.line, column: column)],
                let first = text.unicodeScalars.first, first.value >= 0xF0000
            else { continue }
            var scalars = text.unicodeScalars
            scalars.replaceSubrange(scalars.startIndex...scalars.startIndex, with: [letter])
            return String(scalars)
        }
        return text
    }
}
