#include "shim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/// What a launch that failed says through the close-on-exec pipe; an exec that succeeds says nothing and closes it.
struct failure {
    int error;
    char step[16];
};

static void fail(int pipe, const char *step) {
    struct failure failure = {.error = errno};
    snprintf(failure.step, sizeof failure.step, "%s", step);
    ssize_t put;
    do put = write(pipe, &failure, sizeof failure);
    while (put < 0 && errno == EINTR);
    _exit(127);
}

static bool output_open(const char *path, int onto) {
    // O_NONBLOCK: a FIFO without a reader must fail, not hang the launch.
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0640);
    if (fd < 0) return false;
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == 0 && dup2(fd, onto) >= 0;
}

void dispositions_reset(void) {
    // The kernel's own structure (handler, flags, restorer, mask), all zero: SIG_DFL. Not sigaction(3), which refuses 32 and
    // 33; those do arrive ignored from some ancestors.
    const unsigned long plain[4] = {0, 0, 0, 0};
    for (int number = 1; number <= 64; number++) syscall(SYS_rt_sigaction, number, plain, NULL, (size_t)8);
}

static void signals_reset(void) {
    // Ignored signals pass through exec, and the agent's event loop ignores SIGPIPE.
    dispositions_reset();
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void oom_score_restore(void) {
    char value[16];
    int size = snprintf(value, sizeof value, "%d", shim.oom_score_adj);
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    (void)!write(fd, value, (size_t)size);
    close(fd);
}

static void environment_complete(struct conf *conf) {
    static char launch[16 + ID_BYTES_MAX], notify[16 + 128];
    int count = conf->environment_count;
    snprintf(launch, sizeof launch, "TRADING_LAUNCH=%s", conf->launch);
    conf->environment[count++] = launch;
    if (conf->notify) {
        snprintf(notify, sizeof notify, "NOTIFY_SOCKET=%s", notify_name());
        conf->environment[count++] = notify;
    }
    conf->environment[count] = NULL;
}

/// In the child, up to exec.
static void become_worker(int pipe) {
    struct conf *conf = &shim.conf;
    // Its own group: a person's ^C or killpg in the shim's session must not reach it.
    if (setpgid(0, 0) != 0) fail(pipe, "setpgid");
    if (!identity_write("worker", getpid())) fail(pipe, "identity");
    if (fcntl(shim.slot_fd, F_DUPFD, 100) < 0) fail(pipe, "slot");  // without close-on-exec, on purpose: see shim.h
    if (conf->cpus != NULL) {
        unsigned long mask[CPUS_MAX / (8 * sizeof(unsigned long))];
        if (!cpu_list_parse(conf->cpus, mask)) errno = EINVAL, fail(pipe, "cpus");
        if (syscall(SYS_sched_setaffinity, 0, sizeof mask, mask) < 0) fail(pipe, "cpus");
    }
    if (!output_open(conf->standard_output != NULL ? conf->standard_output : "/dev/null", 1)) fail(pipe, "stdout");
    if (!output_open(conf->standard_error != NULL ? conf->standard_error : "/dev/null", 2)) fail(pipe, "stderr");
    oom_score_restore();
    umask(conf->has_umask ? conf->umask : shim.inherited_umask);
    bool same = conf->group_count == 0 && (!conf->has_uid || conf->uid == geteuid()) && (!conf->has_gid || conf->gid == getegid());
    if (!same || (conf->has_gid && geteuid() == 0)) {  // nobody but root may set groups, not even to what they are
        if (setgroups((size_t)conf->group_count, conf->groups) != 0) fail(pipe, "groups");
        if (conf->has_gid && setresgid(conf->gid, conf->gid, conf->gid) != 0) fail(pipe, "gid");
        if (conf->has_uid && setresuid(conf->uid, conf->uid, conf->uid) != 0) fail(pipe, "uid");
    }
    if (chdir(conf->cwd != NULL ? conf->cwd : "/") != 0) fail(pipe, "cwd");  // as the worker's user, who must be allowed
    environment_complete(conf);
    signals_reset();
    execve(conf->arguments[0], conf->arguments, conf->environment);
    fail(pipe, "exec");
}

static void launch_failed(int error, const char *step) {
    shim.how = HOW_FAILED;
    shim.failed_errno = error;
    snprintf(shim.failed_step, sizeof shim.failed_step, "%s", step);
}

void worker_launch(void) {
    int pipe[2];
    if (pipe2(pipe, O_CLOEXEC) != 0) {
        launch_failed(errno, "pipe");
        return;
    }
    pid_t child = fork();
    if (child == 0) become_worker(pipe[1]);
    int error = errno;
    close(pipe[1]);
    if (child < 0) {
        close(pipe[0]);
        launch_failed(error, "fork");
        return;
    }
    shim.worker = child;
    // Nobody but this process reaps the child, so its number can't have been given to another.
    shim.worker_fd = (int)syscall(SYS_pidfd_open, child, 0);
    shim.worker_start = process_start(child, NULL);
    shim.exec_fd = pipe[0];
    shim.phase = PHASE_LAUNCHING;
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
    if (shim.worker_fd >= 0) return syscall(SYS_pidfd_send_signal, shim.worker_fd, number, NULL, 0) == 0;
    return kill(shim.worker, number) == 0;  // no pidfd (out of descriptors): still unreaped, see worker_launch
}

/// For a kernel without CONFIG_PROC_CHILDREN: every process whose parent is the shim.
static void tree_kill_by_scan(void) {
    DIR *proc = opendir("/proc");
    if (proc == NULL) return;
    for (struct dirent *entry; (entry = readdir(proc)) != NULL;) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10), parent = 0;
        if (pid > 0 && process_start(pid, &parent) != 0 && parent == shim.pid) kill(pid, SIGKILL);
    }
    closedir(proc);
}

void tree_kill(void) {
    if (shim.worker > 0 && shim.phase < PHASE_EXITED) worker_signal(SIGKILL);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", shim.pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        tree_kill_by_scan();
        return;
    }
    // Direct children alone, by number: they stay ours to reap, so none of these numbers can be another's. What they
    // leave behind is orphaned to the shim (PR_SET_CHILD_SUBREAPER) and is met in the next round.
    char bytes[4096];
    long pid = 0;
    for (;;) {
        ssize_t got = read(fd, bytes, sizeof bytes);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        for (ssize_t i = 0; i < got; i++) {
            if (bytes[i] >= '0' && bytes[i] <= '9') {
                pid = pid * 10 + (bytes[i] - '0');
            } else {
                if (pid > 0) kill((pid_t)pid, SIGKILL);
                pid = 0;
            }
        }
    }
    close(fd);
}

static void main_process_ended(const siginfo_t *info) {
    if (shim.exec_fd >= 0) worker_exec_settled();  // a failure may be waiting there; its exit status is not the worker's
    shim.exited_ns = boottime_ns();
    if (shim.how == HOW_OPEN) {
        shim.how = info->si_code == CLD_EXITED ? HOW_EXIT : HOW_SIGNAL;
        shim.code = info->si_status;
        shim.core = info->si_code == CLD_DUMPED;
    }
    shim.phase = PHASE_EXITED;
    if (shim.worker_fd >= 0) close(shim.worker_fd);
    shim.worker_fd = -1;
}

bool tree_reap(void) {
    for (;;) {
        siginfo_t info;
        info.si_pid = 0;
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | __WALL) != 0) {
            if (errno == EINTR) continue;
            return errno == ECHILD;
        }
        if (info.si_pid == 0) return false;
        if (info.si_pid == shim.worker && shim.phase < PHASE_EXITED) main_process_ended(&info);
    }
}
