#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static _Noreturn void fail(int report) {
    int error = errno;
    ssize_t put = write(report, &error, sizeof error);
    (void)put;
    _exit(127);
}

// Between fork and exec of a threaded process: system calls only (fork(2), signal-safety(7)). The credentials are set by raw
// calls, because the library's own would look for the threads that this copy doesn't have.
static _Noreturn void become(const struct clinux_command *command, int output, int report) {
    uint64_t standard[4] = {0};  // struct kernel_sigaction: the library's own call refuses the two signals that it keeps
    for (int number = 1; number < NSIG; number++) syscall(SYS_rt_sigaction, number, standard, NULL, sizeof(uint64_t));
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0);
    int nothing = open("/dev/null", O_RDONLY);
    if (nothing < 0 || dup2(nothing, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0) fail(report);
    syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC);  // what libraries have opened without it; none is needed
    if (command->changes_group) {
        if (syscall(SYS_setgroups, command->group_count, command->groups) != 0) fail(report);
        if (syscall(SYS_setresgid, command->gid, command->gid, command->gid) != 0) fail(report);
    }
    if (command->changes_user && syscall(SYS_setresuid, command->uid, command->uid, command->uid) != 0) fail(report);
    if (command->directory != NULL && chdir(command->directory) != 0) fail(report);
    execve(command->arguments[0], command->arguments, command->environment);
    fail(report);
}

pid_t clinux_command_start(const struct clinux_command *command, int *output) {
    int data[2], report[2];
    if (pipe2(data, O_CLOEXEC) != 0) return -1;
    if (pipe2(report, O_CLOEXEC) != 0) {
        int error = errno;
        close(data[0]), close(data[1]);
        errno = error;
        return -1;
    }
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);  // no handler of ours may run in the copy
    pid_t child = fork();
    if (child == 0) become(command, data[1], report[1]);
    int error = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(data[1]), close(report[1]);
    if (child > 0) {
        setpgid(child, child);  // whoever comes first; EACCES after the exec
        int failed = 0;
        ssize_t got;
        do got = read(report[0], &failed, sizeof failed);
        while (got < 0 && errno == EINTR);
        if (got == sizeof failed) {
            while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {}
            error = failed;
            child = -1;
        }
    }
    close(report[0]);
    if (child < 0) {
        close(data[0]);
        errno = error;
        return -1;
    }
    fcntl(data[0], F_SETFL, O_NONBLOCK);
    *output = data[0];
    return child;
}

int clinux_wait(pid_t child, int *code, int *signalled) {
    int status;
    pid_t got;
    do got = waitpid(child, &status, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0) return -1;
    *signalled = WIFSIGNALED(status);
    *code = *signalled ? WTERMSIG(status) : WEXITSTATUS(status);
    return 0;
}

int clinux_has_attribute(const char *path, const char *name) {
    if (getxattr(path, name, NULL, 0) >= 0) return 1;
    return errno == ENODATA || errno == ENOTSUP ? 0 : -1;
}

int clinux_datagram_connect(const char *name) {
    struct sockaddr_un address;
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    size_t length = strlen(name);
    if (length >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, name, length);
    if (name[0] == '@') address.sun_path[0] = 0;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (name[0] != '@'));
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -1;
    if (connect(fd, (struct sockaddr *)&address, size) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}
