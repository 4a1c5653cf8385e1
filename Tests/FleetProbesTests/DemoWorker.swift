import FleetProbes
import Glibc
import Testing

/// A worker of `trading-demo`, started as a supervisor would: with a notify socket that is read.
final class DemoWorker {
    let process: RunningProcess
    private(set) var said: [String: String] = [:]
    private let socketFile: Int32

    /// The program, beside the test binary.
    static func program() throws -> String {
        var buffer = [CChar](repeating: 0, count: 4_096)
        let length = readlink("/proc/self/exe", &buffer, buffer.count)
        try #require(length > 0)
        let path = String(decoding: buffer.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let directory = path.split(separator: "/").dropLast().joined(separator: "/")
        let program = "/\(directory)/trading-demo"
        try #require(access(program, X_OK) == 0, "\(program) is not built: swift build --product trading-demo")
        return program
    }

    init(_ arguments: [String], in directory: ScratchDirectory) throws {
        socketFile = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        let name = "\(directory.path)/\(UInt32.random(in: 0 ... .max)).n"
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name.utf8) }
        let file = socketFile
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(file, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(bound == 0)
        process = try RunningProcess(try Self.program(), arguments, environment: ["NOTIFY_SOCKET": name])
    }

    deinit { close(socketFile) }

    func number(_ key: String) -> Int { said[key].flatMap { Int($0) } ?? -1 }

    /// Reads notifications until the condition holds; false: it did not within the bound.
    func waits(within limit: Duration = .seconds(20), until holds: (DemoWorker) -> Bool) -> Bool {
        let deadline = Deadline(in: limit)
        while !holds(self) {
            var entry = pollfd(fd: socketFile, events: Int16(POLLIN), revents: 0)
            guard poll(&entry, 1, deadline.pollMilliseconds) > 0 else { return false }
            read()
        }
        return true
    }

    /// Ends it and reads its last words.
    func stopped(by number: Int32 = SIGTERM) -> Int32? {
        process.signal(number)
        // Read meanwhile: its last words wait for room in the queue.
        let deadline = Deadline(in: .seconds(20))
        while !deadline.isPast {
            var entry = pollfd(fd: socketFile, events: Int16(POLLIN), revents: 0)
            while poll(&entry, 1, 0) > 0 { read() }
            if let code = process.ended(within: .milliseconds(5)) {
                while poll(&entry, 1, 0) > 0 { read() }
                return code
            }
        }
        return nil
    }

    private func read() {
        var buffer = [UInt8](repeating: 0, count: 8_192)
        let count = recv(socketFile, &buffer, buffer.count, 0)
        for line in String(decoding: buffer.prefix(max(0, count)), as: UTF8.self).split(separator: "\n") {
            let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 { said[String(parts[0])] = String(parts[1]) }
        }
    }
}
