// A quiet worker: waits for signals, and does nothing else.
//   --started FILE          appends "PID NANOSECONDS\n" (CLOCK_BOOTTIME of main's first line) to it
//   --exit-after-term-ms N  exits that long after SIGTERM
//   --ready                 says READY=1 to its supervisor
//   --eat-mib N             on SIGUSR1 takes that much memory and touches all of it, once
#define _GNU_SOURCE
#include "floor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static void say_started(const char *path, uint64_t at) {
    char line[64];
    int size = snprintf(line, sizeof line, "%d %llu\n", (int)getpid(), (unsigned long long)at);
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    // One write, so that lines of many workers never mix.
    if (fd < 0 || write(fd, line, (size_t)size) != size) complain(path);
    close(fd);
}

static void say_ready(void) {
    const char *path = getenv("NOTIFY_SOCKET");
    if (path == NULL || *path == '\0') return;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (length >= sizeof address.sun_path) return;
    memcpy(address.sun_path, path, length);
    if (*path == '@') address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    (void)!sendto(fd, "READY=1", 7, 0, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
    close(fd);
}

static void eat(size_t bytes) {
    unsigned char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) complain("memory");
    for (size_t at = 0; at < bytes; at += 4096) memory[at] = 1;
}

int worker_main(int count, char **arguments) {
    uint64_t began = now_ns();
    const char *started = option_text(count, arguments, "--started");
    long after_term = option_number(count, arguments, "--exit-after-term-ms", 0);
    long eat_mib = option_number(count, arguments, "--eat-mib", 0);
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGUSR1);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    if (started != NULL) say_started(started, began);
    if (option_flag(count, arguments, "--ready")) say_ready();
    for (;;) {
        int number = sigwaitinfo(&signals, NULL);
        if (number < 0) continue;
        if (number == SIGUSR1) {
            if (eat_mib > 0) eat((size_t)eat_mib << 20);
            continue;
        }
        struct timespec rest = {.tv_sec = after_term / 1000, .tv_nsec = (after_term % 1000) * 1000000};
        while (nanosleep(&rest, &rest) != 0 && errno == EINTR) {}
        return 0;
    }
}
