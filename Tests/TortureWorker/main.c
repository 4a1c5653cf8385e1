// A worker with one bad habit, for the torture suite: torture-worker HABIT [NUMBER]
//
// Every start is appended to $TORTURE_LOG as `start PID LAUNCH`, every clean end as `end PID LAUNCH`; a start beside a living
// one (an exclusive lock on $TORTURE_LOG.lock that the whole tree inherits) as `DOUBLE PID LAUNCH`. READY=1 goes to
// $NOTIFY_SOCKET.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t terminated;

static void on_term(int number) {
    (void)number;
    terminated = 1;
}

static void say(const char *word) {
    const char *path = getenv("TORTURE_LOG");
    if (path == NULL) return;
    const char *launch = getenv("TRADING_LAUNCH");
    char line[128];
    int size = snprintf(line, sizeof line, "%s %d %s\n", word, getpid(), launch != NULL ? launch : "-");
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0) return;
    (void)!write(fd, line, (size_t)size);
    close(fd);
}

static void start_alone(void) {
    const char *log = getenv("TORTURE_LOG");
    if (log == NULL) return;
    char path[4096];
    snprintf(path, sizeof path, "%s.lock", log);
    int fd = open(path, O_RDWR | O_CREAT, 0666);  // inherited by the whole tree, on purpose
    say(fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 ? "DOUBLE" : "start");
}

static void notify(const char *text) {
    const char *name = getenv("NOTIFY_SOCKET");
    if (name == NULL) return;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t size = strlen(name);
    if (size >= sizeof address.sun_path) return;
    memcpy(address.sun_path, name, size);
    if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    (void)!sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address,
                  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size));
    close(fd);
}

static void nap(long milliseconds) {
    struct timespec time = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000};
    nanosleep(&time, NULL);
}

static void until_term(void) {
    while (!terminated) nap(1000);
    say("end");
    notify("STOPPING=1");
    exit(0);
}

/// A process that nobody but its killer ends.
static void stubborn(void) {
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    for (;;) nap(1000);
}

/// A daemon in a session of its own, its parent gone.
static void double_fork(void (*become)(void)) {
    if (fork() != 0) return;
    setsid();
    if (fork() == 0) become();
    _exit(0);
}

/// Forks for ever: every process lives a moment, and its number changes faster than anybody reads it.
static void restless(void) {
    signal(SIGTERM, SIG_IGN);
    for (;;) {
        pid_t child = fork();
        if (child > 0) _exit(0);
        if (child < 0) nap(1);
    }
}

static void dump_core(long mebibytes) {
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_CORE, &limit);
    size_t size = (size_t)mebibytes << 20;
    char *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED) exit(9);
    // Not a page alike: a sparse core would be written in no time.
    for (size_t at = 0; at < size; at += 512) memcpy(bytes + at, &at, sizeof at);
    notify("READY=1");
    while (!terminated) nap(100);
    abort();
}

static void fill(const char *path) {
    static char block[1 << 16];
    memset(block, 'x', sizeof block);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    while (fd >= 0 && write(fd, block, sizeof block) > 0) {}
    notify("READY=1");
    while (!terminated) {
        (void)!write(1, "a line that finds no room\n", 26);
        nap(5);
    }
    until_term();
}

int main(int count, char **arguments) {
    const char *habit = count > 1 ? arguments[1] : "plain";
    long number = count > 2 ? atol(arguments[2]) : 0;
    start_alone();
    struct sigaction action = {.sa_handler = on_term};
    sigaction(SIGTERM, &action, NULL);

    if (strcmp(habit, "exit") == 0) return (int)number;
    if (strcmp(habit, "exit-after") == 0) {  // a different moment each time
        srandom((unsigned)getpid());
        notify("READY=1");
        nap(random() % (number + 1));
        return 3;
    }
    if (strcmp(habit, "core") == 0) dump_core(number);
    if (strcmp(habit, "fill") == 0 && count > 2) fill(arguments[2]);
    if (strcmp(habit, "daemonize") == 0) {
        double_fork(stubborn);
        nap(50);
        return 0;
    }
    if (strcmp(habit, "escape") == 0) {
        for (long i = 0; i < number; i++) double_fork(stubborn);
    }
    if (strcmp(habit, "restless") == 0) double_fork(restless);
    if (strcmp(habit, "close-stdio") == 0) {
        for (int fd = 0; fd < 3; fd++) close(fd);
    }
    notify("READY=1");
    if (strcmp(habit, "ignore-term") == 0) stubborn();
    if (strcmp(habit, "stop-self") == 0) raise(SIGSTOP);
    if (strcmp(habit, "slow-end") == 0) {
        while (!terminated) nap(1000);
        nap(number);
    }
    until_term();
}
