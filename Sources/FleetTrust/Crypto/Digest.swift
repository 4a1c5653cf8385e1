import COpenSSL

/// SHA-256 of whole byte sequences (FIPS 180-4), by libcrypto.
package enum Digest {
    /// Always 32 bytes.
    package static func sha256(_ bytes: some Sequence<UInt8>) -> [UInt8] {
        var out = [UInt8](repeating: 0, count: 32)
        let hashed: Void? = bytes.withContiguousStorageIfAvailable { input in
            hash(UnsafeRawBufferPointer(input), into: &out)
        }
        if hashed == nil {
            Array(bytes).withUnsafeBytes { hash($0, into: &out) }
        }
        return out
    }

    /// 64 lower-case hexadecimal digits.
    package static func sha256Hex(_ bytes: some Sequence<UInt8>) -> String { hex(sha256(bytes)) }

    /// Lower-case hexadecimal, two digits a byte.
    package static func hex(_ bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// The bytes of an even number of hexadecimal digits, either case; nil for anything else.
    package static func bytes(hex text: some StringProtocol) -> [UInt8]? {
        func nibble(_ c: UInt8) -> UInt8? {
            switch c {
            case 48...57: c - 48
            case 65...70: c - 55
            case 97...102: c - 87
            default: nil
            }
        }
        let digits = Array(text.utf8)
        guard digits.count.isMultiple(of: 2) else { return nil }
        var out: [UInt8] = []
        out.reserveCapacity(digits.count / 2)
        for index in stride(from: 0, to: digits.count, by: 2) {
            guard let high = nibble(digits[index]), let low = nibble(digits[index + 1]) else { return nil }
            out.append(high << 4 | low)
        }
        return out
    }

    private static func hash(_ input: UnsafeRawBufferPointer, into out: inout [UInt8]) {
        var length: UInt32 = 0
        let done = EVP_Digest(input.baseAddress, input.count, &out, &length, EVP_sha256(), nil)
        precondition(done == 1 && length == 32, "libcrypto has no SHA-256: \(LibCrypto.drainErrors())")
    }
}
