import FleetCore

extension APIProblem {
    /// The HTTP status of a slug: what the caller did wrong is 4xx, what the fleet can't do now is 409 or 503.
    package var httpStatus: Int {
        switch slug {
        case "bad-request", "unknown-service", "unknown-tier", "unknown-host", "no-reason", "out-of-bounds": 400
        case "no-certificate", "no-token": 401
        case "not-allowed", "restricted", "not-signed": 403
        case "not-found", "unknown-run": 404
        case "body-too-large": 413
        case "not-here": 501
        case "internal": 500
        case "no-coordinator", "starting": 503
        default: 409
        }
    }

    package init(slug: String, what: String, why: String = "", then: String = "") {
        self.init()
        self.slug = slug
        self.what = what
        self.why = why
        self.then = then
    }

    /// The shape of every refusal on a terminal: what and slug, why, what to type.
    ///
    /// Its texts may hold words from outside: they are cleaned here.
    package var screen: String {
        let what = Cleaned.text(what)
        let slug = Cleaned.text(slug)
        let head =
            what.count + slug.count + 3 <= 96
            ? what + String(repeating: " ", count: max(1, 96 - what.count - slug.count - 2)) + "[\(slug)]" : "\(what) [\(slug)]"
        return ([head] + [why, then].filter { !$0.isEmpty }.map { "  " + Cleaned.lines($0).split(separator: "\n").joined(separator: "\n  ") })
            .joined(separator: "\n")
    }
}

extension APIProblem: Error {}
