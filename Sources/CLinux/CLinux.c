#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/un.h>
#include <unistd.h>

int clinux_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

int clinux_pidfd_send_signal(int pidfd, int number) {
    return (int)syscall(SYS_pidfd_send_signal, pidfd, number, NULL, 0);
}

int clinux_set_affinity(pid_t task, const uint8_t *mask, size_t bytes) {
    return (int)syscall(SYS_sched_setaffinity, task, bytes, mask);
}

int clinux_get_affinity(pid_t task, uint8_t *mask, size_t bytes) {
    return (int)syscall(SYS_sched_getaffinity, task, bytes, mask);
}

int clinux_peer_credentials(int socket, pid_t *pid, uid_t *uid, gid_t *gid) {
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return -1;
    *pid = peer.pid;
    *uid = peer.uid;
    *gid = peer.gid;
    return 0;
}

static int unix_socket(const char *path, struct sockaddr_un *address) {
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof address->sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address->sun_path, path);
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static int close_failed(int fd) {
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

int clinux_unix_connect(const char *path) {
    struct sockaddr_un address;
    int fd = unix_socket(path, &address);
    if (fd < 0) return -1;
    int result;
    do result = connect(fd, (struct sockaddr *)&address, sizeof address);
    while (result != 0 && errno == EINTR);
    return result == 0 ? fd : close_failed(fd);
}

int clinux_unix_listen(const char *path, mode_t mode, int backlog) {
    struct sockaddr_un address;
    int fd = unix_socket(path, &address);
    if (fd < 0) return -1;
    if (fchmod(fd, mode) != 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0) return close_failed(fd);
    if (chmod(path, mode) != 0 || listen(fd, backlog) != 0) return close_failed(fd);  // again: bind applies the umask
    return fd;
}

int clinux_open_directory_path(const char *path) { return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC); }
int clinux_punch_hole(int fd, int64_t offset, int64_t length) {
    return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
}
int64_t clinux_seek_data(int fd, int64_t offset) { return lseek(fd, offset, SEEK_DATA); }
int clinux_write_back(int fd, int64_t offset, int64_t length) {
    return sync_file_range(
        fd, offset, length, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
}
int clinux_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC | O_NONBLOCK); }
int clinux_flock(int fd, int operation) { return flock(fd, operation); }
int clinux_become_subreaper(void) { return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); }
pid_t clinux_gettid(void) { return (pid_t)syscall(SYS_gettid); }
int clinux_name_thread(const char *name) { return prctl(PR_SET_NAME, name, 0, 0, 0); }

int clinux_read_clock(clinux_clock *clock) {
    struct timex state;
    memset(&state, 0, sizeof state);  // modes 0: nothing is set
    int result = adjtimex(&state);
    if (result < 0) return -1;
    clock->unsynchronised = result == TIME_ERROR || (state.status & STA_UNSYNC) != 0;
    clock->disciplined = (state.status & STA_PLL) != 0;
    clock->pulse = (state.status & STA_PPSTIME) != 0 && (state.status & STA_PPSSIGNAL) != 0;
    clock->status = (uint32_t)state.status;
    clock->offset_ns = (int64_t)state.offset * ((state.status & STA_NANO) ? 1 : 1000);
    clock->max_error_us = state.maxerror;
    clock->estimated_error_us = state.esterror;
    return 0;
}
