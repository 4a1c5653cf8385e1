import FleetCore
import Foundation
import LinuxHost

/// supervisord, over its XML-RPC socket.
final class SupervisordPeer: BenchPeer {
    static let name = "supervisord"
    static let package = "supervisor"
    private static let program = "/usr/bin/supervisord"
    static var isInstalled: Bool { Program.isInstalled(program) }

    private let directory: String
    private var process: Process?

    init(directory: String, floor: String, started: String, workers: Int) throws {
        self.directory = directory
        let command = "\(floor) worker --exit-after-term-ms 50 --started \(started)"
        let text = """
            [unix_http_server]
            file=\(directory)/s
            [supervisord]
            nodaemon=true
            user=\(NSUserName())
            logfile=\(directory)/log
            pidfile=\(directory)/pid
            minfds=4096
            [rpcinterface:supervisor]
            supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
            [program:w]
            command=\(command)
            process_name=%(program_name)s%(process_num)d
            numprocs=\(workers)
            autorestart=false
            stdout_logfile=NONE
            stderr_logfile=NONE
            [program:r]
            command=\(command) --restarted
            autorestart=true
            startretries=1000
            stdout_logfile=NONE
            stderr_logfile=NONE

            """
        try Files.writeAtomically("\(directory)/conf", Array(text.utf8), sync: false)
    }

    func begin() throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Self.program)
        process.arguments = ["-c", "\(directory)/conf"]
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.start()
        self.process = process
    }

    /// One call; its answer comes when it is done, which is waited for only where asked.
    private func call(_ method: String, _ parameters: [String], wait: Bool) throws {
        let values = parameters.map { "<param><value>\($0)</value></param>" }.joined()
        let body = "<?xml version=\"1.0\"?><methodCall><methodName>supervisor.\(method)</methodName><params>\(values)</params></methodCall>"
        let request = try OpenRequest(directory: directory, socket: "s", "POST /RPC2 HTTP/1.1", body: body, type: "text/xml")
        pending = request
        guard wait else { return }
        let answer = request.answer()
        guard answer.contains("200 OK"), !answer.contains("<fault>") else {
            throw BenchHost.Failure(description: "supervisord refuses \(method): \(answer.suffix(300))")
        }
    }

    /// Closing it would be taken for the client's loss of interest.
    private var pending: OpenRequest?

    func startAll() throws { try call("startProcessGroup", ["<string>w</string>", "<boolean>0</boolean>"], wait: true) }
    func killAll() throws { try call("signalProcessGroup", ["<string>w</string>", "<string>KILL</string>"], wait: false) }
    func stopAll() throws { try call("stopProcessGroup", ["<string>w</string>", "<boolean>0</boolean>"], wait: false) }
    func processes() throws -> [Int32] { [process?.processIdentifier ?? 0] }

    func end() {
        pending = nil
        // SIGTERM stops its workers, then itself.
        process?.terminate()
        process?.waitUntilExit()
    }
}
