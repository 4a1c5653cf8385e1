import COpenSSL

/// What every use of libcrypto here needs: its error queue and memory BIOs.
enum LibCrypto {
    /// Empties this thread's error queue and returns it as one readable line; empty when there was no error.
    static func drainErrors() -> String {
        var lines: [String] = []
        while true {
            let code = ERR_get_error()
            if code == 0 { break }
            var text = [CChar](repeating: 0, count: 256)
            ERR_error_string_n(code, &text, text.count)
            let reason = ERR_reason_error_string(code).map { String(cString: $0) }
            lines.append(reason ?? String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
        }
        return lines.joined(separator: "; ")
    }

    /// Runs `body` with a read-only BIO over `bytes`, which BIO_new_mem_buf(3) does not copy.
    static func withReader<R, E: Error>(
        _ bytes: some Collection<UInt8>, _ body: (OpaquePointer) throws(E) -> R
    ) throws(E) -> R {
        // One byte more than is read: BIO_new_mem_buf takes a length of zero, but not the nil of an empty array.
        let copy = Array(bytes) + [0]
        let result: Result<R, E> = copy.withUnsafeBytes { raw in
            guard let bio = BIO_new_mem_buf(raw.baseAddress, CInt(raw.count - 1)) else {
                preconditionFailure("no memory for a BIO")
            }
            defer { BIO_free(bio) }
            do throws(E) {
                return .success(try body(bio))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    /// What `body` writes to a memory BIO; nil when it returns false.
    static func written(_ body: (OpaquePointer) -> Bool) -> [UInt8]? {
        guard let bio = BIO_new(BIO_s_mem()) else { preconditionFailure("no memory for a BIO") }
        defer { BIO_free(bio) }
        guard body(bio) else { return nil }
        var data: UnsafeMutableRawPointer?
        let count = BIO_ctrl(bio, BIO_CTRL_INFO, 0, &data)
        guard count > 0, let data else { return [] }
        return Array(UnsafeRawBufferPointer(start: data, count: count))
    }
}
