// The worker's NOTIFY_SOCKET (sd_notify(3)): a datagram socket that is always drained, so that a worker which notifies
// with a blocking send never stalls, agent or no agent.
//
// A key is [A-Z0-9_]+ of at most 48 bytes; of a value 512 bytes are kept, of the
// worker's own keys 64, and what comes later is dropped. What each does:
//   READY STOPPING RELOADING MONOTONIC_USEC EXTEND_TIMEOUT_USEC ERRNO X_QUIESCED   forwarded at once when the value changes.
//                   READY=1 ends a reload: RELOADING then reads 0
//   WATCHDOG=1      the shim's own: keeps its clock, is not forwarded. The clock runs from the first of READY=1 and
//                   WATCHDOG=1 on; past it `watchdog late` is said once, `watchdog back` with the next WATCHDOG=1
//   WATCHDOG=trigger      forwarded at once     WATCHDOG_USEC=N  another period; 0: none. Forwarded
//   MAINPID=N       see worker.c; said as `mainpid`
//   BARRIER=1       the descriptor that comes along is closed once all before it was processed
//   FDSTORE=1       refused: the descriptors are closed, and once per launch `notify FDSTORE=refused` is said
//   FD*             nothing
//   all others      STATUS, X_* …: forwarded at once if the key said nothing for 100 ms, otherwise its latest value when
//                   those are over. The first value always goes at once, and everything before `exited`
#include "shim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const uint64_t quiet_ns = 100 * 1000000u;  // ten lines a second and key: enough for a person, little for an agent

struct entry {
    uint64_t sent_ns;
    bool held_back;
    char key[NOTIFY_KEY_BYTES_MAX + 1];
    char value[NOTIFY_VALUE_BYTES_MAX + 1];
};

static struct entry entries[NOTIFY_KEYS_MAX];
static int entry_count, held_back_count;
static char name[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
static uint64_t watchdog_ns, watchdog_heard_ns;  // 0: no period; not running
static bool watchdog_late, store_refused;

const char *notify_name(void) { return name; }
const char *notify_key(int index) { return index < entry_count ? entries[index].key : NULL; }
const char *notify_value(int index) { return entries[index].value; }
bool watchdog_is_late(void) { return watchdog_late; }

const char *notify_value_of(const char *key) {
    for (int i = 0; i < entry_count; i++) {
        if (strcmp(entries[i].key, key) == 0) return entries[i].value;
    }
    return NULL;
}

const char *notify_start(void) {
    shim.notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (shim.notify_fd < 0) return "socket";
    int on = 1;
    if (setsockopt(shim.notify_fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0) return "SO_PASSCRED";
    watchdog_ns = shim.conf.watchdog_ms * 1000000ull;
    // Abstract: reachable whatever the worker's user and the depth of the run directory. Who else could reach it is
    // refused by its credentials.
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int size = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "trading/%s/%d", shim.conf.launch, shim.pid);
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)size);
    if (bind(shim.notify_fd, (struct sockaddr *)&address, length) != 0) {
        // Somebody sits on the name: let the kernel choose one (unix(7), autobind).
        if (bind(shim.notify_fd, (struct sockaddr *)&address, sizeof(sa_family_t)) != 0) return "bind";
        length = sizeof address;
        if (getsockname(shim.notify_fd, (struct sockaddr *)&address, &length) != 0) return "getsockname";
    }
    size_t bytes = length - offsetof(struct sockaddr_un, sun_path) - 1;
    name[0] = '@';
    memcpy(name + 1, address.sun_path + 1, bytes);
    name[1 + bytes] = '\0';
    return NULL;
}

/// A process of the worker's tree. One that has already ended (systemd-notify in a script may have) can't be placed any
/// more and is believed when it had the worker's user, who could do the worker anything anyway.
static bool sender_is_ours(const struct ucred *sender) {
    struct process_stat stat;
    if (sender->pid <= 0) return false;  // of a namespace that is none of the shim's
    if (sender->pid == shim.main || is_of_tree(sender->pid)) return true;
    return !process_stat_read(sender->pid, &stat) && sender->uid == (shim.conf.has_uid ? shim.conf.uid : geteuid());
}

static bool key_is_valid(const char *key) {
    if (*key == '\0' || strlen(key) > NOTIFY_KEY_BYTES_MAX) return false;
    for (const char *c = key; *c != '\0'; c++) {
        if (!((*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || *c == '_')) return false;
    }
    return true;
}

static bool key_is_urgent(const char *key) {
    static const char *const urgent[] = {"READY", "STOPPING", "RELOADING", "MONOTONIC_USEC", "EXTEND_TIMEOUT_USEC", "ERRNO", "X_QUIESCED", "WATCHDOG"};
    for (size_t i = 0; i < sizeof urgent / sizeof *urgent; i++) {
        if (strcmp(urgent[i], key) == 0) return true;
    }
    return false;
}

/// A worker that says hundreds of things of its own can't take the room of what an agent must hear.
static bool key_fits(const char *key) {
    bool known = key_is_urgent(key) || strcmp(key, "STATUS") == 0 || strcmp(key, "WATCHDOG_USEC") == 0;
    return entry_count < (known ? NOTIFY_KEYS_MAX : NOTIFY_OTHER_KEYS_MAX);
}

static void forward(const char *key, const char *value) {
    char escaped[3 * NOTIFY_VALUE_BYTES_MAX + 4], line[LINE_MAX_BYTES];
    escape(escaped, sizeof escaped, value);
    snprintf(line, sizeof line, "notify %s=%s", key, escaped);
    clients_send_event(1, line);
}

static void entry_forward(struct entry *entry, uint64_t now) {
    if (entry->held_back) held_back_count--;
    entry->held_back = false;
    entry->sent_ns = now;
    forward(entry->key, entry->value);
}

static void keep(const char *key, const char *value, uint64_t now) {
    int at = 0;
    while (at < entry_count && strcmp(entries[at].key, key) != 0) at++;
    bool first = at == entry_count;
    if (first && !key_fits(key)) return;
    struct entry *entry = &entries[at];
    bool changed = first || strcmp(entry->value, value) != 0;
    if (first) {
        strcpy(entry->key, key);
        entry_count++;
    }
    strcpy(entry->value, value);
    if (first || now - entry->sent_ns >= quiet_ns || (changed && key_is_urgent(key))) {
        entry_forward(entry, now);
    } else if (!entry->held_back) {
        entry->held_back = true;
        held_back_count++;
    }
}

static void watchdog_heard(uint64_t now) {
    watchdog_heard_ns = now;
    if (!watchdog_late) return;
    watchdog_late = false;
    clients_send_event(2, "watchdog back");
}

static void watchdog_period_change(const char *value, uint64_t now) {
    uint64_t microseconds;
    if (!number_parse(value, 10, 3600000000u, &microseconds)) return;
    watchdog_ns = microseconds * 1000u;
    if (watchdog_heard_ns != 0) watchdog_heard(now);
}

static void said(const char *key, char *value) {
    uint64_t now = boottime_ns();
    if (!key_is_valid(key)) return;
    if (strlen(value) > NOTIFY_VALUE_BYTES_MAX) value[NOTIFY_VALUE_BYTES_MAX] = '\0';
    if (strcmp(key, "BARRIER") == 0) return;
    if (strncmp(key, "FD", 2) == 0) {
        if (strcmp(key, "FDSTORE") == 0 && !store_refused) {
            store_refused = true;
            forward(key, "refused");
        }
        return;
    }
    if (strncmp(key, "MAINPID", 7) == 0) {
        uint64_t pid;
        if (key[7] == '\0' && shim.conf.version >= 2 && number_parse(value, 10, INT32_MAX, &pid)) (void)main_process_change((pid_t)pid);
        return;
    }
    if (strcmp(key, "WATCHDOG") == 0 && strcmp(value, "1") == 0 && shim.conf.version >= 2) {
        watchdog_heard(now);
        return;
    }
    if (strcmp(key, "WATCHDOG_USEC") == 0) watchdog_period_change(value, now);
    if (strcmp(key, "READY") == 0 && strcmp(value, "1") == 0) {
        const char *reloading = notify_value_of("RELOADING");
        if (reloading != NULL && strcmp(reloading, "1") == 0) keep("RELOADING", "0", now);
        if (watchdog_heard_ns == 0) watchdog_heard_ns = now;
    }
    keep(key, value, now);
}

void notify_turn(bool all) {
    uint64_t now = boottime_ns();
    for (int i = 0; i < entry_count && held_back_count > 0; i++) {
        if (entries[i].held_back && (all || now - entries[i].sent_ns >= quiet_ns)) entry_forward(&entries[i], now);
    }
    if (shim.phase == PHASE_RUNNING && watchdog_ns != 0 && watchdog_heard_ns != 0 && !watchdog_late && now - watchdog_heard_ns >= watchdog_ns) {
        watchdog_late = true;
        clients_send_event(2, "watchdog late");
    }
}

uint64_t notify_deadline(void) {
    uint64_t at = UINT64_MAX;
    for (int i = 0; i < entry_count && held_back_count > 0; i++) {
        if (entries[i].held_back && entries[i].sent_ns + quiet_ns < at) at = entries[i].sent_ns + quiet_ns;
    }
    if (shim.phase == PHASE_RUNNING && watchdog_ns != 0 && watchdog_heard_ns != 0 && !watchdog_late && watchdog_heard_ns + watchdog_ns < at)
        at = watchdog_heard_ns + watchdog_ns;
    return at;
}

void notify_drain(int limit) {
    if (shim.notify_fd < 0) return;
    while (limit-- > 0) {
        static char bytes[4097];
        // Room for the credentials alone: descriptors that come along don't fit, and the kernel closes them (unix(7)) before
        // this call returns. That refuses FDSTORE= without ever holding one, and answers BARRIER=: all before it was
        // processed, since it is read last.
        union {
            struct cmsghdr header;
            char bytes[CMSG_SPACE(sizeof(struct ucred))];
        } control;
        struct iovec part = {.iov_base = bytes, .iov_len = sizeof bytes - 1};
        struct msghdr message = {
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
        ssize_t got = recvmsg(shim.notify_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        if (header == NULL || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_CREDENTIALS) continue;
        struct ucred sender;
        memcpy(&sender, CMSG_DATA(header), sizeof sender);
        if (shim.main <= 0 || !sender_is_ours(&sender)) continue;
        bytes[got] = '\0';
        if (memchr(bytes, '\0', (size_t)got) != NULL) continue;
        char *line = bytes;
        while (line != NULL && *line != '\0') {
            char *next = strchr(line, '\n');
            if (next != NULL) *next++ = '\0';
            else if ((message.msg_flags & MSG_TRUNC) != 0) break;  // half a value is no value
            char *equals = strchr(line, '=');
            if (equals != NULL) {
                *equals = '\0';
                said(line, equals + 1);
            }
            line = next;
        }
    }
}
