// A worker with one bad habit, for the torture suite: torture-worker HABIT [NUMBER]
//
// Every start is appended to $TORTURE_LOG as `start PID LAUNCH`, every clean end as `end PID LAUNCH`; a start beside a living
// one (an exclusive lock on $TORTURE_LOG.lock that the whole tree inherits) as `DOUBLE PID LAUNCH`. READY=1 goes to
// $NOTIFY_SOCKET.
//
// `obey FIFO` has no habit of its own: it does what the lines written to the FIFO say (`obey` below), one after the other.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
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
#include <sys/stat.h>
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

/// One message to a Unix socket (`@`: an abstract name), with a descriptor where `passed` is one.
static void send_to(int type, const char *name, const char *text, int passed) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t size = strlen(name);
    if (size >= sizeof address.sun_path) return;
    memcpy(address.sun_path, name, size);
    if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    if (connect(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size)) == 0) {
        union {
            struct cmsghdr header;
            char bytes[CMSG_SPACE(sizeof passed)];
        } control = {.header = {.cmsg_len = CMSG_LEN(sizeof passed), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
        memcpy(CMSG_DATA(&control.header), &passed, sizeof passed);
        struct iovec part = {.iov_base = (char *)text, .iov_len = strlen(text)};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
        if (passed >= 0) message.msg_control = &control, message.msg_controllen = sizeof control;
        (void)!sendmsg(fd, &message, MSG_NOSIGNAL);
    }
    close(fd);
}

static void notify_passing(const char *text, int passed) {
    const char *name = getenv("NOTIFY_SOCKET");
    if (name != NULL) send_to(SOCK_DGRAM, name, text, passed);
}

static void notify(const char *text) { notify_passing(text, -1); }

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

/// Takes one descriptor over from whoever connects to `path`, says so, and keeps it until it is killed.
static int keep(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listening, (struct sockaddr *)&address, sizeof address) != 0 || listen(listening, 1) != 0) return 2;
    int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
    char text[64], control[CMSG_SPACE(sizeof(int))];
    struct iovec part = {.iov_base = text, .iov_len = sizeof text};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    if (recvmsg(fd, &message, 0) <= 0) return 3;
    (void)!write(1, "kept\n", 5);
    for (;;) pause();
}

// MARK: Told by a FIFO

static char at_end[512], on_term_text[512];
static int kept_fd = -1;

static void touch(const char *path) { close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644)); }

static void finish(void) {
    if (at_end[0] != '\0') touch(at_end);
    say("end");
    notify("STOPPING=1");
    exit(0);
}

static void listen_at(long port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int on = 1;
    kept_fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(kept_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(kept_fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(kept_fd, 4) != 0) say("no-socket");
}

/// Huge pages, anonymous or of a file, each touched.
static void take_pages(long count, const char *path) {
    size_t size = (size_t)count << 21;
    int fd = kept_fd = path == NULL ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    char *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, path == NULL ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB : MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED) {
        say("no-pages");
        return;
    }
    for (size_t at = 0; at < size; at += 1 << 21) bytes[at] = 1;
}

/// Out of its cgroup (version 2), as a daemon.
static void flee(void) {
    char number[24];
    int size = snprintf(number, sizeof number, "%d\n", getpid());
    const char *root = getenv("TORTURE_CGROUP");
    int fd = root == NULL ? -1 : open(root, O_WRONLY | O_CLOEXEC);
    say(fd >= 0 && write(fd, number, (size_t)size) == size ? "fled" : "stayed");
    stubborn();
}

/// The child is the main process from now on; `parent_ends` or the old one waits and says it when it is signalled.
static void hand_over(bool parent_ends) {
    pid_t child = fork();
    if (child != 0) {
        char text[32];
        snprintf(text, sizeof text, "MAINPID=%d", child);
        notify(text);
        if (parent_ends) _exit(0);
        while (!terminated) nap(1000);
        say("wrong");
        _exit(1);
    }
}

static void barrier(void) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return;
    notify_passing("BARRIER=1", ends[1]);
    close(ends[1]);
    struct pollfd closed = {.fd = ends[0], .events = POLLIN};
    say(poll(&closed, 1, 5000) == 1 && (closed.revents & POLLHUP) != 0 ? "barrier" : "no-barrier");
    close(ends[0]);
}

/// `tell K=V;K=V` on the notify socket, `term K=V;…` the same instead of ending at SIGTERM, `end`; the rest as named.
static void obey_line(char *line) {
    char *rest = strchr(line, ' ');
    if (rest != NULL) *rest++ = '\0';
    else rest = line + strlen(line);
    if (strcmp(line, "tell") == 0 || strcmp(line, "term") == 0) {
        for (char *c = rest; *c != '\0'; c++) {
            if (*c == ';') *c = '\n';
        }
    }
    if (strcmp(line, "tell") == 0) notify(rest);
    else if (strcmp(line, "term") == 0) snprintf(on_term_text, sizeof on_term_text, "%s", rest);
    else if (strcmp(line, "write") == 0) dprintf(1, "%s\n", rest);
    else if (strcmp(line, "touch") == 0) touch(rest);
    else if (strcmp(line, "at-end") == 0) snprintf(at_end, sizeof at_end, "%s", rest);
    else if (strcmp(line, "barrier") == 0) barrier();
    else if (strcmp(line, "fdstore") == 0) notify_passing("FDSTORE=1", 0);
    else if (strcmp(line, "hand-over") == 0) hand_over(strcmp(rest, "end") == 0);
    else if (strcmp(line, "listen") == 0) listen_at(atol(rest));
    else if (strcmp(line, "give") == 0) send_to(SOCK_STREAM, rest, "fd", kept_fd);
    else if (strcmp(line, "flee") == 0) double_fork(flee);
    else if (strcmp(line, "pages") == 0) take_pages(atol(rest), strchr(rest, ' ') == NULL ? NULL : strchr(rest, ' ') + 1);
    else if (strcmp(line, "end") == 0) finish();
    else if (strcmp(line, "crash") == 0) _exit(atoi(rest));
    say(line);
}

static void obey(const char *path) {
    static char bytes[4096];
    size_t size = 0;
    unlink(path);
    if (mkfifo(path, 0666) != 0) exit(8);
    // For writing too: it never ends by itself.
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) exit(8);
    notify("READY=1");
    for (;;) {
        if (terminated) {
            terminated = 0;
            if (on_term_text[0] == '\0') finish();
            notify(on_term_text);
        }
        // A signal between the look and the wait is met at the latest when this is over.
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        if (poll(&ready, 1, 100) <= 0) continue;
        ssize_t got = read(fd, bytes + size, sizeof bytes - size);
        if (got <= 0) continue;
        size += (size_t)got;
        char *newline;
        while ((newline = memchr(bytes, '\n', size)) != NULL) {
            *newline = '\0';
            size_t length = (size_t)(newline - bytes) + 1;
            char line[sizeof bytes];
            memcpy(line, bytes, length);
            memmove(bytes, bytes + length, size - length);
            size -= length;
            obey_line(line);
        }
        if (size == sizeof bytes) size = 0;
    }
}

/// Every datagram of a FIFO (two bytes of length, little-endian, then so many) to $NOTIFY_SOCKET as it is; ends with the FIFO.
static void datagrams(const char *path) {
    static char bytes[1 << 16];
    unlink(path);
    if (mkfifo(path, 0666) != 0) exit(8);
    notify("READY=1");
    FILE *fifo = fopen(path, "re");
    if (fifo == NULL) exit(8);
    const char *name = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t size = name == NULL ? 0 : strlen(name);
    if (size == 0 || size >= sizeof address.sun_path) exit(8);
    memcpy(address.sun_path, name, size);
    if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size)) != 0) exit(8);
    unsigned char head[2];
    while (fread(head, 1, 2, fifo) == 2) {
        size_t length = head[0] | (size_t)head[1] << 8;
        if (fread(bytes, 1, length, fifo) != length) break;
        (void)!send(fd, bytes, length, MSG_NOSIGNAL);
    }
    exit(0);
}

/// A line with its time on standard output every `milliseconds`, numbered; the first `at_once` without a pause.
static void write_lines(const char *name, long milliseconds, long at_once) {
    static char rest[200];
    memset(rest, 'x', sizeof rest - 1);
    for (long number = 1; !terminated; number++) {
        if (number == at_once) notify("READY=1");
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        struct tm parts;
        gmtime_r(&now.tv_sec, &parts);
        char stamp[40];
        strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &parts);
        dprintf(1, "%s.%06ldZ %s %ld %s\n", stamp, now.tv_nsec / 1000, name, number, rest);
        if (number >= at_once) nap(milliseconds);
    }
    until_term();
}

int main(int count, char **arguments) {
    const char *habit = count > 1 ? arguments[1] : "plain";
    long number = count > 2 ? atol(arguments[2]) : 0;
    if (strcmp(habit, "keep") == 0 && count > 2) return keep(arguments[2]);
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
    if (strcmp(habit, "obey") == 0 && count > 2) obey(arguments[2]);
    if (strcmp(habit, "datagrams") == 0 && count > 2) datagrams(arguments[2]);
    if (strcmp(habit, "lines") == 0 && count > 4) write_lines(arguments[3], number, atol(arguments[4]));
    if (strcmp(habit, "watched") == 0) {  // feeds its watchdog until a file of that name is there, which it takes away
        notify("READY=1");
        while (!terminated && (count < 3 || unlink(arguments[2]) != 0)) {
            notify("WATCHDOG=1");
            nap(50);
        }
    }
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
