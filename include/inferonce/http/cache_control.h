/* Cache-Control of a request.
 *
 * Grammar: RFC 9110 section 5.6.1 (lists with empty members), 5.6.2 and 5.6.4 (token, quoted-string), RFC
 * 9111 section 5.2 (directives and their arguments), 1.2.2 (delta-seconds saturate); stale-if-error of a
 * request: RFC 5861 section 4. What does not apply to requests (private, s-maxage, must-revalidate) and what
 * is unknown is ignored. Nothing here is ever an error. */
#ifndef INFERONCE_HTTP_CACHE_CONTROL_H
#define INFERONCE_HTTP_CACHE_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "inferonce/base/buffer.h"

/* A delta-seconds that was not given. */
#define SECONDS_ABSENT UINT64_MAX
/* A huge number becomes this (RFC 9111 section 1.2.2). */
#define SECONDS_HUGE UINT64_C(2147483648)

struct cache_control {
    bool present; /* there was a Cache-Control field, if only an empty one: Pragma is not looked at then */
    bool no_cache;
    bool no_store;
    bool only_if_cached;
    bool max_stale_any; /* max-stale without an argument, and max_stale_s is SECONDS_ABSENT */

    /* SECONDS_ABSENT, or: */
    uint64_t max_age_s;        /* of two the smaller; a malformed argument counts as 0 */
    uint64_t min_fresh_s;      /* of two the larger; malformed: SECONDS_HUGE, the most restrictive reading */
    uint64_t max_stale_s;      /* of two the smaller, and an argument beats none; malformed: ignored */
    uint64_t stale_if_error_s; /* of two the smaller; malformed: ignored */
};

void cache_control_init(struct cache_control *control);

/* Reads one field line (or several that a server joined with commas) and merges it with what was read before.
 * White space where the grammar has none ("max-age = 5") is a malformed argument; a quoted string that does
 * not end hides all behind it. */
void cache_control_parse(struct cache_control *control, struct bytes field_value);

/* `Pragma: no-cache` counts as no-cache, only when there was no Cache-Control (RFC 9111 section 5.4). Called
 * after all field lines were parsed. */
void cache_control_apply_pragma(struct cache_control *control, const struct cache_control *pragma);

#endif
