// A worker that spins on one CPU and records when it was kept from it: the longest gap between two looks at the clock, per
// millisecond. Prints percentiles over the milliseconds, in nanoseconds, and the longest gap of all.
#define _GNU_SOURCE
#include "floor.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { WINDOW_NS = 1000000, SECONDS_MAX = 600 };

static int ascending(const void *left, const void *right) {
    unsigned a = *(const unsigned *)left, b = *(const unsigned *)right;
    return a < b ? -1 : a > b;
}

// CLOCK_MONOTONIC comes from the vDSO without a system call, at about 20 ns a look.
static inline unsigned long long look(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (unsigned long long)now.tv_sec * 1000000000u + (unsigned long long)now.tv_nsec;
}

int busy_main(int count, char **arguments) {
    long cpu = option_number(count, arguments, "--cpu", 1);
    long seconds = option_number(count, arguments, "--seconds", 10);
    if (seconds < 1 || seconds > SECONDS_MAX || cpu < 0 || cpu >= CPU_SETSIZE) {
        errno = 0;
        complain("--seconds 1 to 600, --cpu a CPU's number");
    }
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((int)cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) complain("sched_setaffinity");
    // No page fault of our own among the gaps.
    long windows = seconds * 1000;
    unsigned *longest = calloc((size_t)windows, sizeof *longest);
    if (longest == NULL) complain("memory");
    memset(longest, 1, (size_t)windows * sizeof *longest);
    (void)mlockall(MCL_CURRENT);
    unsigned long long last = look(), end = last + WINDOW_NS;
    for (long window = 0; window < windows; window++) {
        unsigned long long gap = 0;
        do {
            unsigned long long now = look();
            if (now - last > gap) gap = now - last;
            last = now;
        } while (last < end);
        longest[window] = gap > 0xffffffffu ? 0xffffffffu : (unsigned)gap;
        // A gap may be longer than a window: the next begins where this one really ended.
        end = last + WINDOW_NS;
    }
    qsort(longest, (size_t)windows, sizeof *longest, ascending);
    printf("p50 %u\n", longest[windows / 2]);
    printf("p99 %u\n", longest[windows * 99 / 100]);
    printf("p99.9 %u\n", longest[windows * 999 / 1000]);
    printf("max %u\n", longest[windows - 1]);
    free(longest);
    return 0;
}
