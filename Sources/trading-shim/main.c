#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct shim shim = {
    .slot_fd = -1, .listen_fd = -1, .notify_fd = -1, .signal_fd = -1, .timer_fd = -1, .exec_fd = -1, .exit_fd = -1, .main_fd = -1};

static void refuse(int status, const char *what, const char *object) {
    fprintf(stderr, "trading-shim: %s %s%s%s\n", what, object, errno != 0 ? ": " : "", errno != 0 ? strerror(errno) : "");
    exit(status);
}

/// Whatever the starter had ignored or blocked; SIGCHLD above all, which when ignored loses every exit status.
static void signals_settle(void) {
    dispositions_reset();
    // A stray SIGTERM must not orphan the worker: everything that can be blocked is.
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
}

static void slot_take(void) {
    const char *path = shim.conf.slot;
    for (int attempt = 0; attempt < 10; attempt++) {
        shim.slot_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
        if (shim.slot_fd < 0) refuse(EXIT_SYSTEM, "cannot open the slot", path);
        int locked = flock(shim.slot_fd, LOCK_EX | LOCK_NB);
        // Somebody may just be asking whether it is held, by a lock of an instant.
        for (int again = 0; again < 10 && locked != 0 && errno == EWOULDBLOCK; again++) {
            usleep(2000);
            locked = flock(shim.slot_fd, LOCK_EX | LOCK_NB);
        }
        if (locked != 0) {
            int held = errno == EWOULDBLOCK;
            if (held) errno = 0;
            refuse(held ? EXIT_HELD : EXIT_SYSTEM, held ? "the slot is held, this service still runs:" : "cannot lock the slot", path);
        }
        struct stat mine, named;
        // Locked a file that was replaced meanwhile: the lock would guard nothing.
        if (fstat(shim.slot_fd, &mine) == 0 && stat(path, &named) == 0 && mine.st_ino == named.st_ino && mine.st_dev == named.st_dev) return;
        close(shim.slot_fd);
    }
    errno = 0;
    refuse(EXIT_SYSTEM, "the slot file is being replaced all the time:", path);
}

static void socket_listen(void) {
    // A relative name: the directory's own path may be longer than sun_path.
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "s"};
    shim.listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (shim.listen_fd < 0) refuse(EXIT_SYSTEM, "cannot make", "a socket");
    if (bind(shim.listen_fd, (struct sockaddr *)&address, sizeof address) != 0) refuse(EXIT_SYSTEM, "cannot bind", "s");
    chmod("s", 0660);
    if (listen(shim.listen_fd, 16) != 0) refuse(EXIT_SYSTEM, "cannot listen on", "s");
}

static void oom_exempt(void) {
    char value[16] = "0";
    int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    ssize_t got = read(fd, value, sizeof value - 1);
    if (got > 0) value[got] = '\0';
    shim.oom_score_adj = atoi(value);
    // Refused without CAP_SYS_RESOURCE: then the shim competes like any process, and is small.
    if (pwrite(fd, "-1000", 5, 0) != 5) shim.oom_errno = errno;
    close(fd);
}

/// Pages that it has touched stay; its code does in any case. Not every page of every buffer: a hundred shims on a host
/// would lock what they never use.
static void memory_lock(void) {
    extern const char __executable_start[], etext[];
    if (syscall(SYS_mlockall, MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0 || mlock(__executable_start, (size_t)(etext - __executable_start)) != 0)
        shim.memory_errno = errno;
}

/// The rest of what must succeed before the starter is told that the shim listens.
static const char *settle_in(void) {
    shim.pid = getpid();
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) return "become a subreaper";
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    shim.signal_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    if (shim.signal_fd < 0) return "make a signalfd";
    shim.timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (shim.timer_fd < 0) return "make a timerfd";
    oom_exempt();
    memory_lock();
    exit_record_reserve();
    if (shim.conf.notify && notify_start() != NULL) return "make the notify socket";
    char cgroup[3 * PATH_BYTES_MAX], more[3 * PATH_BYTES_MAX + 16] = "";
    escape(cgroup, sizeof cgroup, shim.conf.cgroup != NULL ? shim.conf.cgroup : "");
    if (shim.conf.cgroup != NULL) snprintf(more, sizeof more, "cgroup=%s\n", cgroup);
    if (!identity_write("identity", shim.pid, more)) return "write the file identity";
    clients_start();
    return NULL;
}

/// Wakes the loop at `deadline_ns`, by the clock that also counts suspended time.
static void timer_set(uint64_t deadline_ns) {
    static uint64_t armed_ns = UINT64_MAX;
    // One that is due earlier only wakes for nothing; a watchdog that is fed all the time must not cost a call each time.
    if (deadline_ns == UINT64_MAX || (armed_ns <= deadline_ns && armed_ns > boottime_ns())) return;
    armed_ns = deadline_ns;
    if (deadline_ns == 0) deadline_ns = 1;  // 0 would disarm
    const struct itimerspec at = {
        .it_value = {.tv_sec = (time_t)(deadline_ns / 1000000000u), .tv_nsec = (long)(deadline_ns % 1000000000u)}};
    timerfd_settime(shim.timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

static void finish(void) {
    notify_drain(4096);
    notify_turn(true);
    shim.gone_ns = boottime_ns();
    shim.phase = PHASE_GONE;
    cgroup_remove();
    exit_record_write(true);
    unlink("s");
    // Free before it is said, so that whoever hears `gone` may launch at once.
    flock(shim.slot_fd, LOCK_UN);
    clients_send_event(1, "gone");
    clients_flush();
    _exit(0);
}

/// Once the main process is gone: says so once and sees to what is left.
static void after_exit(bool tree_empty, bool *told) {
    if (!*told) {
        *told = true;
        notify_drain(4096);  // its last words
        notify_turn(true);
        char line[64];
        int since = exited_line(line, sizeof line);
        clients_send_event(since, line);
        if (!tree_empty) {
            clients_flush();  // before what takes a while
            tree_main_ended();
            exit_record_write(false);
        }
    } else if (!tree_empty) {
        tree_turn();
    }
    if (tree_empty) finish();
}

enum { AT_LISTEN, AT_NOTIFY, AT_EXEC, AT_CHILD, AT_TIMER, AT_MAIN, AT_CGROUP, AT_CLIENTS };

/// Waits for whatever comes first.
static bool wait_for(struct pollfd *polled, uint64_t deadline_ns) {
    bool foreign = shim.phase < PHASE_EXITED && shim.main != shim.child;  // of an own child SIGCHLD tells
    const int fds[AT_CLIENTS] = {shim.listen_fd, shim.notify_fd, shim.exec_fd, shim.signal_fd, shim.timer_fd, foreign ? shim.main_fd : -1,
                                 shim.phase == PHASE_EXITED ? cgroup_events_fd() : -1};
    for (int i = 0; i < AT_CLIENTS; i++) polled[i] = (struct pollfd){fds[i], i == AT_CGROUP ? POLLPRI : POLLIN, 0};
    for (int i = 0; i < CLIENTS_MAX; i++) polled[AT_CLIENTS + i] = (struct pollfd){client_fd(i), POLLIN, 0};
    timer_set(deadline_ns);
    if (poll(polled, AT_CLIENTS + CLIENTS_MAX, tree_reaps_left() ? 0 : -1) >= 0) return true;
    if (errno != EINTR) usleep(1000);  // out of kernel memory: nothing to do but try again
    return false;
}

static uint64_t earlier(uint64_t a, uint64_t b) { return a < b ? a : b; }

static void run(void) {
    const uint64_t go_deadline = boottime_ns() + (uint64_t)shim.conf.go_timeout_ms * 1000000u;
    bool told = false;
    uint64_t pause_ns = 1000000u;
    for (;;) {
        clients_flush();
        uint64_t deadline = earlier(notify_deadline(), fence_deadline());
        if (shim.phase == PHASE_WAITING) deadline = earlier(deadline, go_deadline);
        deadline = earlier(deadline, tree_deadline());
        if (tree_wants_looks()) {
            // SIGCHLD and the cgroup pace the killing; this catches what was forked in between.
            deadline = earlier(deadline, boottime_ns() + pause_ns);
            if (pause_ns < 256000000u) pause_ns *= 2;
        }
        struct pollfd polled[AT_CLIENTS + CLIENTS_MAX];
        if (!wait_for(polled, deadline)) continue;
        uint64_t expirations;
        if (polled[AT_TIMER].revents != 0) (void)!read(shim.timer_fd, &expirations, sizeof expirations);
        fence_turn();  // before any request: what comes at or past a deadline is late
        // Requests before deaths: a kill that an emergency stop both asked for and delivered is recorded as its latch's.
        for (int i = 0; i < CLIENTS_MAX; i++) {
            if (polled[AT_CLIENTS + i].revents != 0 && client_fd(i) == polled[AT_CLIENTS + i].fd) client_readable(i);
        }
        if (polled[AT_LISTEN].revents != 0) clients_accept();
        if (polled[AT_NOTIFY].revents != 0) notify_drain(64);
        notify_turn(false);
        if (polled[AT_EXEC].revents != 0 && shim.exec_fd >= 0) {
            worker_exec_settled();
            clients_go_settled();
        }
        if (polled[AT_CHILD].revents != 0) {
            struct signalfd_siginfo info[8];
            while (read(shim.signal_fd, info, sizeof info) > 0) pause_ns = 1000000u;
        }
        if (shim.phase == PHASE_WAITING) {
            if (shim.how == HOW_OPEN && boottime_ns() >= go_deadline) shim.how = HOW_NEVER;
            if (shim.how != HOW_OPEN) finish();
            continue;
        }
        if (polled[AT_MAIN].revents != 0) main_process_looked_at();
        if (polled[AT_CGROUP].revents != 0) (void)cgroup_is_empty();  // only reading it ends the readiness (cgroups(7))
        if (polled[AT_CHILD].revents == 0 && !tree_reaps_left() && shim.phase < PHASE_EXITED) {
            if (tree_is_killed() && polled[AT_TIMER].revents != 0) tree_kill();
            continue;
        }
        bool tree_empty = tree_reap();
        if (shim.phase == PHASE_EXITED) {
            clients_go_settled();  // died before or as the exec pipe was read
            after_exit(tree_empty, &told);
        }
    }
}

/// Forks the shim proper off into its own session; the starter's child stays only until that one listens.
static void detach(void) {
    int ready[2];
    if (pipe2(ready, O_CLOEXEC) != 0) refuse(EXIT_SYSTEM, "cannot make", "a pipe");
    pid_t between = fork();
    if (between < 0) refuse(EXIT_SYSTEM, "cannot fork in", shim.conf.launch);
    if (between > 0) {
        close(ready[1]);
        int status;
        while (waitpid(between, &status, 0) < 0 && errno == EINTR) {}
        char what[64];
        ssize_t got;
        do got = read(ready[0], what, sizeof what - 1);
        while (got < 0 && errno == EINTR);
        if (got == 1 && what[0] == '+') _exit(0);
        unlink("s");
        what[got > 0 ? got : 0] = '\0';
        errno = 0;
        refuse(EXIT_SYSTEM, "cannot", got > 0 ? what : "start: the shim died at once");
    }
    setsid();
    pid_t shim_process = fork();
    if (shim_process != 0) _exit(shim_process < 0);
    close(ready[0]);
    const char *failed = settle_in();
    if (failed != NULL) {
        (void)!write(ready[1], failed, strlen(failed));
        _exit(EXIT_SYSTEM);
    }
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd <= 2 && null >= 0; fd++) dup2(null, fd);
    if (null > 2) close(null);
    (void)!write(ready[1], "+", 1);
    close(ready[1]);
}

int main(int count, char **arguments) {
    errno = 0;
    if (count == 2 && strcmp(arguments[1], "--version") == 0) {
        printf("trading-shim protocol %d\n", PROTOCOL_VERSION);
        return 0;
    }
    if (count < 2 || count > 3) refuse(EXIT_USAGE, "usage:", "trading-shim DIRECTORY [CPUS]");
    // Standard descriptors must be taken, or the slot could land on one of them.
    for (int fd = open("/dev/null", O_RDWR); fd >= 0; fd = open("/dev/null", O_RDWR)) {
        if (fd > 2) {
            close(fd);
            break;
        }
    }
    syscall(SYS_close_range, 3U, ~0U, 0);
    errno = 0;
    signals_settle();
    shim.inherited_umask = umask(0027);
    if (chdir(arguments[1]) != 0) refuse(EXIT_SYSTEM, "cannot enter", arguments[1]);
    if (count == 3) {
        unsigned long mask[CPUS_MAX / (8 * sizeof(unsigned long))];
        if (!cpu_list_parse(arguments[2], mask)) refuse(EXIT_USAGE, "no CPU list:", arguments[2]);
        if (syscall(SYS_sched_setaffinity, 0, sizeof mask, mask) < 0) refuse(EXIT_SYSTEM, "cannot run on CPUs", arguments[2]);
    }
    const char *wrong = conf_read(&shim.conf);
    if (wrong != NULL) refuse(EXIT_USAGE, "the file conf makes no sense:", wrong);
    if (!boot_id_read(shim.boot_id, sizeof shim.boot_id)) refuse(EXIT_SYSTEM, "cannot read", "/proc/sys/kernel/random/boot_id");
    slot_take();
    socket_listen();
    detach();
    run();
}
