internal import Glibc

/// The calling thread's name as ps(1) and /proc show it (proc_pid_comm(5)); at most 15 bytes.
///
/// For people only, so a kernel that refuses it is not asked again.
func nameThisThread(_ name: String) {
    let descriptor = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    _ = Glibc.write(descriptor, name, name.utf8.count)
    close(descriptor)
}
