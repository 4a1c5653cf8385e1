// What a main process leaves of its tree: told to stop, given time, in the end killed, and counted.
//
// Version 3. A grace belongs to the tree as the proof of its end does: `sh -c` without `exec` and `trap … ; program & wait`
// end at the stop signal while the program has yet to flush.
#include "shim.h"

#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    TOLD_MAX = 512,  // what is beyond is not told, and counted so
    ROUNDS_MAX = 3,  // of telling: again for what was forked as the first one passed by
};

struct named {
    pid_t pid;
    uint64_t start;
};

static struct {
    bool ordered;          // by `stop`: whoever asked ends the grace too
    bool handled;          // the main process's end was
    bool killing;          // SIGKILL was sent, or is now
    bool counted;          // false: they died unseen, with their namespace
    int signal;            // 0: nothing was told
    uint64_t deadline_ns;  // of an end that nobody ordered
    int left;
    int killed, untold;                // as listed before the kill, but in an emergency
    int reaped_killed, reaped_untold;  // as reaped here: fewer where a parent that dies with them ignores SIGCHLD
    int told_count, rounds_left;
    uint64_t told_from;  // when the first round began, in ticks since boot as a process's start
    struct named told[TOLD_MAX];
} tree = {.counted = true, .deadline_ns = UINT64_MAX};

static bool was_told(pid_t pid, uint64_t start) {
    for (int i = 0; i < tree.told_count; i++) {
        if (tree.told[i].pid == pid && tree.told[i].start == start) return true;
    }
    return false;
}

/// Also one whose first thread has ended while others go on: it is shown as a zombie.
static bool is_alive(pid_t pid, struct process_stat *stat) {
    return pid != fence_init() && process_stat_read(pid, stat) && stat->state != 'X' && (stat->state != 'Z' || stat->threads > 1);
}

/// All but the main process.
static bool count_visit(pid_t pid, void *context) {
    struct process_stat stat;
    if (is_alive(pid, &stat) && (pid != shim.main || stat.start != shim.main_start)) (*(int *)context)++;
    return true;
}

/// In a later round a process younger than the first, of a parent that was told, is that one's own business: it may be what flushes.
static bool collect_visit(pid_t pid, void *context) {
    struct process_stat stat, parent;
    (void)context;
    if (tree.told_count == TOLD_MAX || !is_alive(pid, &stat) || was_told(pid, stat.start)) return true;
    bool is_later = tree.rounds_left < ROUNDS_MAX - 1 && stat.start >= tree.told_from;
    if (is_later && process_stat_read(stat.parent, &parent) && was_told(stat.parent, parent.start)) return true;
    tree.told[tree.told_count++] = (struct named){pid, stat.start};
    return true;
}

static bool tell_one(struct named process) {
    struct process_stat stat;
    int fd = (int)syscall(SYS_pidfd_open, process.pid, 0);
    if (fd < 0) return false;
    // With the pidfd open, what is read now is about the process that it holds.
    bool told = process_stat_read(process.pid, &stat) && stat.start == process.start && is_of_tree(process.pid) &&
                syscall(SYS_pidfd_send_signal, fd, tree.signal, NULL, 0) == 0;
    if (told && stat.state == 'T') (void)syscall(SYS_pidfd_send_signal, fd, SIGCONT, NULL, 0);
    close(fd);
    return told;
}

/// One round: all are listed before the first is told, so that nothing forked to flush is among them and no list shifts as it is read.
/// The next one comes with the next turn, behind whatever somebody asks meanwhile.
static void tell(void) {
    tree.rounds_left--;
    int first = tree.told_count;
    tree_visit(collect_visit, NULL);
    int found = tree.told_count;
    tree.told_count = first;
    for (int i = first; i < found; i++) {
        if (tell_one(tree.told[i])) tree.told[tree.told_count++] = tree.told[i];
    }
    if (tree.told_count == first) tree.rounds_left = 0;
}

static void tell_from_now(void) {
    tree.told_count = 0;
    tree.rounds_left = ROUNDS_MAX;
    tree.told_from = boottime_ns() / (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK));
    tell();
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
        tell_from_now();
    }
    if (tree_event(line, sizeof line) != NULL) clients_send_event(3, line);
}

static uint64_t until(void) {
    uint64_t last = fence_last_moment();
    return tree.ordered || tree.deadline_ns > last ? last : tree.deadline_ns;
}

static bool other_visit(pid_t pid, void *context) {
    if (pid != fence_init()) (*(int *)context)++;
    return true;
}

/// The namespace's init is all that remains: the shim has no other child, then the init has none. Orphans pass from the one list to the
/// other in one step of the kernel. Without CONFIG_PROC_CHILDREN never true: the grace is then waited out.
static bool namespace_is_empty(void) {
    int others = 0;
    return children_visit(shim.pid, shim.pid, other_visit, &others) && others == 0 &&
           children_visit(fence_init(), fence_init(), other_visit, &others) && others == 0;
}

void tree_turn(void) {
    // A round goes through all that have died and are not reaped yet: of a tree that forks for ever thousands, and reaping comes first then.
    static uint64_t not_before_ns;
    uint64_t began_ns = boottime_ns();
    if (tree_reaps_left() && began_ns < not_before_ns) return;
    if (!tree.killing && tree.rounds_left > 0) tell();
    if (tree.killing || boottime_ns() >= until() || (fence_has_namespace() && namespace_is_empty())) tree_kill();
    uint64_t ended_ns = boottime_ns();
    not_before_ns = ended_ns + 4 * (ended_ns - began_ns);
}

uint64_t tree_deadline(void) { return tree.handled && !tree.killing ? until() : UINT64_MAX; }

bool tree_is_killed(void) { return tree.killing; }

bool tree_wants_looks(void) { return tree.killing || (tree.handled && (tree.rounds_left > 0 || fence_has_namespace())); }

void tree_kill_begins(bool emergency) {
    if (tree.killing) return;
    tree.killing = true;
    if (shim.conf.version < 3) return;
    // An emergency stop doesn't wait for them to be listed. In a namespace they then go with it, and nobody reaps them.
    tree.counted = !emergency || !fence_has_namespace();
    if (emergency) return;
    // More than are visited are counted as they are reaped; in a namespace they are not.
    if (!tree_visit(count_visit, &tree.killed) && fence_has_namespace()) tree.counted = false;
    tree.untold = tree.killed;
    struct process_stat stat;
    for (int i = 0; i < tree.told_count && tree.untold > 0; i++) {
        if (is_alive(tree.told[i].pid, &stat) && stat.start == tree.told[i].start) tree.untold--;
    }
}

void tree_reaped_killed(pid_t pid, uint64_t start) {
    if (!tree.killing || fence_has_namespace()) return;
    tree.reaped_killed++;
    if (!was_told(pid, start)) tree.reaped_untold++;
}

static int more(int a, int b) { return a > b ? a : b; }

bool tree_stop(int number) {
    if (tree.killing) return false;
    if (!tree.handled) {
        tree.ordered = number != 0;
        tree.signal = number;
    } else if (number != 0) {
        tree.ordered = true;
        tree.signal = number;
        tell_from_now();
    } else {
        tree.ordered = false;
        tree.deadline_ns = own_deadline();
    }
    return true;
}

size_t tree_record(char *out, size_t size, bool final) {
    if (shim.conf.version < 3) return 0;
    size_t at = (size_t)snprintf(out, size, "tree_left=%d\ntree_signal=%d\ntree_kill=%d\n", tree.left,
                                 tree.told_count > 0 ? tree.signal : 0, shim.conf.tree_signal == 0);
    if (tree.counted && final) at += (size_t)snprintf(out + at, size - at, "tree_killed=%d\ntree_untold=%d\n", more(tree.killed, tree.reaped_killed),
                                                more(tree.untold, tree.reaped_untold));
    return at;
}
