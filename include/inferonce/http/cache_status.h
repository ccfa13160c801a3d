/* The Cache-Status response field (RFC 9211), as a structured field (RFC 8941):
 *
 *   inferonce; hit; ttl=42        inferonce; fwd=miss; stored        inferonce; fwd=miss; collapsed
 */
#ifndef INFERONCE_HTTP_CACHE_STATUS_H
#define INFERONCE_HTTP_CACHE_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "inferonce/base/buffer.h"

/* Why a request went forward: RFC 9211 section 2.2. */
enum cache_forward {
    FORWARD_NONE,   /* it did not: a hit */
    FORWARD_MISS,   /* nothing stored for the key */
    FORWARD_STALE,  /* what is stored is past its lifetime */
    FORWARD_REQUEST /* the request's directives asked for it */
};

struct cache_status {
    bool hit; /* then `forward` is not looked at: nothing went forward (section 2.1) */
    bool has_ttl;
    int64_t ttl_s; /* remaining lifetime; negative when stale (section 2.4) */
    enum cache_forward forward;
    bool stored;
    bool collapsed;
};

/* Appends the field value, without name and line end. */
void cache_status_append(const struct cache_status *status, struct buffer *buffer);

#endif
