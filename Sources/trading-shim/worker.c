// The worker's processes: forked, signalled, killed, reaped.
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void launch_failed(int error, const char *step) {
    shim.how = HOW_FAILED;
    shim.failed_errno = error;
    snprintf(shim.failed_step, sizeof shim.failed_step, "%s", step);
}

/// Into its cgroup from its first instant: to move it later would cost milliseconds.
static pid_t fork_into(int cgroup) {
    if (cgroup < 0) return fork();
    struct clone_args arguments = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)cgroup};
    return (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
}

/// What a shim does once its worker runs can wait for what workers and other services do, by milliseconds: when a hundred
/// workers are killed at once, a hundred shims that wake up must not take the CPU from those that are still dying. After the
/// fork, so that the worker is not made to wait with it. Where the kernel shares the CPU among sessions first (autogroup,
/// sched(7)), the shim's session is told as well. Refused, nothing is lost but those milliseconds.
static void give_way(void) {
    enum { LEVELS = 15 };  // a small share, and beside one busy process still within tens of milliseconds
    (void)!nice(LEVELS);
    int fd = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    (void)!write(fd, "15", 2);
    close(fd);
}

void worker_launch(void) {
    int pipe[2];
    if (pipe2(pipe, O_CLOEXEC) != 0) {
        launch_failed(errno, "pipe");
        return;
    }
    int cgroup = cgroup_make();
    if (cgroup < 0 && errno != 0) {
        int error = errno;
        close(pipe[0]);
        close(pipe[1]);
        launch_failed(error, "cgroup");
        return;
    }
    fence_namespace_make();
    pid_t child = fork_into(cgroup);
    if (child == 0) become_worker(pipe[1]);
    int error = errno;
    if (cgroup >= 0) close(cgroup);
    close(pipe[1]);
    if (child < 0) {
        close(pipe[0]);
        launch_failed(error, "fork");
        return;
    }
    shim.child = shim.main = child;
    // Nobody but this process reaps the child, so its number can't have been given to another.
    shim.main_fd = (int)syscall(SYS_pidfd_open, child, 0);
    shim.main_start = process_start(child);
    shim.exec_fd = pipe[0];
    shim.phase = PHASE_LAUNCHING;
    fence_record();
    give_way();
}

void worker_exec_settled(void) {
    struct failure failure;
    ssize_t got;
    do got = read(shim.exec_fd, &failure, sizeof failure);
    while (got < 0 && errno == EINTR);
    close(shim.exec_fd);
    shim.exec_fd = -1;
    if (got == (ssize_t)sizeof failure) {
        failure.step[sizeof failure.step - 1] = '\0';
        launch_failed(failure.error, failure.step);
    } else if (shim.phase == PHASE_LAUNCHING) {
        shim.phase = PHASE_RUNNING;
    }
}

bool worker_signal(int number) {
    if (shim.main_fd >= 0) return syscall(SYS_pidfd_send_signal, shim.main_fd, number, NULL, 0) == 0;
    return kill(shim.main, number) == 0;  // no pidfd (out of descriptors): still unreaped, see worker_launch
}

bool is_of_tree(pid_t pid) {
    struct process_stat stat;
    for (int depth = 0; depth < 64 && pid > 1 && process_stat_read(pid, &stat); depth++) {
        if (stat.parent == shim.pid) return true;
        pid = stat.parent;
    }
    return false;
}

// MARK: MAINPID=

/// The last of the numbers that a process has, the innermost namespace's (proc_pid_status(5)); 0: not to be told.
static pid_t innermost_number(pid_t pid) {
    char path[48], text[4096];
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    if (small_file_read(path, text, sizeof text) <= 0) return 0;
    char *line = strstr(text, "\nNSpid:");
    if (line == NULL) return 0;
    line += 7;
    line[strcspn(line, "\n")] = '\0';
    char *last = strrchr(line, '\t');
    return last == NULL ? 0 : (pid_t)strtol(last, NULL, 10);
}

bool children_visit(pid_t pid, pid_t thread, visitor *visit, void *context) {
    char path[64], bytes[1024];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", pid, thread);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    long child = 0;
    ssize_t got;
    bool more = true;
    while (more) {
        got = read(fd, bytes, sizeof bytes);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        for (ssize_t i = 0; i < got && more; i++) {
            if (bytes[i] >= '0' && bytes[i] <= '9') {
                child = child * 10 + (bytes[i] - '0');
            } else {
                if (child > 0) more = visit((pid_t)child, context);
                child = 0;
            }
        }
    }
    close(fd);
    return !more || got == 0;
}

/// Every number that names an entry of a directory in /proc; stops when told to.
static void numbers_visit(const char *directory, visitor *visit, void *context) {
    int proc = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (proc < 0) return;
    _Alignas(8) char entries[2048];
    long got;
    bool more = true;
    while (more && (got = syscall(SYS_getdents64, proc, entries, sizeof entries)) > 0) {
        for (long at = 0; at < got && more;) {
            unsigned short length;  // struct linux_dirent64: the length at 16, the name at 19
            memcpy(&length, entries + at + 16, sizeof length);
            long pid = strtol(entries + at + 19, NULL, 10);
            if (pid > 0) more = visit((pid_t)pid, context);
            at += length;
        }
    }
    close(proc);
}

enum {
    TREE_DEPTH_MAX = 32,
    VISITS_MAX = 4096,  // of the living: what forks faster than it is visited must not hold the shim
};

struct descent {
    visitor *visit;
    void *context;
    pid_t pid;
    int depth;
    int *left;  // of VISITS_MAX
};

static bool descend(pid_t pid, void *context);

static bool thread_visit(pid_t thread, void *context) {
    struct descent *descent = context;
    (void)children_visit(descent->pid, thread, descend, descent);
    return *descent->left > 0;
}

static bool descend(pid_t pid, void *context) {
    struct descent *above = context;
    struct process_stat stat;
    // The dead have no children, and of a tree that forks for ever are most of it.
    if (process_stat_read(pid, &stat) && (stat.state == 'X' || (stat.state == 'Z' && stat.threads <= 1))) return true;
    above->visit(pid, above->context);
    if (--*above->left == 0) return false;
    if (above->depth == TREE_DEPTH_MAX) return true;
    struct descent below = {above->visit, above->context, pid, above->depth + 1, above->left};
    char path[48];
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    numbers_visit(path, thread_visit, &below);
    return *above->left > 0;
}

static bool of_tree_visit(pid_t pid, void *context) {
    struct descent *descent = context;
    if (is_of_tree(pid)) descent->visit(pid, descent->context);
    return true;
}

bool tree_visit(visitor *visit, void *context) {
    int left = VISITS_MAX;
    struct descent descent = {visit, context, shim.pid, 0, &left};
    if (!children_visit(shim.pid, shim.pid, descend, &descent)) numbers_visit("/proc", of_tree_visit, &descent);
    return left > 0;
}

struct search {
    pid_t wanted, found;
};

static bool search_visit(pid_t pid, void *context) {
    struct search *search = context;
    if (innermost_number(pid) != search->wanted || pid == fence_init() || !is_of_tree(pid)) return true;
    search->found = pid;
    return false;
}

bool main_process_change(pid_t wanted) {
    if (shim.phase != PHASE_RUNNING || wanted <= 1) return false;
    pid_t pid = wanted;
    if (fence_has_namespace()) {
        // Said in the worker's own numbers. A sender of yet another namespace within is not followed.
        struct search search = {.wanted = wanted};
        numbers_visit("/proc", search_visit, &search);
        pid = search.found;
    }
    if (pid <= 1) return false;
    if (pid == shim.main) return true;
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0) return false;
    struct process_stat stat;
    struct pollfd ended = {.fd = fd, .events = POLLIN};
    // With the pidfd open, what is read now is about the process it holds, if that still lives afterwards.
    if (!process_stat_read(pid, &stat) || !is_of_tree(pid) || poll(&ended, 1, 0) != 0) {
        close(fd);
        return false;
    }
    if (shim.main_fd >= 0) close(shim.main_fd);
    shim.main = pid, shim.main_fd = fd, shim.main_start = stat.start;
    (void)identity_write("worker", pid, "");
    char line[64];
    snprintf(line, sizeof line, "mainpid %d %llu", pid, (unsigned long long)stat.start);
    clients_send_event(2, line);
    return true;
}

// MARK: The end

/// Of one round of kills.
struct stroke {
    pid_t own_session, group;  // the shim's, and the last that was met
};

/// And its process group at one stroke: kill(2) holds forks off for that long, and who forks faster than the list is read is never met by
/// number. A session that is not the shim's was begun in the tree, and so holds nothing else; while a child is unreaped its group's number
/// is nobody else's. Each group once: a stroke goes through all of it.
static bool kill_visit(pid_t pid, void *context) {
    struct stroke *stroke = context;
    kill(pid, SIGKILL);
    pid_t session = getsid(pid), group = getpgid(pid);
    if (session > 0 && session != stroke->own_session && group > 1 && group != stroke->group) kill(-group, SIGKILL);
    stroke->group = group;
    return true;
}

static bool kill_own_visit(pid_t pid, void *context) {
    struct process_stat stat;
    if (process_stat_read(pid, &stat) && stat.parent == shim.pid) kill_visit(pid, context);
    return true;
}

bool tree_kill_at_once(void) {
    if (shim.main > 0 && shim.phase < PHASE_EXITED) worker_signal(SIGKILL);
    return cgroup_kill();
}

void tree_kill(void) {
    tree_kill_begins(shim.latch[0] != '\0');
    (void)tree_kill_at_once();
    // Direct children alone, by number: they stay ours to reap, so none of these numbers can be another's. What they
    // leave behind is orphaned to the shim (PR_SET_CHILD_SUBREAPER), or dies with its namespace's init, which is one of
    // them, and is met in the next round. Also with a cgroup: a process may have left it.
    struct stroke stroke = {.own_session = getsid(0)};
    if (!children_visit(shim.pid, shim.pid, kill_visit, &stroke)) numbers_visit("/proc", kill_own_visit, &stroke);  // without CONFIG_PROC_CHILDREN
}

static void main_process_ended(enum how how, int code, bool core) {
    if (shim.exec_fd >= 0) worker_exec_settled();  // a failure may be waiting there; its exit status is not the worker's
    shim.exited_ns = boottime_ns();
    if (shim.how == HOW_OPEN) shim.how = how, shim.code = code, shim.core = core;
    shim.phase = PHASE_EXITED;
    if (shim.main_fd >= 0) close(shim.main_fd);
    shim.main_fd = -1;
}

static void main_process_status(int status) {
    if (WIFEXITED(status)) main_process_ended(HOW_EXIT, WEXITSTATUS(status), false);
    else main_process_ended(HOW_SIGNAL, WTERMSIG(status), WCOREDUMP(status));
}

/// What the kernel still knows of a reaped process through its pidfd (Linux 6.15, pidfd.h); false: nothing.
static bool exit_status_kept(int fd, int *status) {
    struct {
        uint64_t mask, cgroup;
        uint32_t pid, tgid, ppid, ids[8];
        int32_t exit_code;
    } about = {.mask = 1u << 3 /* PIDFD_INFO_EXIT */};
    _Static_assert(sizeof about == 64, "struct pidfd_info of its first version");
    if (ioctl(fd, _IOC(_IOC_READ | _IOC_WRITE, 0xff, 11, sizeof about), &about) != 0 || (about.mask & (1u << 3)) == 0) return false;
    *status = about.exit_code;
    return true;
}

/// Dead, its status read, and another's to reap, until that one dies too.
static bool main_is_zombie;

void main_process_looked_at(void) {
    if (shim.phase >= PHASE_EXITED || shim.main == shim.child) return;  // an own child's status comes by waitid(2)
    struct pollfd ended = {.fd = shim.main_fd, .events = POLLIN};
    if (poll(&ended, 1, 0) <= 0) return;
    struct process_stat stat;
    int status;
    if (process_stat_read(shim.main, &stat) && stat.start == shim.main_start) {
        if (stat.parent == shim.pid) return;  // orphaned to the shim meanwhile
        // X: its parent is just taking it, and what is kept for the pidfd comes only at the end of that.
        if (stat.state == 'Z' || stat.state == 'X') {
            main_is_zombie = true;
            main_process_status(stat.exit_status);
            return;
        }
    }
    if (exit_status_kept(shim.main_fd, &status)) main_process_status(status);
    else main_process_ended(HOW_UNKNOWN, 0, false);
}

/// So many in one turn: a tree that forks faster than it is reaped must keep the shim neither from an order nor from killing it.
#define REAPS_MAX 256
static bool reaps_left;

bool tree_reaps_left(void) { return reaps_left; }

bool tree_reap(void) {
    reaps_left = false;
    for (int reaps = 0;; reaps++) {
        if (reaps == REAPS_MAX) {
            reaps_left = true;
            return false;
        }
        siginfo_t info;
        struct rusage usage;
        info.si_pid = 0;
        // The system call itself: the C library's waitid(3) hides its fifth argument.
        if (syscall(SYS_waitid, P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL, NULL) != 0) {
            if (errno == EINTR) continue;
            return errno == ECHILD && cgroup_is_empty();
        }
        if (info.si_pid == 0) return false;
        // Read while its number is still its own, and of the killed alone: a tree that forks for ever must not outrun this.
        bool by_kill = info.si_code != CLD_EXITED && info.si_status == SIGKILL;
        uint64_t start = by_kill && info.si_pid != shim.main && info.si_pid != fence_init() ? process_start(info.si_pid) : 0;
        if (syscall(SYS_waitid, P_PID, info.si_pid, &info, WEXITED | WNOHANG | __WALL, &usage) != 0) continue;
        if (start != 0) tree_reaped_killed(info.si_pid, start);
        if (info.si_pid == shim.main && (shim.phase < PHASE_EXITED || main_is_zombie)) {
            shim.usage = usage, shim.has_usage = true;
            main_is_zombie = false;
        }
        if (info.si_pid == shim.main && shim.phase < PHASE_EXITED) {
            main_process_ended(info.si_code == CLD_EXITED ? HOW_EXIT : HOW_SIGNAL, info.si_status, info.si_code == CLD_DUMPED);
        }
        if (info.si_pid == shim.child) shim.child = 0;
        if (info.si_pid == fence_init()) fence_init_reaped();
    }
}
