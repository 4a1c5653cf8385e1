// System calls and structures that Swift's Glibc module does not offer. Every function returns what the call returns and
// leaves errno alone; descriptors are close-on-exec.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "CLinuxCommand.h"

/// pidfd_open(2); -1 and errno.
int clinux_pidfd_open(pid_t pid);
/// pidfd_send_signal(2) without a siginfo.
int clinux_pidfd_send_signal(int pidfd, int number);

enum { CLINUX_CPUS_MAX = 1024 };
/// sched_setaffinity(2) with a mask of CLINUX_CPUS_MAX bits; `task` 0 is the calling thread.
int clinux_set_affinity(pid_t task, const uint8_t *mask, size_t bytes);
/// sched_getaffinity(2); the number of bytes written, or -1.
int clinux_get_affinity(pid_t task, uint8_t *mask, size_t bytes);

/// SO_PEERCRED of a connected Unix socket (unix(7)).
int clinux_peer_credentials(int socket, pid_t *pid, uid_t *uid, gid_t *gid);
/// A Unix stream socket, non-blocking, connected to or bound at `path`; -1 and errno (ENAMETOOLONG past sun_path).
int clinux_unix_connect(const char *path);
/// `mode` is set before the name exists, so that there is no instant at which anybody may connect.
int clinux_unix_listen(const char *path, mode_t mode, int backlog);

/// open(2) with O_PATH: needs search permission only.
int clinux_open_directory_path(const char *path);
/// fallocate(2) with FALLOC_FL_PUNCH_HOLE and FALLOC_FL_KEEP_SIZE.
int clinux_punch_hole(int fd, int64_t offset, int64_t length);
/// lseek(2) with SEEK_DATA; -1 and ENXIO where no data follow. Moves the descriptor's offset.
int64_t clinux_seek_data(int fd, int64_t offset);
/// sync_file_range(2): writes the range's dirty pages out and waits for them; takes no lock that a write(2) waits for.
int clinux_write_back(int fd, int64_t offset, int64_t length);
/// pipe2(2), both ends close-on-exec and non-blocking.
int clinux_pipe(int ends[2]);
/// flock(2); a function here because Swift sees the structure of that name.
int clinux_flock(int fd, int operation);
/// prctl(2) PR_SET_CHILD_SUBREAPER.
int clinux_become_subreaper(void);
/// sched_setscheduler(2) of the calling thread: SCHED_FIFO at `priority` (1 to 99), SCHED_OTHER at 0. What it starts is ordinary again.
int clinux_set_realtime(int priority);
/// Lets the pages of this program's own code go (madvise(2), MADV_DONTNEED): what is used again comes back from the page cache,
/// what only the start has needed does not.
int clinux_release_code(void);
pid_t clinux_gettid(void);
/// Names the calling thread, at most 15 bytes.
int clinux_name_thread(const char *name);

/// The kernel's clock discipline.
typedef struct {
    bool unsynchronised;
    /// By the kernel's own loop: only then does `offset_ns` mean anything.
    bool disciplined;
    /// Steered by a pulse that is there (STA_PPSTIME, STA_PPSSIGNAL).
    bool pulse;
    uint32_t status;
    int64_t offset_ns;
    int64_t max_error_us;
    int64_t estimated_error_us;
} clinux_clock;
/// adjtimex(2) that sets nothing.
int clinux_read_clock(clinux_clock *clock);
/// getxattr(2): whether the attribute's value is "1".
bool clinux_attribute_is_set(const char *path, const char *name);

/// The inodes of every listening TCP socket of this network namespace (sock_diag(7)); their number, or -1 and errno (ENOBUFS past `max`).
int clinux_listening_sockets(uint32_t *inodes, int max);
/// `TCP`, `UDPv6`, `UNIX`, …, without an end mark, of a socket that /proc/PID/fd/N leads to; ENOTSUP or ENODATA of anything else.
ssize_t clinux_socket_protocol(const char *path, char *name, size_t bytes);
