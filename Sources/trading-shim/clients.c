// The stream socket: clients, requests, answers. Nothing here ever waits for a client.
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { WORDS_MAX = 7 };  // of the longest request and one too many

struct client {
    int fd;
    bool awaits_go;
    int version;  // 0: no hello yet
    uint64_t heard;  // order of its last request
    size_t size, out_size;
    char bytes[LINE_MAX_BYTES];
    char out[16 * 1024];  // what is said in one turn goes out in one call
};

struct answer {
    char id[ID_BYTES_MAX + 1];
    char text[ANSWER_BYTES_MAX];  // empty: under way
};

static struct client clients[CLIENTS_MAX];
static struct answer answers[ANSWERS_KEPT];
static unsigned answer_next;
static int go_answer = -1;
static uint64_t heard_next = 1;

void clients_start(void) {
    for (int i = 0; i < CLIENTS_MAX; i++) clients[i].fd = -1;
}

int client_fd(int index) { return clients[index].fd; }

static void cut_off(struct client *client) {
    close(client->fd);
    client->fd = -1;
}

static void client_flush(struct client *client) {
    if (client->fd < 0 || client->out_size == 0) return;
    ssize_t put;
    do put = send(client->fd, client->out, client->out_size, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (put < 0 && errno == EINTR);
    if (put != (ssize_t)client->out_size) cut_off(client);
    client->out_size = 0;
}

void clients_flush(void) {
    for (int i = 0; i < CLIENTS_MAX; i++) client_flush(&clients[i]);
}

static void client_send(struct client *client, const char *line) {
    if (client->fd < 0) return;
    size_t size = strlen(line);
    if (size > LINE_MAX_BYTES - 1) size = LINE_MAX_BYTES - 1;
    if (client->out_size + size + 1 > sizeof client->out) client_flush(client);
    if (client->fd < 0) return;
    memcpy(client->out + client->out_size, line, size);
    client->out[client->out_size + size] = '\n';
    client->out_size += size + 1;
}

void clients_send_event(int since, const char *line) {
    for (int i = 0; i < CLIENTS_MAX; i++) {
        if (clients[i].fd >= 0 && clients[i].version >= since) client_send(&clients[i], line);
    }
}

void clients_accept(void) {
    for (;;) {
        int fd = accept4(shim.listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && errno == EINTR) continue;
        if (fd < 0) return;
        struct ucred peer;
        socklen_t length = sizeof peer;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 || (peer.uid != 0 && peer.uid != geteuid())) {
            close(fd);
            continue;
        }
        struct client *place = &clients[0];
        for (int i = 0; i < CLIENTS_MAX && place->fd >= 0; i++) {
            if (clients[i].fd < 0 || clients[i].heard < place->heard) place = &clients[i];
        }
        // Never refused for want of room: a hung client must not keep an emergency stop out.
        if (place->fd >= 0) cut_off(place);
        place->fd = fd;
        place->version = 0;
        place->awaits_go = false;
        place->heard = heard_next++;
        place->size = place->out_size = 0;
        client_readable((int)(place - clients));  // what came with the connection is acted on in the same turn
    }
}

static const char *phase_word(void) {
    static const char *const words[] = {"waiting", "launching", "running", "exited", "gone"};
    return words[shim.phase];
}

int exited_line(char *line, size_t size) {
    if (shim.how == HOW_UNKNOWN) {
        snprintf(line, size, "exited unknown 0 0");
        return 2;
    }
    snprintf(line, size, "exited %s %d %d", shim.how == HOW_EXIT ? "exit" : "signal", shim.code, shim.core);
    return shim.how == HOW_EXIT || shim.how == HOW_SIGNAL ? 1 : PROTOCOL_VERSION + 1;
}

/// What only version 2 says, about the shim itself and its fence.
static void hello_about_shim(struct client *client, char *line, size_t size) {
    if (shim.memory_errno != 0) {
        snprintf(line, size, "degraded memory %d", shim.memory_errno);
        client_send(client, line);
    }
    if (shim.oom_errno != 0) {
        snprintf(line, size, "degraded oom %d", shim.oom_errno);
        client_send(client, line);
    }
    for (int i = 0; fence_event(i, line, size) != NULL; i++) {
        if (*line != '\0') client_send(client, line);
    }
}

static void hello(struct client *client, int version) {
    char line[LINE_MAX_BYTES];
    client->version = version;
    snprintf(line, sizeof line, "shim %d %s %s", version, shim.conf.launch, phase_word());
    client_send(client, line);
    if (version >= 2) hello_about_shim(client, line, sizeof line);
    if (shim.how == HOW_FAILED) {
        snprintf(line, sizeof line, "failed %d %s", shim.failed_errno, shim.failed_step);
        client_send(client, line);
    } else if (shim.phase >= PHASE_RUNNING && shim.main > 0) {
        snprintf(line, sizeof line, "running %d %llu", shim.main, (unsigned long long)shim.main_start);
        client_send(client, line);
    }
    for (int i = 0; notify_key(i) != NULL; i++) {
        char escaped[3 * NOTIFY_VALUE_BYTES_MAX + 4];
        escape(escaped, sizeof escaped, notify_value(i));
        snprintf(line, sizeof line, "notify %s=%s", notify_key(i), escaped);
        client_send(client, line);
    }
    if (version >= 2 && watchdog_is_late()) client_send(client, "watchdog late");
    if (shim.phase == PHASE_EXITED && exited_line(line, sizeof line) <= version) client_send(client, line);
    if (version >= 3 && tree_event(line, sizeof line) != NULL) client_send(client, line);
}

static void refuse(struct client *client, const char *id, const char *slug, const char *why) {
    char line[ANSWER_BYTES_MAX + 32];
    snprintf(line, sizeof line, "err %s %s %s", id, slug, why);
    client_send(client, line);
}

static struct answer *answer_find(const char *id) {
    for (int i = 0; i < ANSWERS_KEPT; i++) {
        if (answers[i].id[0] != '\0' && strcmp(answers[i].id, id) == 0) return &answers[i];
    }
    return NULL;
}

static struct answer *answer_new(const char *id) {
    if (go_answer == (int)(answer_next % ANSWERS_KEPT)) answer_next++;  // the one under way keeps its place
    struct answer *answer = &answers[answer_next++ % ANSWERS_KEPT];
    snprintf(answer->id, sizeof answer->id, "%s", id);
    answer->text[0] = '\0';
    return answer;
}

static void go(struct client *client, struct answer *answer) {
    if (shim.phase != PHASE_WAITING || shim.how != HOW_OPEN) {
        snprintf(answer->text, sizeof answer->text, "err %s not-waiting this launch is %s", answer->id, phase_word());
        client_send(client, answer->text);
        return;
    }
    if (shim.conf.fence && (!fence_is_armed() || fence_is_over())) {
        snprintf(answer->text, sizeof answer->text, fence_is_armed() ? "err %s fenced its deadline has passed" : "err %s not-armed its fence comes first",
                 answer->id);
        client_send(client, answer->text);
        return;
    }
    go_answer = (int)(answer - answers);
    client->awaits_go = true;
    worker_launch();
    if (shim.how == HOW_FAILED) clients_go_settled();
}

void clients_go_settled(void) {
    if (go_answer < 0) return;
    struct answer *answer = &answers[go_answer];
    char event[128];
    if (shim.how == HOW_FAILED) {
        snprintf(answer->text, sizeof answer->text, "err %s failed %d %s", answer->id, shim.failed_errno, shim.failed_step);
        snprintf(event, sizeof event, "failed %d %s", shim.failed_errno, shim.failed_step);
    } else {
        snprintf(answer->text, sizeof answer->text, "ok %s running %d %llu", answer->id, shim.main,
                 (unsigned long long)shim.main_start);
        snprintf(event, sizeof event, "running %d %llu", shim.main, (unsigned long long)shim.main_start);
    }
    go_answer = -1;
    for (int i = 0; i < CLIENTS_MAX; i++) {
        if (clients[i].fd >= 0 && clients[i].awaits_go) client_send(&clients[i], answer->text);
        clients[i].awaits_go = false;
    }
    clients_send_event(1, event);
}

static void signal_main(struct client *client, struct answer *answer, const char *argument) {
    char *end;
    long number = strtol(argument, &end, 10);
    if (*argument < '0' || *argument > '9' || *end != '\0' || number < 1 || number > 64) {
        snprintf(answer->text, sizeof answer->text, "err %s bad-request a signal number from 1 to 64 is wanted", answer->id);
    } else if (shim.phase != PHASE_RUNNING) {
        snprintf(answer->text, sizeof answer->text, "err %s not-running this launch is %s", answer->id, phase_word());
    } else if (!worker_signal((int)number)) {
        snprintf(answer->text, sizeof answer->text, errno == ESRCH ? "err %s not-running it has just ended" : "err %s failed %d signal",
                 answer->id, errno);
    } else {
        if (number == 9) shim.killed = true;
        snprintf(answer->text, sizeof answer->text, "ok %s signalled %ld", answer->id, number);
    }
    client_send(client, answer->text);
}

static void stop_tree(struct client *client, struct answer *answer, const char *argument) {
    uint64_t number;
    if (!number_parse(argument, 10, 64, &number) || number == SIGKILL) {
        snprintf(answer->text, sizeof answer->text, "err %s bad-request a signal number up to 64, not 9, is wanted; 0 calls a stop off", answer->id);
    } else if (number != 0 && shim.phase == PHASE_RUNNING) {
        struct process_stat stat;
        bool halted = process_stat_read(shim.main, &stat) && stat.state == 'T';
        signal_main(client, answer, argument);
        if (strncmp(answer->text, "ok ", 3) != 0) return;
        (void)tree_stop((int)number);
        // Stopped by a signal it could take none: it is woken for this one.
        if (halted && worker_signal(SIGCONT)) clients_send_event(3, "continued");
        return;
    } else if ((number != 0 && shim.phase != PHASE_EXITED) || !tree_stop((int)number)) {
        snprintf(answer->text, sizeof answer->text, "err %s not-running this launch is %s", answer->id, phase_word());
    } else {
        snprintf(answer->text, sizeof answer->text, "ok %s signalled %d", answer->id, (int)number);
    }
    client_send(client, answer->text);
}

static void kill_all(struct client *client, struct answer *answer, const char *latch) {
    // First the deed, then the words.
    if (shim.phase == PHASE_WAITING) {
        if (shim.how == HOW_OPEN) shim.how = HOW_NEVER;
    } else {
        bool emergency = *latch != '\0';
        if (!emergency) tree_kill_begins(false);
        // What has left its cgroup can wait until the main process is gone, or for a millisecond where that lingers.
        bool at_once = tree_kill_at_once();
        if (emergency) tree_kill_begins(true);
        if (!at_once) tree_kill();
        if (shim.phase < PHASE_EXITED) shim.killed = true;
    }
    if (shim.latch[0] == '\0' && shim.phase < PHASE_EXITED) snprintf(shim.latch, sizeof shim.latch, "%s", latch);
    snprintf(answer->text, sizeof answer->text, "ok %s killed", answer->id);
    client_send(client, answer->text);
}

static bool word_is_printable(const char *word, size_t limit) {
    if (*word == '\0' || strlen(word) > limit) return false;
    for (; *word != '\0'; word++) {
        if (*word <= ' ' || *word > '~') return false;
    }
    return true;
}

static void request(struct client *client, char *line) {
    client->heard = heard_next++;
    char *words[WORDS_MAX] = {"", "", "", "", "", "", ""}, *rest = line;
    int count = 0;
    for (char *word; (word = strsep(&rest, " ")) != NULL; count++) {
        if (count == WORDS_MAX) break;
        words[count] = word;
    }
    if (strcmp(words[0], "hello") == 0) {
        uint64_t version;
        if (count == 2 && number_parse(words[1], 10, PROTOCOL_VERSION, &version) && version > 0) hello(client, (int)version);
        else refuse(client, "-", "version", "this shim speaks versions 1 to 3: hello 3");
        return;
    }
    bool is_go = strcmp(words[0], "go") == 0 && count == 2;
    bool is_signal = strcmp(words[0], "signal") == 0 && count == 3;
    bool is_stop = strcmp(words[0], "stop") == 0 && count == 3;
    bool is_kill = strcmp(words[0], "kill") == 0 && (count == 2 || (count == 3 && word_is_printable(words[2], LATCH_BYTES_MAX)));
    bool is_fence = strcmp(words[0], "fence") == 0 && count == 6;
    if (!is_go && !is_signal && !is_stop && !is_kill && !is_fence) {
        refuse(client, "-", "bad-request", "wanted: hello 3, go ID, signal ID NUMBER, stop ID NUMBER, kill ID [LATCH] or fence ID EPOCH SOFT HARD SIGNAL");
        return;
    }
    if (!word_is_printable(words[1], ID_BYTES_MAX)) {
        refuse(client, "-", "bad-id", "an id is 1 to 64 printable characters");
        return;
    }
    struct answer *answer = answer_find(words[1]);
    if (answer != NULL) {
        if (answer->text[0] != '\0') client_send(client, answer->text);
        else client->awaits_go = true;
        return;
    }
    answer = answer_new(words[1]);
    if (is_go) go(client, answer);
    else if (is_signal) signal_main(client, answer, words[2]);
    else if (is_stop) stop_tree(client, answer, words[2]);
    else if (is_fence) {
        fence_request(answer->text, sizeof answer->text, answer->id, words + 2);
        client_send(client, answer->text);
    }
    else kill_all(client, answer, words[2]);
}

void client_readable(int index) {
    struct client *client = &clients[index];
    ssize_t got = recv(client->fd, client->bytes + client->size, sizeof client->bytes - client->size, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
        cut_off(client);
        return;
    }
    client->size += (size_t)got;
    char *start = client->bytes, *end = client->bytes + client->size, *newline;
    while (client->fd >= 0 && (newline = memchr(start, '\n', (size_t)(end - start))) != NULL) {
        *newline = '\0';
        if (memchr(start, '\0', (size_t)(newline - start)) != NULL) refuse(client, "-", "bad-request", "a zero byte");
        else request(client, start);
        start = newline + 1;
    }
    if (client->fd < 0) return;
    client->size = (size_t)(end - start);
    memmove(client->bytes, start, client->size);
    if (client->size == sizeof client->bytes) {
        refuse(client, "-", "too-long", "a line is at most 4096 bytes");
        client_flush(client);
        if (client->fd >= 0) cut_off(client);
    }
}
