import Foundation
import Glibc
import TestSupport
import Testing

/// A host whose state directory is a small file system of its own; mounting one needs root.
extension TestFleet {
    /// Before the fleet begins; `unmount` what it returns.
    func mountSmallState(of host: String) throws -> String {
        let small = directory + "/small"
        try FileManager.default.createDirectory(atPath: small, withIntermediateDirectories: true)
        #expect(try run("/usr/bin/mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", small]).status == 0)
        stateDirectories[host] = small
        return small
    }

    func unmount(_ small: String) { _ = try? run("/usr/bin/umount", ["-l", small]) }

    func fill(_ small: String) throws { _ = try run("/usr/bin/dd", ["if=/dev/zero", "of=\(small)/filler", "bs=4k"]) }

    func makeRoom(in small: String) -> Bool { unlink(small + "/filler") == 0 }
}
