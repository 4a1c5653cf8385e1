// The kernel's floor: what a supervisor without a single idea would need. fork, exec, pidfd_send_signal, poll; no threads,
// no files, no protocol. Prints "NAME MILLISECONDS" per round.
#define _GNU_SOURCE
#include "floor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORKERS_MAX = 2000 };

struct child {
    pid_t pid;
    int pidfd;
};

static struct child children[WORKERS_MAX];
static char started[64];
static char term_ms[16];

static void start(struct child *child) {
    pid_t pid = fork();
    if (pid < 0) complain("fork");
    if (pid == 0) {
        char *const words[] = {"trading-bench-floor", "worker", "--started", started, "--exit-after-term-ms", term_ms, NULL};
        execv("/proc/self/exe", words);
        _exit(127);
    }
    child->pid = pid;
    child->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (child->pidfd < 0) complain("pidfd_open");
}

static void send_all(long workers, int number) {
    for (long i = 0; i < workers; i++) syscall(SYS_pidfd_send_signal, children[i].pidfd, number, NULL, 0);
}

// Until every pidfd is readable: that is when a process is gone, reaped or not.
static void wait_all(long workers) {
    static struct pollfd polled[WORKERS_MAX];
    long left = workers;
    for (long i = 0; i < workers; i++) polled[i] = (struct pollfd){.fd = children[i].pidfd, .events = POLLIN};
    while (left > 0) {
        if (poll(polled, (nfds_t)workers, 10000) <= 0 && errno != EINTR) complain("a worker does not end");
        for (long i = 0; i < workers; i++) {
            if (polled[i].fd >= 0 && polled[i].revents != 0) {
                polled[i].fd = -1;
                left--;
            }
        }
    }
}

static void reap(struct child *child) {
    while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR) {}
    close(child->pidfd);
}

// The lines that workers wrote since, of which there must be `wanted`; the latest time in them.
static uint64_t latest_start(int fd, long wanted) {
    static char text[WORKERS_MAX * 40];
    uint64_t end = now_ns() + 10000000000u;
    for (;;) {
        ssize_t size = pread(fd, text, sizeof text - 1, 0);
        if (size < 0) complain(started);
        text[size] = '\0';
        long lines = 0;
        uint64_t latest = 0;
        for (char *at = text; (at = strchr(at, ' ')) != NULL; at++) {
            uint64_t value = strtoull(at, NULL, 10);
            if (strchr(at, '\n') == NULL) break;
            if (value > latest) latest = value;
            lines++;
        }
        if (lines >= wanted) return latest;
        if (now_ns() > end) complain("the workers do not start");
        poll(NULL, 0, 1);
    }
}

static double ms(uint64_t from, uint64_t to) { return (double)(to - from) / 1e6; }

static double round_of(const char *what, long workers, int fd) {
    if (ftruncate(fd, 0) != 0) complain(started);
    uint64_t began = now_ns();
    for (long i = 0; i < workers; i++) start(&children[i]);
    uint64_t last = latest_start(fd, workers);
    double taken = ms(began, last);
    int number = strcmp(what, "stop") == 0 ? SIGTERM : SIGKILL;
    if (strcmp(what, "restart") == 0) {
        if (ftruncate(fd, 0) != 0) complain(started);
        began = now_ns();
        send_all(1, SIGKILL);
        wait_all(1);
        reap(&children[0]);
        start(&children[0]);
        taken = ms(began, latest_start(fd, 1));
        send_all(workers, SIGKILL);
        wait_all(workers);
    } else {
        began = now_ns();
        send_all(workers, number);
        wait_all(workers);
        if (strcmp(what, "start") != 0) taken = ms(began, now_ns());
    }
    for (long i = 0; i < workers; i++) reap(&children[i]);
    return taken;
}

int floor_main(int count, char **arguments) {
    const char *what = count > 0 ? arguments[0] : "";
    if (strcmp(what, "kill") != 0 && strcmp(what, "stop") != 0 && strcmp(what, "start") != 0 && strcmp(what, "restart") != 0) {
        errno = 0;
        complain("floor kill, stop, start or restart");
    }
    long workers = option_number(count, arguments, "--workers", strcmp(what, "restart") == 0 ? 1 : 100);
    long rounds = option_number(count, arguments, "--rounds", 5);
    if (workers < 1 || workers > WORKERS_MAX || rounds < 1) {
        errno = 0;
        complain("--workers 1 to 2000, --rounds 1 or more");
    }
    snprintf(term_ms, sizeof term_ms, "%ld", option_number(count, arguments, "--exit-after-term-ms", 50));
    snprintf(started, sizeof started, "/tmp/trading-floor-XXXXXX");
    int fd = mkstemp(started);
    if (fd < 0) complain(started);
    for (long i = 0; i < rounds; i++) {
        printf("%s %.3f\n", what, round_of(what, workers, fd));
        fflush(stdout);
    }
    close(fd);
    unlink(started);
    return 0;
}
