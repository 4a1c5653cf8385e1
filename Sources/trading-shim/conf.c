// The keys of `conf`. Version 1 knows:
//   version=  launch=  slot=  service=  arg= (repeated)  env=NAME=VALUE (repeated)  cwd=  cpus=  uid=  gid=  groups=1,2
//   stdout=  stderr=  umask= (octal)  go_timeout_ms=  notify=1
// Version 2 also:
//   limit=NAME:SOFT:HARD (repeated; names as in prlimit(1), lower case; numbers or `unlimited`)
//   nice=-20..19   scheduler=other|batch|idle|fifo:1..99|rr:1..99   oom=-1000..1000 (oom_score_adj)
//   memory=bind:NODES|preferred:NODE|interleave:NODES|local (set_mempolicy(2))
//   capability=NAME (repeated; capabilities(7), lower case without cap_)
//   cgroup=PATH of a directory that does not exist yet, below a cgroup that may be written to
//   watchdog_ms=  fence=1
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char bytes[CONF_BYTES_MAX + 1];

static const char *const limit_names[] = {
    [RLIMIT_CPU] = "cpu",         [RLIMIT_FSIZE] = "fsize",     [RLIMIT_DATA] = "data",
    [RLIMIT_STACK] = "stack",     [RLIMIT_CORE] = "core",       [RLIMIT_RSS] = "rss",
    [RLIMIT_NPROC] = "nproc",     [RLIMIT_NOFILE] = "nofile",   [RLIMIT_MEMLOCK] = "memlock",
    [RLIMIT_AS] = "as",           [RLIMIT_LOCKS] = "locks",     [RLIMIT_SIGPENDING] = "sigpending",
    [RLIMIT_MSGQUEUE] = "msgqueue", [RLIMIT_NICE] = "nice",     [RLIMIT_RTPRIO] = "rtprio",
    [RLIMIT_RTTIME] = "rttime",
};

/// By number, capability.h.
static const char *const capability_names[] = {
    "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap", "linux_immutable",
    "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner", "sys_module", "sys_rawio", "sys_chroot",
    "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice", "sys_resource", "sys_time", "sys_tty_config", "mknod", "lease",
    "audit_write", "audit_control", "setfcap", "mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read",
    "perfmon", "bpf", "checkpoint_restore",
};

const char *limit_name(int resource) { return resource < LIMITS_MAX ? limit_names[resource] : NULL; }

bool number_parse(const char *text, int base, uint64_t limit, uint64_t *out) {
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, base);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value > limit) return false;
    *out = value;
    return true;
}

static bool signed_parse(const char *text, int least, int most, int *out) {
    bool negative = *text == '-';
    uint64_t magnitude;
    if (!number_parse(text + negative, 10, 1u << 20, &magnitude)) return false;
    int value = negative ? -(int)magnitude : (int)magnitude;
    if (value < least || value > most) return false;
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
        uint64_t id;
        if (conf->group_count == GROUPS_MAX || !number_parse(list, 10, UINT32_MAX - 1, &id)) return "groups is no list of numbers";
        conf->groups[conf->group_count++] = (gid_t)id;
        list = comma == NULL ? NULL : comma + 1;
    }
    return NULL;
}

static bool limit_value_parse(const char *text, rlim_t *out) {
    uint64_t value = RLIM_INFINITY;
    if (strcmp(text, "unlimited") != 0 && !number_parse(text, 10, UINT64_MAX - 1, &value)) return false;
    *out = value;
    return true;
}

static const char *limit_parse(struct conf *conf, char *value) {
    char *soft = strchr(value, ':'), *hard = soft != NULL ? strchr(soft + 1, ':') : NULL;
    if (hard == NULL) return "a limit is not NAME:SOFT:HARD";
    *soft++ = *hard++ = '\0';
    for (int i = 0; i < LIMITS_MAX; i++) {
        if (strcmp(limit_names[i], value) != 0) continue;
        struct limit *limit = &conf->limits[i];
        if (!limit_value_parse(soft, &limit->value.rlim_cur) || !limit_value_parse(hard, &limit->value.rlim_max)) return "a limit is no number";
        if (limit->value.rlim_cur > limit->value.rlim_max) return "a soft limit is above its hard one";
        limit->set = true;
        return NULL;
    }
    return "it has a limit that this shim does not know";
}

static const char *scheduler_parse(struct conf *conf, char *value) {
    static const struct {
        const char *word;
        int policy;
    } words[] = {{"other", SCHED_OTHER}, {"batch", SCHED_BATCH}, {"idle", SCHED_IDLE}, {"fifo", SCHED_FIFO}, {"rr", SCHED_RR}};
    char *priority = strchr(value, ':');
    if (priority != NULL) *priority++ = '\0';
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(words[i].word, value) != 0) continue;
        bool real_time = words[i].policy == SCHED_FIFO || words[i].policy == SCHED_RR;
        if (real_time != (priority != NULL)) break;
        if (real_time && !signed_parse(priority, 1, 99, &conf->priority)) break;
        conf->scheduler = words[i].policy, conf->has_scheduler = true;
        return NULL;
    }
    return "scheduler is not other, batch, idle, fifo:1-99 or rr:1-99";
}

static const char *memory_parse(struct conf *conf, char *value) {
    static const struct {
        const char *word;
        int policy;
    } words[] = {{"bind", MPOL_BIND}, {"preferred", MPOL_PREFERRED}, {"interleave", MPOL_INTERLEAVE}, {"local", MPOL_LOCAL}};
    unsigned long mask[CPU_WORDS];
    char *nodes = strchr(value, ':');
    if (nodes != NULL) *nodes++ = '\0';
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(words[i].word, value) != 0) continue;
        if ((words[i].policy != MPOL_LOCAL) != (nodes != NULL) || (nodes != NULL && !cpu_list_parse(nodes, mask))) break;
        conf->memory_policy = words[i].policy, conf->memory_nodes = nodes;
        return NULL;
    }
    return "memory is not bind:NODES, preferred:NODE, interleave:NODES or local";
}

static const char *capability_parse(struct conf *conf, const char *value) {
    for (size_t i = 0; i < sizeof capability_names / sizeof *capability_names; i++) {
        if (strcmp(capability_names[i], value) != 0) continue;
        conf->capabilities |= 1ull << i;
        return NULL;
    }
    return "it has a capability that this shim does not know";
}

/// What version 1 has no word for.
static const char *record_take_new(struct conf *conf, const char *key, char *value) {
    uint64_t number;
    if (strcmp(key, "limit") == 0) return limit_parse(conf, value);
    if (strcmp(key, "scheduler") == 0) return scheduler_parse(conf, value);
    if (strcmp(key, "memory") == 0) return memory_parse(conf, value);
    if (strcmp(key, "capability") == 0) return capability_parse(conf, value);
    if (strcmp(key, "nice") == 0) {
        if (!signed_parse(value, -20, 19, &conf->nice)) return "nice is not within -20 and 19";
        conf->has_nice = true;
    } else if (strcmp(key, "oom") == 0) {
        if (!signed_parse(value, -1000, 1000, &conf->oom)) return "oom is not within -1000 and 1000";
        conf->has_oom = true;
    } else if (strcmp(key, "cgroup") == 0) {
        if (*value != '/' || strlen(value) >= PATH_BYTES_MAX - 64) return "cgroup is no absolute path of at most 447 bytes";
        conf->cgroup = value;
    } else if (strcmp(key, "watchdog_ms") == 0) {
        if (!number_parse(value, 10, 3600000, &number)) return "watchdog_ms is no number up to an hour";
        conf->watchdog_ms = (unsigned)number;
    } else if (conf->version >= 3 && strcmp(key, "tree_signal") == 0) {
        if (!number_parse(value, 10, 64, &number) || number == SIGKILL) return "tree_signal is no signal that can be told";
        conf->tree_signal = (int)number;
    } else if (conf->version >= 3 && strcmp(key, "tree_grace_ms") == 0) {
        if (!number_parse(value, 10, 3600000, &number)) return "tree_grace_ms is no number up to an hour";
        conf->tree_grace_ms = (unsigned)number;
    } else if (strcmp(key, "fence") == 0) conf->fence = strcmp(value, "1") == 0;
    else return "it has a key that this shim does not know";
    return NULL;
}

static bool environment_is_ours(const char *value) {
    static const char *const names[] = {"NOTIFY_SOCKET=", "TRADING_LAUNCH=", "WATCHDOG_USEC=", "WATCHDOG_PID="};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strncmp(value, names[i], strlen(names[i])) == 0) return true;
    }
    return false;
}

static const char *record_take(struct conf *conf, const char *key, char *value) {
    uint64_t number;
    if (strcmp(key, "version") == 0) {
        if (!number_parse(value, 10, PROTOCOL_VERSION, &number) || number == 0) return "its version is none of 1 to 3: shim and agent do not match";
        conf->version = (int)number;
    } else if (strcmp(key, "launch") == 0) conf->launch = value;
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
        if (!environment_is_ours(value)) conf->environment[conf->environment_count++] = value;
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
    else if (conf->version >= 2) return record_take_new(conf, key, value);
    else return "it has a key that its version does not know";
    return NULL;
}

static const char *conf_check(const struct conf *conf) {
    if (conf->version == 0) return "it names no version";
    if (conf->launch == NULL || *conf->launch == '\0') return "it names no launch";
    if (strlen(conf->launch) > ID_BYTES_MAX) return "its launch id is longer than 64 bytes";
    for (const char *c = conf->launch; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~') return "its launch id has a character that is not printable";
    }
    if (conf->slot == NULL || *conf->slot == '\0') return "it names no slot";
    if (conf->argument_count == 0) return "it names no program (arg)";
    if (conf->has_uid && !conf->has_gid) return "it has a uid without a gid: the worker would keep the agent's group";
    if (conf->watchdog_ms != 0 && !conf->notify) return "it has a watchdog without a notify socket";
    unsigned long mask[CPU_WORDS];
    if (conf->cpus != NULL && !cpu_list_parse(conf->cpus, mask)) return "cpus is no CPU list";
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
    return conf_check(conf);
}
