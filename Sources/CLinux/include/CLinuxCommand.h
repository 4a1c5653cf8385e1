// Short-lived commands as another user; what swift's posix_spawn can't say.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct clinux_command {
    char *const *arguments;    // [0] is the path that is executed; NULL at the end
    char *const *environment;  // NULL at the end
    const char *directory;     // NULL: the caller's
    bool changes_user, changes_group;
    uid_t uid;
    gid_t gid;
    const gid_t *groups;
    size_t group_count;
};

/// fork(2) and execve(2) in a process group of its own, signals at their defaults, standard input empty, both outputs in
/// the pipe `output` (non-blocking, the caller's). The exec has succeeded when this returns; -1 and errno otherwise.
/// Nobody but the caller may reap the child.
pid_t clinux_command_start(const struct clinux_command *command, int *output);
/// Reaps a child; `code` is the exit status, or the signal's number.
int clinux_wait(pid_t child, int *code, int *signalled);
/// Whether a file has an extended attribute (getxattr(2)): 1, 0, or -1 and errno.
int clinux_has_attribute(const char *path, const char *name);
/// A non-blocking Unix datagram socket, connected to a path or, with a leading `@`, an abstract name (unix(7)).
int clinux_datagram_connect(const char *name);
