// trading-shim: the parent of one worker. It outlives the agent, keeps the exit status, and holds the notify socket and
// the lock that makes a second launch impossible.
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
//   conf      read once: NUL-terminated records `key=value`. version=1, launch, slot, service, arg (repeated), env
//             (repeated, NAME=VALUE), cwd, cpus, uid, gid, groups (comma-separated), stdout, stderr, umask (octal),
//             go_timeout_ms, notify=1. Unknown keys are an error: an older shim must not half-understand.
//   identity  the shim:   pid= start= boot= launch=       start is field 22 of /proc/PID/stat (proc_pid_stat(5))
//   worker    the worker: the same keys; written by the worker's own process before exec, which keeps both numbers
//   exit      how it ended, see record.c. `tree=empty` says that no process of the tree was left when it was written
//   s         the stream socket below; removed when the shim ends
//
// The slot file is locked with flock(2) and the descriptor is inherited by the worker (as a number >= 100), so that the
// lock holds while any process of the tree keeps it, even if the shim is killed.
//
// Protocol on `s`: text, one message a line, at most 4096 bytes with the newline. At most 4 clients; a fifth displaces the
// one that has been silent longest. Only the shim's own user and root get an answer. A client that can't take a message at
// once is cut off and may come back: `hello` repeats all that matters.
//
//   requests                      answers
//   hello 1                       shim 1 LAUNCH PHASE, then everything that has happened, as events
//   go ID                         ok ID running PID START | err ID failed ERRNO STEP, after the exec
//   signal ID NUMBER              ok ID signalled NUMBER, to the main process alone, through the pidfd held since its fork
//   kill ID [LATCH]               ok ID killed: SIGKILL to the whole tree; a shim that waits for `go` gives up
//   anything else                 err ID|- SLUG TEXT   (bad-request, bad-id, version, too-long, not-waiting, not-running)
//
//   ID is 1 to 64 printable characters, chosen by the asker. Each is executed once; a repeat gets the first answer again
//   (the last 64 are remembered).
//
//   events, to every client that said hello
//   running PID START             the exec succeeded
//   failed ERRNO STEP             it did not; nothing ran
//   notify KEY=VALUE              from the worker's NOTIFY_SOCKET (sd_notify(3)); VALUE has %XX for control characters and %
//   exited exit|signal N CORE     the main process is gone; what is left of its tree is being killed
//   gone                          no process of the tree is left, `exit` is written and the slot is free. The last message
//
//   PHASE is waiting, launching, running, exited or gone.
#pragma once

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    EXIT_SYSTEM = 1,
    EXIT_USAGE = 2,
    EXIT_HELD = 3,
    CONF_BYTES_MAX = 256 * 1024,  // argv and environment; half of what execve(2) takes on the smallest stack
    ARGUMENTS_MAX = 1024,
    ENVIRONMENT_MAX = 1024,
    GROUPS_MAX = 64,
    LINE_MAX_BYTES = 4096,
    CLIENTS_MAX = 4,
    ID_BYTES_MAX = 64,
    ANSWERS_KEPT = 64,
    ANSWER_BYTES_MAX = 192,
    LATCH_BYTES_MAX = 128,
    NOTIFY_KEYS_MAX = 64,
    NOTIFY_KEY_BYTES_MAX = 48,
    NOTIFY_VALUE_BYTES_MAX = 512,
    CPUS_MAX = 1024,
};

enum phase { PHASE_WAITING, PHASE_LAUNCHING, PHASE_RUNNING, PHASE_EXITED, PHASE_GONE };

/// How the launch ended; `never` and `failed`: no line of the worker's program ran.
enum how { HOW_OPEN, HOW_NEVER, HOW_FAILED, HOW_EXIT, HOW_SIGNAL };

struct conf {
    const char *launch, *slot, *service, *cwd, *cpus, *standard_output, *standard_error;
    char *arguments[ARGUMENTS_MAX + 1];
    char *environment[ENVIRONMENT_MAX + 4];  // room for what the shim adds
    int argument_count, environment_count, group_count;
    gid_t groups[GROUPS_MAX];
    bool notify, has_uid, has_gid, has_umask;
    uid_t uid;
    gid_t gid;
    mode_t umask;
    unsigned go_timeout_ms;
};

struct shim {
    struct conf conf;
    char boot_id[40];
    pid_t pid;
    int slot_fd, listen_fd, notify_fd, signal_fd, exec_fd, exit_fd;
    enum phase phase;
    enum how how;
    pid_t worker;
    int worker_fd;  // pidfd, held from the fork on
    uint64_t worker_start;
    int code, core, failed_errno;
    char failed_step[16];
    char latch[LATCH_BYTES_MAX + 1];
    bool killed;  // SIGKILL was asked for
    uint64_t exited_ns, gone_ns;
    int oom_score_adj;  // of whoever started the shim; the worker gets it back
    mode_t inherited_umask;
};

extern struct shim shim;

// conf.c
/// Reads `conf` in the working directory; NULL, or a sentence saying what is wrong with it.
const char *conf_read(struct conf *conf);
/// Parses a list as in cpuset(7) into a mask of CPUS_MAX bits; false when it isn't one or is empty.
bool cpu_list_parse(const char *list, unsigned long *mask);

// record.c
uint64_t boottime_ns(void);
/// Field 22 of /proc/PID/stat, 0 when there is no such process; `parent` (may be NULL) gets field 4.
uint64_t process_start(pid_t pid, pid_t *parent);
bool boot_id_read(char *out, size_t size);
bool identity_write(const char *name, pid_t pid);
/// Sets tmpfs pages aside for `exit`, so that a full run directory can't lose it.
void exit_record_reserve(void);
bool exit_record_write(bool tree_empty);
/// Copies with %XX for control characters and %; never writes past `size`, always ends in NUL.
void escape(char *out, size_t size, const char *value);

// worker.c
/// Every signal to its default.
void dispositions_reset(void);
void worker_launch(void);
/// The exec pipe became readable: the launch has succeeded or failed.
void worker_exec_settled(void);
bool worker_signal(int number);
/// SIGKILL to every child of the shim: the main process and all that was orphaned to it.
void tree_kill(void);
/// Reaps whoever is dead; true once no child is left.
bool tree_reap(void);

// clients.c
void clients_start(void);
void clients_accept(void);
void client_readable(int index);
int client_fd(int index);
void clients_send_event(const char *line);
void clients_go_settled(void);
/// Sends what this turn has said; who can't take it is cut off.
void clients_flush(void);

// notify.c
const char *notify_start(void);  // NULL, or what failed
/// The value for NOTIFY_SOCKET.
const char *notify_name(void);
/// Takes what has arrived, at most `limit` datagrams.
void notify_drain(int limit);
/// The `index`th key that was ever said, with its last value; NULL past the end.
const char *notify_key(int index);
const char *notify_value(int index);
const char *notify_value_of(const char *key);
