/// What a stop has shown, and why it is not more.
package struct StopVerdict: Equatable, Sendable {
    package var verdict: Verdict
    /// One sentence each, the worst first; empty only when proven.
    package var because: [String]

    package init(verdict: Verdict, because: [String]) {
        self.verdict = verdict
        self.because = because
    }
}
