// The worker's NOTIFY_SOCKET (sd_notify(3)): a datagram socket that is always drained, so that a worker which notifies
// with a blocking send never stalls, agent or no agent.
#include "shim.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct entry {
    char key[NOTIFY_KEY_BYTES_MAX + 1];
    char value[NOTIFY_VALUE_BYTES_MAX + 1];
};

static struct entry entries[NOTIFY_KEYS_MAX];
static int entry_count;
static char name[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];

const char *notify_name(void) { return name; }
const char *notify_key(int index) { return index < entry_count ? entries[index].key : NULL; }
const char *notify_value(int index) { return entries[index].value; }

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

/// A process of the worker's tree. One that has already ended (systemd-notify in a script does) can't be placed any more
/// and is believed when it had the worker's user, who could do the worker anything anyway.
static bool sender_is_ours(const struct ucred *sender) {
    if (sender->pid == shim.worker) return true;
    pid_t pid = sender->pid;
    for (int depth = 0; depth < 64 && pid > 1; depth++) {
        pid_t parent = 0;
        if (process_start(pid, &parent) == 0) return sender->uid == (shim.conf.has_uid ? shim.conf.uid : geteuid());
        if (parent == shim.pid) return true;
        pid = parent;
    }
    return false;
}

static bool key_is_kept(const char *key) {
    if (*key == '\0' || strlen(key) > NOTIFY_KEY_BYTES_MAX) return false;
    for (const char *c = key; *c != '\0'; c++) {
        if (!((*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || *c == '_')) return false;
    }
    // Descriptors are never taken over, and which process is the main one is the shim's own knowledge.
    return strncmp(key, "FD", 2) != 0 && strcmp(key, "BARRIER") != 0 && strncmp(key, "MAINPID", 7) != 0;
}

static void said(const char *key, char *value) {
    if (!key_is_kept(key)) return;
    if (strlen(value) > NOTIFY_VALUE_BYTES_MAX) value[NOTIFY_VALUE_BYTES_MAX] = '\0';
    int at = 0;
    while (at < entry_count && strcmp(entries[at].key, key) != 0) at++;
    if (at < NOTIFY_KEYS_MAX) {
        strcpy(entries[at].key, key);
        strcpy(entries[at].value, value);
        if (at == entry_count) entry_count++;
    }
    char escaped[3 * NOTIFY_VALUE_BYTES_MAX + 4], line[LINE_MAX_BYTES];
    escape(escaped, sizeof escaped, value);
    snprintf(line, sizeof line, "notify %s=%s", key, escaped);
    clients_send_event(line);
}

void notify_drain(int limit) {
    if (shim.notify_fd < 0) return;
    while (limit-- > 0) {
        static char bytes[4097];
        // Room for the credentials alone: descriptors that come along don't fit, and the kernel closes them (unix(7)).
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
        if (shim.worker <= 0 || !sender_is_ours(&sender)) continue;
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
