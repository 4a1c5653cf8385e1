#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sched.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/un.h>
#include <sys/xattr.h>
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

int clinux_set_realtime(int priority) {
    const struct sched_param parameter = {.sched_priority = priority};
    return (int)syscall(SYS_sched_setscheduler, 0, (priority > 0 ? SCHED_FIFO : SCHED_OTHER) | SCHED_RESET_ON_FORK, &parameter);
}

int clinux_release_code(void) {
    extern const char __executable_start[], etext[];
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t from = ((uintptr_t)__executable_start + page - 1) & ~(page - 1), to = (uintptr_t)etext & ~(page - 1);
    return madvise((void *)from, to - from, MADV_DONTNEED);
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

bool clinux_attribute_is_set(const char *path, const char *name) {
    char value[8];
    return getxattr(path, name, value, sizeof value) == 1 && value[0] == '1';
}
// One family's listeners, added to what is there; -1 and errno. The answer comes in one or more datagrams, the last of them NLMSG_DONE.
static int listening_of(int fd, uint8_t family, uint32_t *inodes, int count, int max) {
    struct {
        struct nlmsghdr header;
        struct inet_diag_req_v2 request;
    } message;
    memset(&message, 0, sizeof message);
    message.header.nlmsg_len = sizeof message;
    message.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    message.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    message.request.sdiag_family = family;
    message.request.sdiag_protocol = IPPROTO_TCP;
    message.request.idiag_states = 1u << 10;  // TCP_LISTEN (net/tcp_states.h): the table of connections is not walked
    if (send(fd, &message, sizeof message, 0) != sizeof message) return -1;
    char buffer[32768] __attribute__((aligned(NLMSG_ALIGNTO)));
    for (;;) {
        ssize_t got = recv(fd, buffer, sizeof buffer, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -1;
        unsigned left = (unsigned)got;
        for (struct nlmsghdr *header = (struct nlmsghdr *)buffer; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
            if (header->nlmsg_type == NLMSG_DONE) return count;
            if (header->nlmsg_type == NLMSG_ERROR) {
                const struct nlmsgerr *error = NLMSG_DATA(header);
                errno = error->error == 0 ? EPROTO : -error->error;
                return -1;
            }
            if (header->nlmsg_len < NLMSG_LENGTH(sizeof(struct inet_diag_msg))) continue;
            const struct inet_diag_msg *row = NLMSG_DATA(header);
            if (count == max) {
                errno = ENOBUFS;
                return -1;
            }
            inodes[count++] = row->idiag_inode;
        }
        if (got == 0) {
            errno = EPROTO;
            return -1;
        }
    }
}

int clinux_listening_sockets(uint32_t *inodes, int max) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (fd < 0) return -1;
    struct timeval bound = {1, 0};  // the kernel answers within the send; a bound all the same
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof bound);
    int count = listening_of(fd, AF_INET, inodes, 0, max);
    if (count >= 0) {
        int both = listening_of(fd, AF_INET6, inodes, count, max);
        // A kernel without IPv6 has no handler for it.
        if (both >= 0 || errno != ENOENT) count = both;
    }
    if (count < 0) return close_failed(fd);
    close(fd);
    return count;
}

ssize_t clinux_socket_protocol(const char *path, char *name, size_t bytes) { return getxattr(path, "system.sockprotoname", name, bytes); }
