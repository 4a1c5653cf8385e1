// trading-shim: the parent of one worker. It outlives the agent, keeps the exit status and what the worker used, and
// holds the notify socket, the fence and the lock that makes a second launch impossible.
//
// Invocation     trading-shim DIRECTORY [CPUS]
//
//   DIRECTORY is a launch directory made by the agent, with a file `conf` in it; CPUS is the list that the shim itself
//   runs on ("0-1,4"). The invoked process returns as soon as the real shim (its grandchild, in a session of its own)
//   listens; by then `identity` is written. Exit status, with one sentence on standard error when not 0:
//     0  the shim listens on DIRECTORY/s and waits for `go`
//     1  the kernel refused something            2  bad usage or a conf that makes no sense
//     3  the slot is held: a worker of this service, or its shim, still lives. Nothing was run
//
// Files in DIRECTORY (text, written whole and renamed; never synced: they live on a tmpfs)
//   conf      read once: NUL-terminated records `key=value`, the keys in conf.c. Unknown keys are an error: an older shim
//             must not half-understand. version=3; 2 and 1 (of an agent that is older than this shim) know only the keys
//             of then, and get an `exit` that says so; with 1 MAINPID= is ignored
//   identity  the shim:   pid= start= boot= launch= cgroup=     start is field 22 of /proc/PID/stat (proc_pid_stat(5))
//   worker    the main process: pid= start= boot= launch=; first written by itself before exec, which keeps both
//             numbers; again when MAINPID= has changed it. All numbers are the host's, also of a worker in a PID namespace
//   fence     while one is armed, see fence.c; stays behind when the hard deadline kills the shim
//   exit      how it ended, see record.c. `tree=empty` says that no process of the tree was left when it was written
//   s         the stream socket below; removed when the shim ends
//
// Shim and worker each have a session of their own. Once the worker is forked the shim gives way to it and to everything
// ordinary on its CPU (nice, worker.c).
//
// The slot file is locked with flock(2) and the descriptor is inherited by the worker (as a number >= 100), so that the
// lock holds while any process of the tree keeps it, even if the shim is killed.
//
// Protocol on `s`: text, one message a line, at most 4096 bytes with the newline. At most 4 clients; a fifth displaces the
// one that has been silent longest. Only the shim's own user and root get an answer. A client that can't take a message at
// once is cut off and may come back: `hello` repeats all that matters.
//
//   requests                      answers
//   hello 3 | hello 2 | hello 1   shim VERSION LAUNCH PHASE, then everything that has happened, as events. A client that
//                                 said 1 or 2 gets no events of later versions (marked below). A shim that does not speak
//                                 the version answers err - version …; a lower one may follow on the same connection
//   go ID                         ok ID running PID START | err ID failed ERRNO STEP, after the exec
//   signal ID NUMBER              ok ID signalled NUMBER, to the main process alone, through a pidfd
//   stop ID NUMBER           (3)  ok ID signalled NUMBER: the same, and from then on what the main process leaves of its tree
//                                 is told NUMBER and waited for, until a `kill` comes; `stop ID 0` calls that off: the
//                                 end is then its own, as without a stop. Not SIGKILL
//   kill ID [LATCH]               ok ID killed: SIGKILL to the whole tree; a shim that waits for `go` gives up
//   fence ID EPOCH SOFT HARD SIGNAL   ok ID armed HARD: deadlines in ns of CLOCK_BOOTTIME; the rules are in fence.c
//   anything else                 err ID|- SLUG TEXT   (bad-request, bad-id, version, too-long, not-waiting, not-running,
//                                 not-armed, no-fence, fenced, epoch, earlier, beyond)
//
//   ID is 1 to 64 printable characters, chosen by the asker. Each is executed once; a repeat gets the first answer again
//   (the last 64 are remembered).
//
//   events, to every client that said hello
//   running PID START        (1)  the exec succeeded
//   failed ERRNO STEP        (1)  it did not; nothing ran. The steps are in setup.c
//   notify KEY=VALUE         (1)  from the worker's NOTIFY_SOCKET (sd_notify(3)), see notify.c; VALUE has %XX for control
//                                 characters and %
//   exited exit|signal N CORE (1) the main process is gone
//   tree LEFT SIGNAL UNTIL    (3) LEFT processes of its tree were left, and were told SIGNAL; at UNTIL (CLOCK_BOOTTIME, ns)
//                                 they are killed. UNTIL 0: not before a `kill`, or shortly
//                                 before the fence's hard deadline; SIGNAL 0: they are being killed now
//   exited unknown 0 0            the same, of a MAINPID= whose status went to a parent of its own
//   continued                 (3) a stop found the main process stopped by a signal: it was told SIGCONT as well
//   mainpid PID START             another process of the tree is the main one now
//   watchdog late|back            WATCHDOG=1 did not come in time; came again
//   fence armed EPOCH SOFT HARD   also after each extension
//   fence soft EPOCH              the soft deadline has passed, the signal is sent; no extension is taken any more
//   fence pidns=0 REASON          the tree could not get a PID namespace: the hard deadline kills shim and main process,
//                                 not what else the worker has forked
//   degraded WHAT ERRNO           what the kernel refused the shim itself: `memory` (mlockall(2)), `oom` (oom_score_adj)
//   gone                     (1)  no process of the tree is left, `exit` is written and the slot is free. The last message
//
//   PHASE is waiting, launching, running, exited or gone.
#pragma once

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

enum {
    EXIT_SYSTEM = 1,
    EXIT_USAGE = 2,
    EXIT_HELD = 3,
    PROTOCOL_VERSION = 3,
    CONF_BYTES_MAX = 256 * 1024,  // argv and environment; half of what execve(2) takes on the smallest stack
    ARGUMENTS_MAX = 1024,
    ENVIRONMENT_MAX = 1024,
    ENVIRONMENT_ADDED = 5,  // NOTIFY_SOCKET, TRADING_LAUNCH, WATCHDOG_USEC, WATCHDOG_PID and the NULL
    GROUPS_MAX = 64,
    LINE_MAX_BYTES = 4096,
    CLIENTS_MAX = 4,
    ID_BYTES_MAX = 64,
    ANSWERS_KEPT = 64,
    ANSWER_BYTES_MAX = 192,
    LATCH_BYTES_MAX = 128,
    NOTIFY_KEYS_MAX = 76,
    NOTIFY_OTHER_KEYS_MAX = 64,  // the rest is for the keys of the protocol itself
    NOTIFY_KEY_BYTES_MAX = 48,
    NOTIFY_VALUE_BYTES_MAX = 512,
    CPUS_MAX = 1024,
    CPU_WORDS = CPUS_MAX / (8 * sizeof(unsigned long)),
    LIMITS_MAX = 16,  // RLIM_NLIMITS
    STEP_BYTES_MAX = 24,
    PATH_BYTES_MAX = 512,
};

enum phase { PHASE_WAITING, PHASE_LAUNCHING, PHASE_RUNNING, PHASE_EXITED, PHASE_GONE };

/// How the launch ended; `never` and `failed`: no line of the worker's program ran.
enum how { HOW_OPEN, HOW_NEVER, HOW_FAILED, HOW_EXIT, HOW_SIGNAL, HOW_UNKNOWN };

struct limit {
    bool set;
    struct rlimit value;
};

struct conf {
    int version;
    const char *launch, *slot, *service, *cwd, *cpus, *standard_output, *standard_error, *cgroup;
    char *arguments[ARGUMENTS_MAX + 1];
    char *environment[ENVIRONMENT_MAX + ENVIRONMENT_ADDED];
    int argument_count, environment_count, group_count;
    gid_t groups[GROUPS_MAX];
    bool notify, fence, has_uid, has_gid, has_umask, has_nice, has_oom, has_scheduler;
    uid_t uid;
    gid_t gid;
    mode_t umask;
    unsigned go_timeout_ms, watchdog_ms;  // 0: none
    unsigned tree_grace_ms;  // of a tree whose main process ended by itself
    int tree_signal;  // 0: it is killed at once, as before version 3
    int nice, oom, scheduler, priority;
    int memory_policy;  // MPOL_*; 0: as the agent's
    const char *memory_nodes;
    uint64_t capabilities;  // by number
    struct limit limits[LIMITS_MAX];  // by resource
};

struct shim {
    struct conf conf;
    char boot_id[40];
    pid_t pid;
    int slot_fd, listen_fd, notify_fd, signal_fd, timer_fd, exec_fd, exit_fd;
    enum phase phase;
    enum how how;
    pid_t child;  // whom the shim has forked; 0 once reaped
    pid_t main;   // the main process: the same until MAINPID= names another
    int main_fd;  // its pidfd, of the child held from the fork on
    uint64_t main_start;
    int code, core, failed_errno;
    char failed_step[STEP_BYTES_MAX];
    char latch[LATCH_BYTES_MAX + 1];
    bool killed;  // SIGKILL was asked for
    bool has_usage;
    struct rusage usage;  // of the main process, from its reaping
    uint64_t exited_ns, gone_ns;
    int oom_score_adj;  // of whoever started the shim; the worker gets it back
    int memory_errno, oom_errno;  // what was refused; 0: granted
    mode_t inherited_umask;
};

extern struct shim shim;

// conf.c
/// Reads `conf` in the working directory; NULL, or a sentence saying what is wrong with it.
const char *conf_read(struct conf *conf);
/// Parses a list as in cpuset(7) into a mask of CPUS_MAX bits; false when it isn't one or is empty.
bool cpu_list_parse(const char *list, unsigned long *mask);
/// All of `text`, digits only, at most `limit`.
bool number_parse(const char *text, int base, uint64_t limit, uint64_t *out);
/// The name of a resource as in prlimit(1); NULL past the last.
const char *limit_name(int resource);

// record.c
uint64_t boottime_ns(void);
/// What /proc/PID/stat says; false when there is no such process.
struct process_stat {
    char state;
    pid_t parent;
    uint64_t start;
    int threads;      // also while the first one has ended and others go on
    int exit_status;  // as wait(2) has it; of a zombie, and for those who may look
};
bool process_stat_read(pid_t pid, struct process_stat *out);
/// 0 when there is no such process.
uint64_t process_start(pid_t pid);
/// Of a file in /proc or a cgroup; always ends in NUL, -1 and errno otherwise.
ssize_t small_file_read(const char *path, char *out, size_t size);
bool boot_id_read(char *out, size_t size);
/// `more` is whole lines, or "".
bool identity_write(const char *name, pid_t pid, const char *more);
/// A small file of the launch directory, written whole and renamed.
bool text_write(const char *name, const char *text, size_t size);
/// Sets tmpfs pages aside for `exit`, so that a full run directory can't lose it.
void exit_record_reserve(void);
bool exit_record_write(bool tree_empty);
/// Copies with %XX for control characters and %; never writes past `size`, always ends in NUL.
void escape(char *out, size_t size, const char *value);

// setup.c
/// Every signal to its default.
void dispositions_reset(void);
/// What a launch that failed says through the close-on-exec pipe; an exec that succeeds says nothing and closes it.
struct failure {
    int error;
    char step[STEP_BYTES_MAX];
};
/// In the child, up to the exec; does not return.
void become_worker(int pipe);

// worker.c
void worker_launch(void);
/// The exec pipe became readable: the launch has succeeded or failed.
void worker_exec_settled(void);
bool worker_signal(int number);
/// The main process's pidfd became readable: it has ended, perhaps as another's child.
void main_process_looked_at(void);
/// MAINPID=, in the worker's own numbers. False: not a live process of the tree.
bool main_process_change(pid_t wanted);
typedef bool visitor(pid_t pid, void *context);
/// Every living descendant of the shim, parents first, up to some thousands; what `visit` says does not matter. False: there are more.
bool tree_visit(visitor *visit, void *context);
/// The children of one thread, until `visit` says that it is enough. False where the kernel doesn't list them (CONFIG_PROC_CHILDREN), there is no such thread, or not all could
/// be read.
bool children_visit(pid_t pid, pid_t thread, visitor *visit, void *context);
/// Whether a process descends from the shim.
bool is_of_tree(pid_t pid);
/// SIGKILL to the main process and to its cgroup. False: there is none, and others of the tree may live.
bool tree_kill_at_once(void);
/// SIGKILL to everything of the tree that can be reached: its cgroup, its namespace, every child of the shim.
void tree_kill(void);
/// Reaps whoever is dead, a few hundred at most; true once no child is left and the cgroup is empty.
bool tree_reap(void);
/// More of them were dead: call it again in the next turn, without a wait.
bool tree_reaps_left(void);

// tree.c
/// The main process has ended and others of its tree have not: they are told to stop, or killed.
void tree_main_ended(void);
/// Kills them once their time is over.
void tree_turn(void);
/// When `tree_turn` has something to do; UINT64_MAX: nothing ahead.
uint64_t tree_deadline(void);
bool tree_is_killed(void);
/// Nothing tells of every change: they are killed while some may fork, or end as children of their namespace's init.
bool tree_wants_looks(void);
/// Before the first SIGKILL to the tree; in an emergency after it.
void tree_kill_begins(bool emergency);
/// A process other than the main one was reaped that SIGKILL had ended.
void tree_reaped_killed(pid_t pid, uint64_t start);
/// `stop`; 0 calls it off. False: they are being killed.
bool tree_stop(int number);
/// The event; NULL: nothing was left.
const char *tree_event(char *line, size_t size);
/// The lines of the exit record.
size_t tree_record(char *out, size_t size, bool final);

// cgroup.c
/// Makes the launch's own cgroup; its descriptor, or -1 and errno. There is none to make: -1 and errno 0.
int cgroup_make(void);
/// For poll(2), POLLPRI; -1 without one.
int cgroup_events_fd(void);
/// False: there is none.
bool cgroup_kill(void);
/// Also true without one.
bool cgroup_is_empty(void);
void cgroup_remove(void);

// fence.c
/// Before the first fork of the launch: the namespace for the tree, where it can be made.
void fence_namespace_make(void);
bool fence_has_namespace(void);
/// Its init, to which orphans of the namespace go; 0: none.
pid_t fence_init(void);
void fence_init_reaped(void);
bool fence_is_armed(void);
/// A deadline has passed: nothing is launched or extended any more.
bool fence_is_over(void);
/// Writes the answer to the words after the id.
void fence_request(char *answer, size_t size, const char *id, char *const words[4]);
/// Sends the signal when its time has come.
void fence_turn(void);
/// The soft deadline; UINT64_MAX: none ahead.
uint64_t fence_deadline(void);
/// When a tree must have been killed, so that the hard deadline finds none of it; UINT64_MAX: not armed.
uint64_t fence_last_moment(void);
void fence_record(void);
/// As events, one by one, empty where there is nothing to say; NULL past the end.
const char *fence_event(int index, char *line, size_t size);
/// `soft` when the soft deadline has passed, otherwise empty.
const char *fence_word(void);

// clients.c
void clients_start(void);
void clients_accept(void);
void client_readable(int index);
int client_fd(int index);
/// `since` is the protocol version that brought the event.
void clients_send_event(int since, const char *line);
void clients_go_settled(void);
/// The event that tells how the main process ended; the version that brought it, more than any there is when it hasn't.
int exited_line(char *line, size_t size);
/// Sends what this turn has said; who can't take it is cut off.
void clients_flush(void);

// notify.c
const char *notify_start(void);  // NULL, or what failed
/// The value for NOTIFY_SOCKET.
const char *notify_name(void);
/// Takes what has arrived, at most `limit` datagrams.
void notify_drain(int limit);
/// Sends what was held back and is due, or all of it.
void notify_turn(bool all);
/// When `notify_turn` has something to do; UINT64_MAX: nothing ahead.
uint64_t notify_deadline(void);
bool watchdog_is_late(void);
/// The `index`th key that was ever said, with its last value; NULL past the end.
const char *notify_key(int index);
const char *notify_value(int index);
const char *notify_value_of(const char *key);
