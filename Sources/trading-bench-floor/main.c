// trading-bench-floor worker|busy|floor: see the three files.
#include "floor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void complain(const char *what) {
    if (errno != 0) {
        fprintf(stderr, "trading-bench-floor: %s: %s\n", what, strerror(errno));
    } else {
        fprintf(stderr, "trading-bench-floor: %s\n", what);
    }
    exit(1);
}

const char *option_text(int count, char **arguments, const char *name) {
    for (int i = 0; i + 1 < count; i++) {
        if (strcmp(arguments[i], name) == 0) return arguments[i + 1];
    }
    return NULL;
}

int option_flag(int count, char **arguments, const char *name) {
    for (int i = 0; i < count; i++) {
        if (strcmp(arguments[i], name) == 0) return 1;
    }
    return 0;
}

long option_number(int count, char **arguments, const char *name, long otherwise) {
    const char *text = option_text(count, arguments, name);
    if (text == NULL) return otherwise;
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (*text == '\0' || *end != '\0' || errno != 0) {
        errno = 0;
        complain(name);
    }
    return value;
}

int main(int count, char **arguments) {
    const char *verb = count > 1 ? arguments[1] : "";
    if (strcmp(verb, "worker") == 0) return worker_main(count - 2, arguments + 2);
    if (strcmp(verb, "busy") == 0) return busy_main(count - 2, arguments + 2);
    if (strcmp(verb, "floor") == 0) return floor_main(count - 2, arguments + 2);
    fputs(
        "usage: trading-bench-floor worker [--exit-after-term-ms N] [--started FILE] [--ready] [--eat-mib N]\n"
        "       trading-bench-floor busy --cpu N --seconds S\n"
        "       trading-bench-floor floor kill|stop|start|restart [--workers W] [--rounds R] [--exit-after-term-ms N]\n",
        stderr);
    return 2;
}
