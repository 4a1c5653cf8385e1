internal import Foundation

/// A real program, run to its end by a test.
package enum Program {
    package struct Output: Sendable {
        package let status: Int32
        /// Standard output and error as they came.
        package let text: String

        package init(status: Int32, text: String) {
            self.status = status
            self.text = text
        }
    }

    /// The checkout.
    package static let root = URL(fileURLWithPath: #filePath).appendingPathComponent("../../..").standardized.path

    /// Where the programs under test are: $TRADING_BIN, else beside the test bundle (.build/debug/tradingPackageTests.xctest).
    package static let bin: String = {
        if let named = ProcessInfo.processInfo.environment["TRADING_BIN"] { return named }
        var url = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
        while url.path != "/" {
            if FileManager.default.isExecutableFile(atPath: url.appendingPathComponent("trading-agent").path) { return url.path }
            url.deleteLastPathComponent()
        }
        return root + "/.build/debug"
    }()

    /// `environment` comes on top of the test's own; without `input` the program reads nothing.
    package static func run(_ path: String, _ arguments: [String], environment: [String: String] = [:], input: String? = nil) throws -> Output {
        let process = Process()
        let output = Pipe()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardOutput = output
        process.standardError = output
        if let input {
            let pipe = Pipe()
            process.standardInput = pipe
            try process.run()
            pipe.fileHandleForWriting.write(Data(input.utf8))
            try pipe.fileHandleForWriting.close()
        } else {
            process.standardInput = FileHandle.nullDevice
            try process.run()
        }
        let data = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return Output(status: process.terminationStatus, text: String(decoding: data, as: UTF8.self))
    }
}
