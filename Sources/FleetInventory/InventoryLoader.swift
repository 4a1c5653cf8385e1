package import FleetCore
import Glibc

/// Reads `fleet.yaml`.
///
/// The format is described in inventory/demo/fleet.yaml.
package enum InventoryLoader {
    /// Larger files are refused: a fleet of a thousand hosts takes a tenth of it.
    package static let bytesMax = 4 << 20

    /// Reads and checks one file.
    ///
    /// `digest` gets the file's bytes and returns their SHA-256 in lower-case hex (FleetTrust's `Digest.sha256Hex`;
    /// this module does without libcrypto).
    ///
    /// - Throws: every fault of the file at once; one fault at 1:1 when it can't be read.
    package static func load(_ path: String, digest: (_ bytes: [UInt8]) -> String) throws(InventoryErrors) -> Inventory {
        let bytes = try read(path)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw fault(path, "the file is not UTF-8", "write plain UTF-8 text")
        }
        var inventory = try load(text: text, file: path, zones: { TimeZoneNames.system() })
        inventory.digest = digest(bytes)
        return inventory
    }

    /// Checks a text.
    ///
    /// `file` is only for the messages; the inventory's digest stays empty. `zones` gives the names of time zones that there
    /// are, asked where one is named; nil: not known, any that could be one goes.
    package static func load(text: String, file: String, zones: @escaping () -> [String]? = { nil }) throws(InventoryErrors) -> Inventory {
        let faults = Faults(file: file)
        let tree = YAMLTree.parse(text, faults: faults)
        let inventory = tree.flatMap { InventoryDecoder(reader: SchemaReader(faults: faults), zones: zones).decode($0) }
        guard let inventory, faults.isEmpty else { throw faults.errors }
        return inventory
    }

    private static func read(_ path: String) throws(InventoryErrors) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw unreadable(path) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw unreadable(path)
            }
            if count == 0 { return bytes }
            bytes += chunk[..<count]
            if bytes.count > bytesMax { throw fault(path, "the file is larger than 4 MiB", "write one fleet per file") }
        }
    }

    private static func unreadable(_ path: String) -> InventoryErrors {
        let reason = String(cString: strerror(errno))
        return fault(path, "cannot read the inventory: \(reason)", "give the path of a fleet.yaml that this user may read")
    }

    private static func fault(_ path: String, _ what: String, _ instead: String) -> InventoryErrors {
        InventoryErrors([InventoryError(file: path, position: .start, what: what, instead: instead)])
    }
}
