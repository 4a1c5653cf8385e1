import ArgumentParser
import FleetAPI
import FleetClient
import FleetInventory
import Glibc

/// An end with a text and a status of its own.
struct Failure: Error {
    let text: String
    let status: ExitStatus

    init(_ text: String, _ status: ExitStatus) {
        self.text = text
        self.status = status
    }

    /// Ends the process with a status and nothing to say.
    static func quietly(_ status: ExitStatus) -> Failure { Failure("", status) }

    /// Prints what an operator can act on and ends the process.
    static func end(_ error: any Error) -> Never {
        switch error {
        case let failure as Failure: end(failure.text, failure.status)
        case let problem as APIProblem: end(problem.screen, ExitStatus(slug: problem.slug))
        case let error as FleetClientSettingsError: end(error.description, .usage)
        case let errors as InventoryErrors: end(errors.description, .usage)
        default:
            let code = Trading.exitCode(for: error)
            if code.isSuccess {
                Terminal.out([Trading.fullMessage(for: error)])
                exit(0)
            }
            // ArgumentParser's own words for what it could not parse; everything else describes itself.
            let isUsage = code == .validationFailure
            end(isUsage ? Trading.fullMessage(for: error) : String(describing: error), isUsage ? .usage : .failed)
        }
    }

    private static func end(_ text: String, _ status: ExitStatus) -> Never {
        if !text.isEmpty { Terminal.err([text]) }
        exit(status.rawValue)
    }
}
