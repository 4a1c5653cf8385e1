internal import LinuxHost
internal import NIOCore
internal import NIOPosix

/// When this store's coordinator lived last: the time of an empty file in its state directory, which it touches as long as it runs.
///
/// What a host said before it is not newer than that: a host that was up by then has not booted since. Advice, not a record: a file that is
/// missing or older says less, and nothing else.
struct AliveMark: Sendable {
    private let path: String

    /// A coordinator that ends sooner has heard few hosts, and those that dial in after its next start may have booted meanwhile.
    static let first: TimeAmount = .seconds(30)
    static let every: TimeAmount = .seconds(10)

    init(in directory: String) { path = "\(directory)/alive" }

    /// Microseconds of Unix time; 0: there is none.
    func read() throws(LinuxError) -> UInt64 { UInt64(clamping: (try FileStatus.read(path)?.modified ?? 0) / 1_000) }

    /// On a thread of its own: a disk that hangs holds nothing up. Where it can't be written, it stays as old as it is.
    func touch() {
        NIOThreadPool.singleton.submit { [path] _ in
            do { try Files.writeAtomically(path, [], sync: false) } catch { return }
        }
    }
}
