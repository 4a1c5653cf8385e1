import FleetTrust
package import FleetWire
import Logging

extension FleetClientSettings {
    /// The operator's identity and whom it accepts.
    ///
    /// Refusals become errors for the terminal, so that nothing is logged here.
    ///
    /// `lists`: `.optional` for an emergency stop, which goes out with whatever trust can be had.
    package func loadTrust(lists: TLSTrust.ListPolicy = .required) throws -> TLSTrust {
        guard let fleet, let certificate, let key, let ca, let crl else { throw Self.nothingConfigured }
        var log = Logger(label: "tls", factory: { _ in SwiftLogNoOpLogHandler() })
        log.logLevel = .critical
        return try TLSTrust(paths: TLSPaths(cert: certificate, key: key, ca: ca, crl: crl), fleet: fleet, lists: lists, log: log)
    }
}
