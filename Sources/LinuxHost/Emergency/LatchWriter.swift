internal import CLinux
internal import FleetCore
internal import Glibc
internal import Synchronization

/// Writes one latch into several directories on a thread of its own, so that no disk can hold up a kill.
///
/// A thread that a disk never lets go is left behind.
final class LatchWriter: Sendable {
    private let latch: LatchFile
    private let directories: [String]
    /// A byte a directory, when it is done: what others wait on.
    private let done: [Int32]
    private let written: Mutex<[LocalEmergencyStop.LatchWrite]> = Mutex([])

    static func start(_ latch: LatchFile, directories: [String]) -> LatchWriter {
        let writer = LatchWriter(latch, directories)
        // The thread's own reference, which it gives back at its end.
        let held = Unmanaged.passRetained(writer)
        var attributes = pthread_attr_t()
        var thread = pthread_t()
        pthread_attr_init(&attributes)
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        let error = pthread_create(
            &thread, &attributes,
            { held in
                if let held { Unmanaged<LatchWriter>.fromOpaque(held).takeRetainedValue().write() }
                return nil
            }, held.toOpaque())
        pthread_attr_destroy(&attributes)
        if error != 0 { held.release() }
        writer.hasThread.withLock { $0 = error == 0 }
        return writer
    }

    private let hasThread = Mutex(false)

    private init(_ latch: LatchFile, _ directories: [String]) {
        self.latch = latch
        self.directories = directories
        var ends: [Int32] = [-1, -1]
        done = clinux_pipe(&ends) == 0 ? ends : []
    }

    deinit { for end in done { close(end) } }

    /// In the order of the directories; one that is not done yet says so.
    var results: [LocalEmergencyStop.LatchWrite] {
        let written = written.withLock { $0 }
        return written
            + directories.dropFirst(written.count).map {
                let late = LinuxError("write", "\($0)/\(latch.id)", errno: ETIMEDOUT, detail: "the disk has not answered yet")
                return LocalEmergencyStop.LatchWrite(path: "\($0)/\(latch.id)", error: late)
            }
    }

    func waitForFirst(until deadline: BootTime) { wait(for: 1, until: deadline) }
    func waitForAll(until deadline: BootTime) { wait(for: directories.count, until: deadline) }

    private func wait(for count: Int, until deadline: BootTime) {
        // No thread: the kill is over by now, and waiting for a disk does no more harm.
        if done.isEmpty || !hasThread.withLock({ $0 }) {
            if written.withLock({ $0.isEmpty }) { write() }
            return
        }
        while written.withLock({ $0.count }) < count {
            var polled = [pollfd(fd: done[0], events: Int16(POLLIN), revents: 0)]
            do {
                if try Descriptors.wait(&polled, until: deadline) == 0 { return }
            } catch {
                return  // what is unwritten is reported as such
            }
            var byte: UInt8 = 0
            _ = read(done[0], &byte, 1)
        }
    }

    private func write() {
        for (index, directory) in directories.enumerated() {
            var failure: LinuxError?
            // The first is the run directory, a tmpfs.
            do { try latch.write(directory: directory, sync: index > 0) } catch { failure = error }
            let result = LocalEmergencyStop.LatchWrite(path: "\(directory)/\(latch.id)", error: failure)
            written.withLock { $0.append(result) }
            if done.count == 2 {
                var byte: UInt8 = 1
                _ = Glibc.write(done[1], &byte, 1)
            }
        }
    }
}
