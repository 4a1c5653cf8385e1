package import LinuxHost

extension Journal {
    /// The last lines of the file as they stand in it, hash included, without their newlines; at most 16 MiB of them.
    package func lastLines(_ count: Int) throws(LinuxError) -> [[UInt8]] {
        try Files.lastLines(path, count: count, limit: 16 << 20)
    }
}
