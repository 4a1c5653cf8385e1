// The child between fork and exec. The order: what needs the shim's own rights first; real-time scheduling only once the
// process is on its own CPUs; the user given up after all that needs the old one; what giving it up would clear (ambient
// capabilities, the death signal) after it. The word of the step that failed goes through the exec pipe with its errno:
//   setsid  identity  slot  stdout  stderr  limit-NAME  cpus  memory  nice  scheduler  oom  groups  gid  uid
//   capabilities  cwd  fence  exec      and before the child exists: pipe  cgroup  fork
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void fail(int pipe, const char *step) {
    struct failure failure = {.error = errno};
    snprintf(failure.step, sizeof failure.step, "%s", step);
    ssize_t put;
    do put = write(pipe, &failure, sizeof failure);
    while (put < 0 && errno == EINTR);
    _exit(127);
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

static bool output_open(const char *path, int onto) {
    // O_NONBLOCK: a FIFO without a reader must fail, not hang the launch.
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0640);
    if (fd < 0) return false;
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == 0 && dup2(fd, onto) >= 0;
}

/// Its number in the shim's own namespace: getpid(2) tells another one in a namespace of the worker's.
static pid_t own_number(void) {
    char text[24] = "";
    return readlink("/proc/self", text, sizeof text - 1) > 0 ? (pid_t)strtol(text, NULL, 10) : getpid();
}

static void limits_set(int pipe) {
    for (int i = 0; i < LIMITS_MAX; i++) {
        const struct limit *limit = &shim.conf.limits[i];
        if (!limit->set || setrlimit((__rlimit_resource_t)i, &limit->value) == 0) continue;
        int error = errno;
        char step[STEP_BYTES_MAX];
        snprintf(step, sizeof step, "limit-%s", limit_name(i));
        errno = error;
        fail(pipe, step);
    }
}

static void placement_set(int pipe) {
    struct conf *conf = &shim.conf;
    unsigned long mask[CPU_WORDS];
    if (conf->cpus != NULL) {
        if (!cpu_list_parse(conf->cpus, mask)) errno = EINVAL, fail(pipe, "cpus");
        if (syscall(SYS_sched_setaffinity, 0, sizeof mask, mask) < 0) fail(pipe, "cpus");
    }
    if (conf->memory_policy == MPOL_DEFAULT) return;
    const unsigned long *nodes = NULL;
    if (conf->memory_nodes != NULL) {
        if (!cpu_list_parse(conf->memory_nodes, mask)) errno = EINVAL, fail(pipe, "memory");
        nodes = mask;
    }
    // The count is one more than the number of bits, an old slip of that call (set_mempolicy(2), BUGS).
    if (syscall(SYS_set_mempolicy, conf->memory_policy, nodes, nodes == NULL ? 0ul : CPUS_MAX + 1ul) != 0) fail(pipe, "memory");
}

static void scheduling_set(int pipe) {
    struct conf *conf = &shim.conf;
    if (conf->has_nice && setpriority(PRIO_PROCESS, 0, conf->nice) != 0) fail(pipe, "nice");
    if (!conf->has_scheduler) return;
    const struct sched_param parameter = {.sched_priority = conf->priority};
    if (syscall(SYS_sched_setscheduler, 0, conf->scheduler, &parameter) != 0) fail(pipe, "scheduler");
}

static bool oom_score_write(int score) {
    char value[16];
    int size = snprintf(value, sizeof value, "%d", score);
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return false;
    bool written = write(fd, value, (size_t)size) == size;
    int error = errno;
    close(fd);
    errno = error;
    return written;
}

/// Ambient ones survive the exec of an ordinary program by an ordinary user (capabilities(7)); nothing else is kept.
static void capabilities_set(int pipe) {
    const uint64_t wanted = shim.conf.capabilities;
    if (wanted == 0) return;
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[2];
    if (syscall(SYS_capget, &header, sets) != 0) fail(pipe, "capabilities");
    for (int half = 0; half < 2; half++) {
        uint32_t bits = (uint32_t)(wanted >> (32 * half));
        if ((sets[half].permitted & bits) != bits) errno = EPERM, fail(pipe, "capabilities");
        sets[half].inheritable = bits;
        if (geteuid() != 0) sets[half].permitted = bits;  // root gets them all back at exec
        sets[half].effective = sets[half].permitted;
    }
    if (syscall(SYS_capset, &header, sets) != 0) fail(pipe, "capabilities");
    for (unsigned long number = 0; number < 64; number++) {
        if ((wanted >> number & 1) != 0 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0) != 0) fail(pipe, "capabilities");
    }
}

static void user_set(int pipe) {
    struct conf *conf = &shim.conf;
    bool same = conf->group_count == 0 && (!conf->has_uid || conf->uid == geteuid()) && (!conf->has_gid || conf->gid == getegid());
    if (same && !(conf->has_gid && geteuid() == 0)) return;
    // Nobody but root may set groups, not even to what they are.
    if (setgroups((size_t)conf->group_count, conf->groups) != 0) fail(pipe, "groups");
    if (conf->has_gid && setresgid(conf->gid, conf->gid, conf->gid) != 0) fail(pipe, "gid");
    if (conf->capabilities != 0 && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) fail(pipe, "capabilities");
    if (conf->has_uid && setresuid(conf->uid, conf->uid, conf->uid) != 0) fail(pipe, "uid");
}

static void environment_complete(void) {
    static char launch[16 + ID_BYTES_MAX], notify[16 + 128], period[40], process[32];
    struct conf *conf = &shim.conf;
    int count = conf->environment_count;
    snprintf(launch, sizeof launch, "TRADING_LAUNCH=%s", conf->launch);
    conf->environment[count++] = launch;
    if (conf->notify) {
        snprintf(notify, sizeof notify, "NOTIFY_SOCKET=%s", notify_name());
        conf->environment[count++] = notify;
    }
    if (conf->watchdog_ms != 0) {
        snprintf(period, sizeof period, "WATCHDOG_USEC=%llu", conf->watchdog_ms * 1000ull);
        conf->environment[count++] = period;
        // As the worker itself counts: it compares this with its getpid(2).
        snprintf(process, sizeof process, "WATCHDOG_PID=%d", getpid());
        conf->environment[count++] = process;
    }
    conf->environment[count] = NULL;
}

/// Without a namespace whose end takes it along, at least the main process dies with the shim.
static void death_signal_set(int pipe) {
    if (!shim.conf.fence || fence_has_namespace()) return;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) fail(pipe, "fence");
    if (getppid() != shim.pid) errno = ESRCH, fail(pipe, "fence");
}

void become_worker(int pipe) {
    struct conf *conf = &shim.conf;
    // Its own session: a ^C or killpg in the shim's must not reach it, and where the kernel groups by session (autogroup,
    // sched(7)) the shim's turn on the CPU is not the worker's.
    if (setsid() < 0) fail(pipe, "setsid");
    if (!identity_write("worker", own_number(), "")) fail(pipe, "identity");
    if (fcntl(shim.slot_fd, F_DUPFD, 100) < 0) fail(pipe, "slot");  // without close-on-exec, on purpose: see shim.h
    if (!output_open(conf->standard_output != NULL ? conf->standard_output : "/dev/null", 1)) fail(pipe, "stdout");
    if (!output_open(conf->standard_error != NULL ? conf->standard_error : "/dev/null", 2)) fail(pipe, "stderr");
    limits_set(pipe);
    placement_set(pipe);
    scheduling_set(pipe);
    // Not its own doing when nothing was asked for: then what can't be restored stays.
    if (!oom_score_write(conf->has_oom ? conf->oom : shim.oom_score_adj) && conf->has_oom) fail(pipe, "oom");
    umask(conf->has_umask ? conf->umask : shim.inherited_umask);
    user_set(pipe);
    capabilities_set(pipe);
    if (chdir(conf->cwd != NULL ? conf->cwd : "/") != 0) fail(pipe, "cwd");  // as the worker's user, who must be allowed
    environment_complete();
    death_signal_set(pipe);
    signals_reset();
    execve(conf->arguments[0], conf->arguments, conf->environment);
    fail(pipe, "exec");
}
