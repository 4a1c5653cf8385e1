import ArgumentParser
import FleetClient

struct ExplainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain", abstract: "Says what a word in [brackets] means, and what to do about it.")

    @Argument(help: ArgumentHelp("The word; none: all of them.", valueName: "slug"))
    var slug: String?

    @OptionGroup var global: GlobalOptions

    func run() throws {
        guard let slug else {
            Terminal.out(Explanations.all.map(\.slug))
            return
        }
        let word = slug.drop { $0 == "[" }.prefix { $0 != "]" }
        guard let text = Explanations.text(String(word)) else {
            let near = Explanations.all.map(\.slug).filter { $0.contains(word) || word.contains($0) }
            throw Failure(
                "\"\(word)\" is no word of ours (if it is the name of a gate of your inventory: trading explain gate)\(near.isEmpty ? "" : "; near it: \(near.joined(separator: ", "))").  trading explain  lists them",
                .usage)
        }
        Terminal.out(ScreenText.wrapped("[\(word)]  \(text)", width: Terminal.style.width, indent: "  "))
    }
}
