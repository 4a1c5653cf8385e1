/// Where one side's own identity, the authority that it trusts and the revocation list are kept, in PEM.
package struct TLSPaths: Equatable, Sendable {
    package var cert: String
    package var key: String
    package var ca: String
    package var crl: String

    package init(cert: String, key: String, ca: String, crl: String) {
        self.cert = cert
        self.key = key
        self.ca = ca
        self.crl = crl
    }
}
