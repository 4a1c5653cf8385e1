import FleetTrust
import Testing

@Suite struct DigestTests {
    @Test("the digests of FIPS 180-4's examples come out")
    func vectors() {
        #expect(Digest.sha256Hex([]) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        #expect(Digest.sha256Hex("abc".utf8) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    }

    @Test("a stream of pieces has the digest of the whole, however it is cut")
    func stream() {
        let whole = (0..<1_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        for cut in [0, 1, 63, 64, 65, 999, 1_000] {
            let stream = SHA256Stream()
            stream.update(whole[..<cut])
            stream.update(whole[cut...])
            #expect(stream.finish() == Digest.sha256(whole))
        }
    }

    @Test("hexadecimal comes back as the same bytes, and nothing else is taken for it")
    func hex() {
        #expect(Digest.bytes(hex: Digest.hex([0, 1, 0xab, 0xff])) == [0, 1, 0xab, 0xff])
        #expect(Digest.bytes(hex: "ABcd") == [0xab, 0xcd])
        for bad in ["a", "0g", "0x00", " 00"] { #expect(Digest.bytes(hex: bad) == nil) }
    }

    @Test("random bytes have the length asked for and don't repeat")
    func random() {
        #expect(Random.bytes(0) == [])
        #expect(Random.hex(16).utf8.count == 32)
        #expect(Random.bytes(16) != Random.bytes(16))
    }
}
