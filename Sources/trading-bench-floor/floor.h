// What the kernel alone needs, and the small processes that benchmarks and tests supervise.
#ifndef FLOOR_H
#define FLOOR_H

#include <stdint.h>

// CLOCK_BOOTTIME, as the house uses it everywhere.
uint64_t now_ns(void);
// "--name VALUE" among the arguments as a number; `otherwise` when it isn't there. Ends the program when it is no number.
long option_number(int count, char **arguments, const char *name, long otherwise);
const char *option_text(int count, char **arguments, const char *name);
int option_flag(int count, char **arguments, const char *name);
_Noreturn void complain(const char *what);

int worker_main(int count, char **arguments);
int busy_main(int count, char **arguments);
int floor_main(int count, char **arguments);

#endif
