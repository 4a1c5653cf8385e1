// The fence of one launch (conf: fence=1): a soft deadline at which the shim sends a signal by itself, and a hard one that
// needs no shim code: a POSIX timer on CLOCK_BOOTTIME that delivers SIGKILL to the shim, stopped or frozen as it may be
// (timer_create(2)), and a PID namespace for the tree whose init dies with the shim (pid_namespaces(7)).
//
// `fence ID EPOCH SOFT HARD SIGNAL`, deadlines absolute, before `go` (which is refused without one) and again to extend:
//   no-fence   the conf has none                 not-running  the worker has ended
//   fenced     the soft or hard deadline has passed: nothing is ever extended any more, and nothing launched
//   epoch      another epoch than the first      earlier      a deadline before the one in force
//   beyond     the hard deadline is later than now + the first TTL (its hard deadline less the time it was armed at)
//
// The file `fence`, one key=value a line: launch= boot= epoch= soft_ns= hard_ns= signal= pidns=0|1 (absent before `go`). It is
// there before the first timer runs and follows each extension. No `exit`, the slot free and hard_ns past: it has struck.
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct {
    bool armed, timer_made, over, signalled, namespace_tried;
    int timer, signal, namespace_errno;
    pid_t init;
    uint64_t epoch, soft, hard, ttl;
} fence;

bool fence_is_armed(void) { return fence.armed; }
bool fence_has_namespace(void) { return fence.init > 0; }
pid_t fence_init(void) { return fence.init; }
void fence_init_reaped(void) { fence.init = 0; }
const char *fence_word(void) { return fence.signalled ? "soft" : ""; }

/// The namespace's init: reaps, and dies with the shim.
static void init_run(int ready) {
    char name[] = "trading-init";
    prctl(PR_SET_NAME, name, 0, 0, 0);
    // Before the word: a shim that is gone by now can't read it, and one that dies later is noticed.
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || chdir("/") != 0 || write(ready, "+", 1) != 1) _exit(1);
    syscall(SYS_close_range, 0U, ~0U, 0);
    sigset_t children;
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);  // blocked, as all are in the shim
    for (;;) {
        siginfo_t info;
        info.si_pid = 0;
        while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | __WALL) == 0 && info.si_pid != 0) info.si_pid = 0;
        sigwaitinfo(&children, NULL);
    }
}

static void namespace_make(void) {
    int ready[2];
    if (pipe2(ready, O_CLOEXEC) != 0) {
        fence.namespace_errno = errno;
        return;
    }
    if (unshare(CLONE_NEWPID) != 0) {
        fence.namespace_errno = errno;
    } else {
        pid_t init = fork();
        if (init == 0) {
            close(ready[0]);
            init_run(ready[1]);
        }
        fence.namespace_errno = init < 0 ? errno : 0;
        close(ready[1]);
        ready[1] = -1;
        char word = 0;
        ssize_t got = 0;
        if (init > 0) {
            do got = read(ready[0], &word, 1);
            while (got < 0 && errno == EINTR);
        }
        // Without its init nothing can be forked in that namespace: the launch itself then fails, and says so.
        if (got == 1) fence.init = init;
        else if (init > 0) fence.namespace_errno = ESRCH;
    }
    close(ready[0]);
    if (ready[1] >= 0) close(ready[1]);
}

void fence_namespace_make(void) {
    if (!shim.conf.fence) return;
    fence.namespace_tried = true;
    namespace_make();
    char line[LINE_MAX_BYTES];
    if (fence.namespace_errno != 0) clients_send_event(2, fence_event(2, line, sizeof line));
}

static bool timer_arm(uint64_t hard) {
    if (!fence.timer_made) {
        // The kernel's own call: the C library's brings threads along.
        struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
        if (syscall(SYS_timer_create, CLOCK_BOOTTIME, &event, &fence.timer) != 0) return false;
        fence.timer_made = true;
    }
    const struct itimerspec at = {.it_value = {.tv_sec = (time_t)(hard / 1000000000u), .tv_nsec = (long)(hard % 1000000000u)}};
    return syscall(SYS_timer_settime, fence.timer, TIMER_ABSTIME, &at, NULL) == 0;
}

static bool file_write(void) {
    char text[512];
    int size = snprintf(text, sizeof text, "launch=%s\nboot=%s\nepoch=%llu\nsoft_ns=%llu\nhard_ns=%llu\nsignal=%d\n", shim.conf.launch,
                        shim.boot_id, (unsigned long long)fence.epoch, (unsigned long long)fence.soft, (unsigned long long)fence.hard,
                        fence.signal);
    if (fence.namespace_tried) size += snprintf(text + size, sizeof text - (size_t)size, "pidns=%d\n", fence_has_namespace());
    return text_write("fence", text, (size_t)size);
}

void fence_record(void) {
    if (fence.armed) (void)file_write();
}

bool fence_is_over(void) {
    fence_turn();
    return fence.over;
}

uint64_t fence_last_moment(void) {
    const uint64_t margin_max = 250000000u;
    if (!fence.armed) return UINT64_MAX;
    return fence.hard - (fence.ttl / 8 < margin_max ? fence.ttl / 8 : margin_max);
}

uint64_t fence_deadline(void) { return fence.armed && !fence.over ? fence.soft : UINT64_MAX; }

const char *fence_event(int index, char *line, size_t size) {
    const bool said[] = {fence.armed, fence.over, fence.namespace_tried && fence.namespace_errno != 0};
    if (index > 2) return NULL;
    *line = '\0';
    if (!said[index]) return line;
    if (index == 0) {
        snprintf(line, size, "fence armed %llu %llu %llu", (unsigned long long)fence.epoch, (unsigned long long)fence.soft,
                 (unsigned long long)fence.hard);
    } else if (index == 1) {
        snprintf(line, size, "fence soft %llu", (unsigned long long)fence.epoch);
    } else {
        snprintf(line, size, "fence pidns=0 %s", strerror(fence.namespace_errno));
    }
    return line;
}

void fence_turn(void) {
    if (!fence.armed || fence.over || boottime_ns() < fence.soft) return;
    fence.over = true;
    char line[LINE_MAX_BYTES];
    if (shim.phase == PHASE_WAITING) {
        if (shim.how == HOW_OPEN) shim.how = HOW_NEVER;
    } else if (shim.phase < PHASE_EXITED) {
        fence.signalled = true;
        worker_signal(fence.signal);
    }
    clients_send_event(2, fence_event(1, line, sizeof line));
}

static const char *refusal(uint64_t epoch, uint64_t soft, uint64_t hard, uint64_t now) {
    if (!shim.conf.fence) return "no-fence this launch has none";
    if (fence_is_over() || (fence.armed && now >= fence.hard)) return "fenced its deadline has passed";
    if (shim.phase >= PHASE_EXITED || shim.how != HOW_OPEN) return "not-running this launch has ended";
    if (soft > hard || hard <= now) return "bad-request the deadlines are past or in the wrong order";
    if (!fence.armed) return NULL;
    if (epoch != fence.epoch) return "epoch it is armed for another epoch";
    if (soft < fence.soft || hard < fence.hard) return "earlier a deadline is never moved forward";
    if (hard > now && hard - now > fence.ttl) return "beyond its first TTL is as far as it goes";
    return NULL;
}

void fence_request(char *answer, size_t size, const char *id, char *const words[4]) {
    uint64_t epoch, soft, hard, number, now = boottime_ns();
    if (!number_parse(words[0], 10, UINT64_MAX, &epoch) || !number_parse(words[1], 10, INT64_MAX, &soft) ||
        !number_parse(words[2], 10, INT64_MAX, &hard) || !number_parse(words[3], 10, 64, &number) || number == 0) {
        snprintf(answer, size, "err %s bad-request wanted: fence ID EPOCH SOFT_NS HARD_NS SIGNAL", id);
        return;
    }
    const char *why = refusal(epoch, soft, hard, now);
    if (why != NULL) {
        snprintf(answer, size, "err %s %s", id, why);
        return;
    }
    bool first = !fence.armed;
    uint64_t old_soft = fence.soft, old_hard = fence.hard;
    fence.epoch = epoch, fence.soft = soft, fence.hard = hard, fence.signal = (int)number;
    // First the file, so that no fence strikes unannounced; later first the timer, so that the file never claims more time
    // than the worker has.
    if ((first && !file_write()) || !timer_arm(hard)) {
        int error = errno;
        fence.soft = old_soft, fence.hard = old_hard;
        snprintf(answer, size, "err %s failed %d fence", id, error);
        return;
    }
    if (first) fence.ttl = hard - now;
    else (void)file_write();
    fence.armed = true;
    snprintf(answer, size, "ok %s armed %llu", id, (unsigned long long)hard);
    char line[LINE_MAX_BYTES];
    clients_send_event(2, fence_event(0, line, sizeof line));
}
