/* Retry-After of a model's server (RFC 9110 section 10.2.3): a number of seconds, or a date. */
#ifndef INFERONCE_ENGINE_UPSTREAM_RETRY_AFTER_H
#define INFERONCE_ENGINE_UPSTREAM_RETRY_AFTER_H

#include <stdint.h>

#include "inferonce/base/buffer.h"

/* The most that is passed on, in seconds. */
#define RETRY_AFTER_MOST_S 3600

/* Zero-initialised: it did not say. */
struct retry_after {
    uint64_t seconds;
    int64_t at_s; /* seconds since 1970 */
};

/* Reads one field line; what is malformed changes nothing. Of several the latest counts. */
void retry_after_read(struct retry_after *retry_after, struct bytes field_value);

/* From 1 to RETRY_AFTER_MOST_S; 1 when it did not say. `now_s`: seconds since 1970, by the server's clock if
 * it told. */
unsigned retry_after_seconds(const struct retry_after *retry_after, int64_t now_s);

#endif
