/// The identity of this boot of the kernel (random(4), /proc/sys/kernel/random/boot_id).
package enum BootID {
    private static let cached: Result<String, LinuxError> = Result { () throws(LinuxError) in
        let bytes = try Files.read("/proc/sys/kernel/random/boot_id", limit: 64)
        return String(decoding: bytes.prefix { $0 > 32 }, as: UTF8.self)
    }

    /// 36 characters.
    ///
    /// It can't change while this process lives, so it is read once.
    package static func read() throws(LinuxError) -> String { try cached.get() }
}
