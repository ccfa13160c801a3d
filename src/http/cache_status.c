/* Writes Cache-Status (RFC 9211). */
#include "inferonce/http/cache_status.h"

/* The most digits that an integer of a structured field may have are 15 (RFC 8941 section 3.3.1). */
#define INTEGER_MAX UINT64_C(999999999999999)

static void append_ttl(struct buffer *buffer, int64_t ttl_s) {
    uint64_t magnitude = ttl_s < 0 ? (uint64_t)0 - (uint64_t)ttl_s : (uint64_t)ttl_s;
    APPEND_LITERAL(buffer, "; ttl=");
    if (ttl_s < 0)
        buffer_append_char(buffer, '-');
    buffer_append_number(buffer, magnitude < INTEGER_MAX ? magnitude : INTEGER_MAX);
}

static void append_forward(struct buffer *buffer, enum cache_forward forward) {
    switch (forward) {
    case FORWARD_NONE:
        break;
    case FORWARD_MISS:
        APPEND_LITERAL(buffer, "; fwd=miss");
        break;
    case FORWARD_STALE:
        APPEND_LITERAL(buffer, "; fwd=stale");
        break;
    case FORWARD_REQUEST:
        APPEND_LITERAL(buffer, "; fwd=request");
        break;
    }
}

void cache_status_append(const struct cache_status *status, struct buffer *buffer) {
    APPEND_LITERAL(buffer, "inferonce");
    if (status->hit)
        APPEND_LITERAL(buffer, "; hit");
    else
        append_forward(buffer, status->forward);
    if (status->has_ttl)
        append_ttl(buffer, status->ttl_s);
    if (status->stored)
        APPEND_LITERAL(buffer, "; stored");
    if (status->collapsed)
        APPEND_LITERAL(buffer, "; collapsed");
}
