import COpenSSL

/// Base64 (RFC 4648, section 4), by libcrypto, for what travels in text: no field of the wire is `bytes`.
package enum Base64 {
    package static func encode(_ bytes: [UInt8]) -> String {
        guard !bytes.isEmpty else { return "" }
        var out = [UInt8](repeating: 0, count: (bytes.count + 2) / 3 * 4 + 1)
        let count = EVP_EncodeBlock(&out, bytes, CInt(bytes.count))
        return String(decoding: out.prefix(Int(count)), as: UTF8.self)
    }

    /// Nil for anything but base64 without white space.
    package static func decode(_ text: String) -> [UInt8]? {
        let digits = Array(text.utf8)
        guard !digits.isEmpty, digits.count.isMultiple(of: 4),
            digits.allSatisfy({ (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0) || $0 == 43 || $0 == 47 || $0 == 61 })
        else { return nil }
        let padding = digits.suffix(2).count { $0 == 61 }
        guard digits.firstIndex(of: 61).map({ $0 == digits.count - padding }) ?? true else { return nil }
        var out = [UInt8](repeating: 0, count: digits.count / 4 * 3)
        guard EVP_DecodeBlock(&out, digits, CInt(digits.count)) == CInt(out.count) else { return nil }
        return Array(out.dropLast(padding))
    }
}
