// What the shim leaves in its launch directory.
//
// `exit`, one key=value a line, values with %XX as on the socket; the order is by importance, since a run directory that
// is completely full may cut the end off (the reserve keeps that to pathological sizes):
//   version=3  launch=  how=never|failed|exit|signal|unknown  code=N (status or signal number)  core=0|1
//   tree=empty|remaining  errno= step= (failed)  killed=0|1 (through the shim)  latch=ID (of an emergency stop)
//   tree_left= (processes that the main process left)  tree_signal= (that they were told; 0: none)  tree_kill=0|1
//     (the conf wants them killed at once)  tree_killed= (of all but the
//     main process, by SIGKILL)  tree_untold= (of those, without having been told); the last two are missing while
//     the tree remains, and where it died with its PID namespace in an emergency stop, uncounted; all five with a conf of version 1 or 2
//   stopping=0|1 (STOPPING=1 was received)  ready=0|1  pid=  start=  boot=  exited_ns= gone_ns= (CLOCK_BOOTTIME)
//   fence=soft (its signal was sent; of the hard deadline only the file `fence` can tell)  cgroup=PATH
//   utime_us= stime_us= maxrss_kb= minflt= majflt= nvcsw= nivcsw=  what the main process used, children it waited for
//     included (getrusage(2)); absent when its status is unknown. The same with tree_ in front: all processes that the shim
//     has reaped, and those that they had waited for
//   notify.KEY=VALUE, the last value of every key: X_* first
// `unknown`: the main process, named by MAINPID=, was the child of another process of the tree, which took its status.
// `version` is the conf's; the other keys are the same.
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

uint64_t boottime_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

ssize_t small_file_read(const char *path, char *out, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    ssize_t got;
    do got = read(fd, out, size - 1);
    while (got < 0 && errno == EINTR);
    close(fd);
    out[got > 0 ? got : 0] = '\0';
    return got;
}

bool process_stat_read(pid_t pid, struct process_stat *out) {
    char path[48], line[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (small_file_read(path, line, sizeof line) <= 0) return false;
    char *at = strrchr(line, ')');  // the name before it may hold anything, parentheses too
    *out = (struct process_stat){0};
    for (int field = 3; field <= 52; field++) {
        at = at == NULL ? NULL : strchr(at, ' ');
        if (at == NULL) break;
        at++;
        if (field == 3) out->state = *at;
        else if (field == 4) out->parent = (pid_t)strtol(at, NULL, 10);
        else if (field == 20) out->threads = (int)strtol(at, NULL, 10);
        else if (field == 22) out->start = strtoull(at, NULL, 10);
        else if (field == 52) out->exit_status = (int)strtol(at, NULL, 10);
    }
    return out->start != 0;
}

uint64_t process_start(pid_t pid) {
    struct process_stat stat;
    return process_stat_read(pid, &stat) ? stat.start : 0;
}

bool boot_id_read(char *out, size_t size) {
    if (small_file_read("/proc/sys/kernel/random/boot_id", out, size) < 36) return false;
    out[36] = '\0';
    return true;
}

static bool bytes_write(int fd, const char *bytes, size_t size) {
    while (size > 0) {
        ssize_t put = write(fd, bytes, size);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return false;
        bytes += put;
        size -= (size_t)put;
    }
    return true;
}

bool text_write(const char *name, const char *text, size_t size) {
    char temporary[32];
    snprintf(temporary, sizeof temporary, ".%s", name);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0) return false;
    bool written = bytes_write(fd, text, size);
    close(fd);
    return written && rename(temporary, name) == 0;
}

bool identity_write(const char *name, pid_t pid, const char *more) {
    char text[320 + 3 * PATH_BYTES_MAX];
    int size = snprintf(text, sizeof text, "pid=%d\nstart=%llu\nboot=%s\nlaunch=%s\n%s", pid, (unsigned long long)process_start(pid),
                        shim.boot_id, shim.conf.launch, more);
    return text_write(name, text, (size_t)size);
}

void escape(char *out, size_t size, const char *value) {
    static const char digits[] = "0123456789ABCDEF";
    size_t at = 0;
    for (const unsigned char *c = (const unsigned char *)value; *c != '\0' && at + 4 <= size; c++) {
        if (*c < 0x20 || *c == 0x7f || *c == '%') {
            out[at++] = '%';
            out[at++] = digits[*c >> 4];
            out[at++] = digits[*c & 15];
        } else {
            out[at++] = (char)*c;
        }
    }
    out[at] = '\0';
}

static char text[16 * 1024 + NOTIFY_KEYS_MAX * (NOTIFY_KEY_BYTES_MAX + 3 * NOTIFY_VALUE_BYTES_MAX + 16)];
static const size_t reserve_bytes = 8 * 1024;  // two pages hold every ordinary worker's record

void exit_record_reserve(void) {
    shim.exit_fd = open(".exit", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
    // A filesystem without fallocate only loses the reserve.
    if (shim.exit_fd >= 0) (void)fallocate(shim.exit_fd, 0, 0, (off_t)reserve_bytes);
}

static size_t usage_append(size_t at, const char *prefix, const struct rusage *usage) {
    const struct {
        const char *key;
        long long value;
    } figures[] = {
        {"utime_us", usage->ru_utime.tv_sec * 1000000ll + usage->ru_utime.tv_usec},
        {"stime_us", usage->ru_stime.tv_sec * 1000000ll + usage->ru_stime.tv_usec},
        {"maxrss_kb", usage->ru_maxrss}, {"minflt", usage->ru_minflt}, {"majflt", usage->ru_majflt},
        {"nvcsw", usage->ru_nvcsw}, {"nivcsw", usage->ru_nivcsw},
    };
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s=%lld\n", prefix, figures[i].key, figures[i].value);
    return at;
}

static size_t notified_append(size_t at, bool counters) {
    for (int i = 0; notify_key(i) != NULL; i++) {
        if ((strncmp(notify_key(i), "X_", 2) == 0) != counters) continue;
        at += (size_t)snprintf(text + at, sizeof text - at, "notify.%s=", notify_key(i));
        escape(text + at, sizeof text - at - 1, notify_value(i));
        at += strlen(text + at);
        text[at++] = '\n';
    }
    return at;
}

bool exit_record_write(bool tree_empty) {
    static const char *const hows[] = {"never", "never", "failed", "exit", "signal", "unknown"};
    char latch[3 * LATCH_BYTES_MAX + 4], cgroup[3 * PATH_BYTES_MAX];
    escape(latch, sizeof latch, shim.latch);
    escape(cgroup, sizeof cgroup, shim.conf.cgroup != NULL ? shim.conf.cgroup : "");
    const char *stopping = notify_value_of("STOPPING"), *ready = notify_value_of("READY");
    size_t at = (size_t)snprintf(
        text, sizeof text,
        "version=%d\nlaunch=%s\nhow=%s\ncode=%d\ncore=%d\ntree=%s\nerrno=%d\nstep=%s\nkilled=%d\nlatch=%s\nstopping=%d\nready=%d\n"
        "pid=%d\nstart=%llu\nboot=%s\nexited_ns=%llu\ngone_ns=%llu\nfence=%s\ncgroup=%s\n",
        shim.conf.version, shim.conf.launch, hows[shim.how], shim.code, shim.core, tree_empty ? "empty" : "remaining", shim.failed_errno,
        shim.failed_step, shim.killed, latch, stopping != NULL && strcmp(stopping, "1") == 0,
        ready != NULL && strcmp(ready, "1") == 0, shim.main, (unsigned long long)shim.main_start, shim.boot_id,
        (unsigned long long)shim.exited_ns, (unsigned long long)shim.gone_ns, fence_word(), cgroup);
    at += tree_record(text + at, sizeof text - at, tree_empty);
    if (shim.has_usage) at = usage_append(at, "", &shim.usage);
    struct rusage tree;
    if (shim.phase >= PHASE_EXITED && getrusage(RUSAGE_CHILDREN, &tree) == 0) at = usage_append(at, "tree_", &tree);
    at = notified_append(at, true);
    at = notified_append(at, false);

    if (shim.exit_fd < 0) exit_record_reserve();
    if (shim.exit_fd < 0) return false;
    size_t put = 0;
    while (put < at) {
        ssize_t now = write(shim.exit_fd, text + put, at - put);
        if (now < 0 && errno == EINTR) continue;
        if (now <= 0) break;
        put += (size_t)now;
    }
    while (put < at && put > 0 && text[put - 1] != '\n') put--;
    bool written = put > 0 && ftruncate(shim.exit_fd, (off_t)put) == 0 && rename(".exit", "exit") == 0;
    close(shim.exit_fd);
    shim.exit_fd = -1;
    return written;
}
