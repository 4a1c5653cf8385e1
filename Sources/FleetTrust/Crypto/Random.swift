import COpenSSL

/// Unpredictable bytes, from libcrypto's generator (seeded by the kernel; RAND_bytes(3)).
package enum Random {
    package static func bytes(_ count: Int) -> [UInt8] {
        precondition(count >= 0, "asked for \(count) random bytes")
        guard count > 0 else { return [] }
        var out = [UInt8](repeating: 0, count: count)
        // A generator that can't be seeded must stop the program: a predictable session or latch id is worse.
        precondition(
            RAND_bytes(&out, CInt(clamping: count)) == 1, "no randomness to be had: \(LibCrypto.drainErrors())")
        return out
    }

    /// `count` random bytes as twice as many lower-case hexadecimal digits.
    package static func hex(_ count: Int) -> String { Digest.hex(bytes(count)) }
}
