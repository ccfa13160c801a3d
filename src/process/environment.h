/* Numbers in variables by which whoever started the program tells it something. */
#ifndef INFERONCE_PROCESS_ENVIRONMENT_H
#define INFERONCE_PROCESS_ENVIRONMENT_H

#include <stdbool.h>
#include <stdint.h>

/* False: the variable is not set, or is no decimal number; `number` is as it was. */
bool environment_number(const char *name, uint64_t *number);

#endif
