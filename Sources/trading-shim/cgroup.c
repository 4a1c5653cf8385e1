// The launch's own cgroup (version 2, cgroups(7)): no controller, it only knows every process and kills them at once.
// Always a fresh directory: a child that is cloned into a cgroup which was ever killed is killed at once (Linux 6.18).
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { DEPTH_MAX = 8 };  // cgroups that a worker has made in its own; deeper ones stay behind

static int kill_fd = -1, events_fd = -1;
static bool made;

int cgroup_make(void) {
    const char *path = shim.conf.cgroup;
    errno = 0;
    if (path == NULL) return -1;
    if (mkdir(path, 0755) != 0) return -1;
    made = true;
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory >= 0) {
        // Held open from now on: a way to it that disappears (a lazy unmount) takes nothing away.
        kill_fd = openat(directory, "cgroup.kill", O_WRONLY | O_CLOEXEC);
        events_fd = openat(directory, "cgroup.events", O_RDONLY | O_CLOEXEC);
        if (kill_fd >= 0 && events_fd >= 0) return directory;
        if (errno == ENOENT) errno = EOPNOTSUPP;  // a kernel before 5.14, or no cgroup filesystem at all
    }
    int error = errno;
    if (directory >= 0) close(directory);
    if (kill_fd >= 0) close(kill_fd);
    if (events_fd >= 0) close(events_fd);
    kill_fd = events_fd = -1;
    cgroup_remove();
    errno = error;
    return -1;
}

int cgroup_events_fd(void) { return events_fd; }

bool cgroup_kill(void) { return kill_fd >= 0 && pwrite(kill_fd, "1", 1, 0) == 1; }

bool cgroup_is_empty(void) {
    if (events_fd < 0) return true;
    char text[128];
    ssize_t got = pread(events_fd, text, sizeof text - 1, 0);
    if (got < 0 && errno != ENODEV) return false;
    if (got < 0) {
        // The directory itself is gone; poll(2) would say so for ever.
        close(events_fd);
        events_fd = -1;
        return true;
    }
    text[got] = '\0';
    return strstr(text, "populated 0") != NULL;
}

static void directory_remove(int parent, const char *name, int depth) {
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0) {
        _Alignas(8) char entries[2048];
        long got;
        while (depth < DEPTH_MAX && (got = syscall(SYS_getdents64, fd, entries, sizeof entries)) > 0) {
            for (long at = 0; at < got;) {
                // struct linux_dirent64: 8 bytes inode, 8 offset, 2 length, 1 type, then the name.
                unsigned short length;
                memcpy(&length, entries + at + 16, sizeof length);
                const char *entry = entries + at + 19;
                if (entries[at + 18] == 4 /* DT_DIR */ && strcmp(entry, ".") != 0 && strcmp(entry, "..") != 0) directory_remove(fd, entry, depth + 1);
                at += length;
            }
        }
        close(fd);
    }
    unlinkat(parent, name, AT_REMOVEDIR);
}

void cgroup_remove(void) {
    if (!made || rmdir(shim.conf.cgroup) == 0) return;
    directory_remove(AT_FDCWD, shim.conf.cgroup, 0);
}
