/* Reads numbers from the environment. */
#include "process/environment.h"

#include <stdlib.h>

#include "inferonce/base/buffer.h"

bool environment_number(const char *name, uint64_t *number) {
    const char *text = getenv(name);
    return text && bytes_to_number(bytes_of(text), number);
}
