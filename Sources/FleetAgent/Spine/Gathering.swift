/// Answers that come in any order, until all are there.
///
/// `@unchecked Sendable`: touched on the agent's loop only.
final class Gathering<Answer: Sendable>: @unchecked Sendable {
    private var answers: [Answer?]
    private var left: Int

    init(_ count: Int) {
        answers = Array(repeating: nil, count: count)
        left = count
    }

    /// All answers in their order once this is the last of them.
    func take(_ answer: Answer, at index: Int) -> [Answer]? {
        if answers[index] == nil { left -= 1 }
        answers[index] = answer
        return left == 0 ? answers.compactMap { $0 } : nil
    }
}
