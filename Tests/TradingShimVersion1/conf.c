#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char bytes[CONF_BYTES_MAX + 1];

static bool number_parse(const char *text, int base, unsigned long limit, unsigned long *out) {
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, base);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value > limit) return false;
    *out = value;
    return true;
}

bool cpu_list_parse(const char *list, unsigned long *mask) {
    const size_t word_bits = 8 * sizeof(unsigned long);
    memset(mask, 0, CPUS_MAX / 8);
    for (;;) {
        char *end;
        if (*list < '0' || *list > '9') return false;
        unsigned long from = strtoul(list, &end, 10), to = from;
        if (*end == '-') {
            if (end[1] < '0' || end[1] > '9') return false;
            to = strtoul(end + 1, &end, 10);
        }
        if (from > to || to >= CPUS_MAX) return false;
        for (; from <= to; from++) mask[from / word_bits] |= 1UL << (from % word_bits);
        if (*end == '\0') return true;
        if (*end != ',') return false;
        list = end + 1;
    }
}

static const char *groups_parse(struct conf *conf, char *list) {
    while (list != NULL && *list != '\0') {
        char *comma = strchr(list, ',');
        if (comma != NULL) *comma = '\0';
        unsigned long id;
        if (conf->group_count == GROUPS_MAX || !number_parse(list, 10, UINT32_MAX - 1, &id)) return "groups is no list of numbers";
        conf->groups[conf->group_count++] = (gid_t)id;
        list = comma == NULL ? NULL : comma + 1;
    }
    return NULL;
}

static const char *record_take(struct conf *conf, const char *key, char *value) {
    unsigned long number;
    if (strcmp(key, "version") == 0) return strcmp(value, "1") == 0 ? NULL : "its version is not 1: shim and agent do not match";
    if (strcmp(key, "launch") == 0) conf->launch = value;
    else if (strcmp(key, "slot") == 0) conf->slot = value;
    else if (strcmp(key, "service") == 0) conf->service = value;
    else if (strcmp(key, "cwd") == 0) conf->cwd = value;
    else if (strcmp(key, "cpus") == 0) conf->cpus = value;
    else if (strcmp(key, "stdout") == 0) conf->standard_output = value;
    else if (strcmp(key, "stderr") == 0) conf->standard_error = value;
    else if (strcmp(key, "notify") == 0) conf->notify = strcmp(value, "1") == 0;
    else if (strcmp(key, "arg") == 0) {
        if (conf->argument_count == ARGUMENTS_MAX) return "it has more than 1024 arguments";
        conf->arguments[conf->argument_count++] = value;
    } else if (strcmp(key, "env") == 0) {
        if (conf->environment_count == ENVIRONMENT_MAX) return "it has more than 1024 environment variables";
        if (strchr(value, '=') == NULL || *value == '=') return "an env record is not NAME=VALUE";
        if (strncmp(value, "NOTIFY_SOCKET=", 14) == 0 || strncmp(value, "TRADING_LAUNCH=", 15) == 0) return NULL;  // ours to set
        conf->environment[conf->environment_count++] = value;
    } else if (strcmp(key, "uid") == 0) {
        if (!number_parse(value, 10, UINT32_MAX - 1, &number)) return "uid is no number";
        conf->uid = (uid_t)number, conf->has_uid = true;
    } else if (strcmp(key, "gid") == 0) {
        if (!number_parse(value, 10, UINT32_MAX - 1, &number)) return "gid is no number";
        conf->gid = (gid_t)number, conf->has_gid = true;
    } else if (strcmp(key, "umask") == 0) {
        if (!number_parse(value, 8, 0777, &number)) return "umask is no octal number";
        conf->umask = (mode_t)number, conf->has_umask = true;
    } else if (strcmp(key, "go_timeout_ms") == 0) {
        if (!number_parse(value, 10, 3600000, &number)) return "go_timeout_ms is no number up to an hour";
        conf->go_timeout_ms = (unsigned)number;
    } else if (strcmp(key, "groups") == 0) return groups_parse(conf, value);
    else return "it has a key that this shim does not know";
    return NULL;
}

const char *conf_read(struct conf *conf) {
    conf->go_timeout_ms = 10000;
    int fd = open("conf", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return "it cannot be opened";
    size_t size = 0;
    for (;;) {
        ssize_t got = read(fd, bytes + size, sizeof bytes - size);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            close(fd);
            return "it cannot be read";
        }
        if (got == 0) break;
        size += (size_t)got;
    }
    close(fd);
    if (size == 0 || size > CONF_BYTES_MAX) return size == 0 ? "it is empty" : "it is larger than 256 KiB";
    if (bytes[size - 1] != '\0') return "its last record is cut off";
    for (char *record = bytes; record < bytes + size; ) {
        char *next = record + strlen(record) + 1;
        char *equals = strchr(record, '=');
        if (equals == NULL) return "a record is not key=value";
        *equals = '\0';
        const char *wrong = record_take(conf, record, equals + 1);
        if (wrong != NULL) return wrong;
        record = next;
    }
    if (conf->launch == NULL || *conf->launch == '\0') return "it names no launch";
    if (strlen(conf->launch) > ID_BYTES_MAX) return "its launch id is longer than 64 bytes";
    for (const char *c = conf->launch; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~') return "its launch id has a character that is not printable";
    }
    if (conf->slot == NULL || *conf->slot == '\0') return "it names no slot";
    if (conf->argument_count == 0) return "it names no program (arg)";
    if (conf->has_uid && !conf->has_gid) return "it has a uid without a gid: the worker would keep the agent's group";
    unsigned long mask[CPUS_MAX / (8 * sizeof(unsigned long))];
    if (conf->cpus != NULL && !cpu_list_parse(conf->cpus, mask)) return "cpus is no CPU list";
    return NULL;
}
