// What a main process leaves of its tree: told to stop, given time, in the end killed, and counted.
//
// Version 3. A grace belongs to the tree as the proof of its end does: `sh -c` without `exec` and `trap … ; program & wait`
// end at the stop signal while the program has yet to flush.
#include "shim.h"

#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { TOLD_MAX = 512 };  // what is beyond is not told, and counted so

static struct {
    bool ordered;          // by `stop`: whoever asked ends the grace too
    bool handled;          // the main process's end was
    bool killing;          // SIGKILL was sent, or is now
    bool counted;          // false: they died unseen, with their namespace
    int signal;            // 0: nothing was told
    uint64_t deadline_ns;  // of an end that nobody ordered
    int left, killed, untold, told_count;
    struct {
        pid_t pid;
        uint64_t start;
    } told[TOLD_MAX];
} tree = {.counted = true, .deadline_ns = UINT64_MAX};

static bool was_told(pid_t pid, uint64_t start) {
    for (int i = 0; i < tree.told_count; i++) {
        if (tree.told[i].pid == pid && tree.told[i].start == start) return true;
    }
    return false;
}

static bool is_alive(pid_t pid, struct process_stat *stat) {
    return pid != fence_init() && process_stat_read(pid, stat) && stat->state != 'Z' && stat->state != 'X';
}

static bool count_visit(pid_t pid, void *context) {
    struct process_stat stat;
    if (is_alive(pid, &stat)) (*(int *)context)++;
    return true;
}

struct telling {
    bool again;
    int told;
};

/// In a later round a process whose parent was told is that one's own business: it may have been forked since, to flush.
static bool tell_visit(pid_t pid, void *context) {
    struct telling *telling = context;
    struct process_stat stat, parent;
    if (tree.told_count == TOLD_MAX || !is_alive(pid, &stat) || was_told(pid, stat.start)) return true;
    if (telling->again && process_stat_read(stat.parent, &parent) && was_told(stat.parent, parent.start)) return true;
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0) return true;
    // With the pidfd open, what is read now is about the process that it holds.
    if (process_start(pid) == stat.start && syscall(SYS_pidfd_send_signal, fd, tree.signal, NULL, 0) == 0) {
        if (stat.state == 'T') (void)syscall(SYS_pidfd_send_signal, fd, SIGCONT, NULL, 0);
        tree.told[tree.told_count].pid = pid;
        tree.told[tree.told_count++].start = stat.start;
        telling->told++;
    }
    close(fd);
    return true;
}

static void tell(void) {
    enum { ROUNDS_MAX = 3 };
    // Again for what was forked as the first round passed by.
    for (int round = 0; round < ROUNDS_MAX; round++) {
        struct telling telling = {.again = round > 0};
        tree_visit(tell_visit, &telling);
        if (telling.told == 0) return;
    }
}

static uint64_t own_deadline(void) { return boottime_ns() + (uint64_t)shim.conf.tree_grace_ms * 1000000u; }

const char *tree_event(char *line, size_t size) {
    if (!tree.handled || tree.left == 0) return NULL;
    snprintf(line, size, "tree %d %d %llu", tree.left, tree.killing ? 0 : tree.signal,
             (unsigned long long)(tree.ordered || tree.killing ? 0 : tree.deadline_ns));
    return line;
}

void tree_main_ended(void) {
    char line[96];
    tree.handled = true;
    if (shim.killed || tree.killing) {
        tree_kill();
        return;
    }
    if (shim.conf.version >= 3) tree_visit(count_visit, &tree.left);
    if (shim.conf.tree_signal == 0) {
        tree_kill();
    } else {
        if (tree.signal == 0) tree.signal = shim.conf.tree_signal;
        if (!tree.ordered) tree.deadline_ns = own_deadline();
        tell();
    }
    if (tree_event(line, sizeof line) != NULL) clients_send_event(3, line);
}

void tree_turn(void) {
    bool over = tree.killing || (!tree.ordered && boottime_ns() >= tree.deadline_ns);
    if (!over && fence_has_namespace()) {
        // The namespace's init is what remains when all others have gone.
        int left = 0;
        tree_visit(count_visit, &left);
        over = left == 0;
    }
    if (over) tree_kill();
}

uint64_t tree_deadline(void) { return tree.handled && !tree.ordered && !tree.killing ? tree.deadline_ns : UINT64_MAX; }

bool tree_is_killed(void) { return tree.killing; }

bool tree_wants_looks(void) { return tree.killing || (tree.handled && fence_has_namespace()); }

void tree_kill_begins(bool emergency) {
    if (tree.killing) return;
    tree.killing = true;
    if (!fence_has_namespace() || shim.conf.version < 3) return;
    // They go with their namespace, and nobody reaps them. An emergency stop doesn't wait for them to be counted.
    tree.counted = !emergency;
    if (tree.counted) tree_visit(count_visit, &tree.killed);
    // The main process is not one of what it leaves.
    if (tree.counted && shim.phase < PHASE_EXITED && tree.killed > 0) tree.killed--;
    tree.untold = tree.killed;
    struct process_stat stat;
    for (int i = 0; i < tree.told_count && tree.untold > 0; i++) {
        if (is_alive(tree.told[i].pid, &stat) && stat.start == tree.told[i].start) tree.untold--;
    }
}

void tree_reaped(pid_t pid, uint64_t start, bool by_kill) {
    if (!by_kill || !tree.killing || fence_has_namespace()) return;
    tree.killed++;
    if (!was_told(pid, start)) tree.untold++;
}

bool tree_stop(int number) {
    if (tree.killing) return false;
    if (!tree.handled) {
        tree.ordered = number != 0;
        tree.signal = number;
    } else if (number != 0) {
        tree.ordered = true;
        tree.signal = number;
        tree.told_count = 0;
        tell();
    }
    // Called off with the main process gone: a person wants the rest left alone, until the next `stop` or `kill`.
    return true;
}

size_t tree_record(char *out, size_t size) {
    if (shim.conf.version < 3) return 0;
    size_t at = (size_t)snprintf(out, size, "tree_left=%d\ntree_signal=%d\ntree_kill=%d\n", tree.left,
                                 tree.told_count > 0 ? tree.signal : 0, shim.conf.tree_signal == 0);
    if (tree.counted) at += (size_t)snprintf(out + at, size - at, "tree_killed=%d\ntree_untold=%d\n", tree.killed, tree.untold);
    return at;
}
