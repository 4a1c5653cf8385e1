internal import CLinux

/// This program's own code in memory.
package enum ProgramCode {
    /// Lets go of all its pages; those that are used again come back at their next use, from the page cache as a rule.
    ///
    /// For a daemon whose start took far more code than its rest takes. Each page used again costs a minor fault, once.
    package static func release() throws(LinuxError) {
        guard clinux_release_code() == 0 else { throw .last("release", "the program's code") }
    }
}
