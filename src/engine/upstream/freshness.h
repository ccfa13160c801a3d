/* How long an answer may be kept by the model's own response fields (RFC 9111 sections 4.2 and 5.2.2). */
#ifndef INFERONCE_ENGINE_UPSTREAM_FRESHNESS_H
#define INFERONCE_ENGINE_UPSTREAM_FRESHNESS_H

#include <stdbool.h>
#include <stdint.h>

#include "inferonce/base/buffer.h"

/* Zero-initialised: nothing was said. */
struct freshness {
    bool forbidden; /* no-store, private, Vary: *; no-cache too: we could not ask whether it still holds */
    bool has_max_age, has_s_maxage;
    uint64_t max_age_s, s_maxage_s; /* of two the smaller; malformed: 0 */
    uint64_t age_s;
    bool has_expires, has_date;
    int64_t expires_s, date_s; /* seconds since 1970; an Expires that is no date: long ago (section 5.3) */
};

/* Reads one field line of that name. `Vary: *` forbids: no later request could be told to be the same. */
void freshness_read_cache_control(struct freshness *freshness, struct bytes field_value);
void freshness_read_age(struct freshness *freshness, struct bytes field_value);
void freshness_read_expires(struct freshness *freshness, struct bytes field_value);
void freshness_read_date(struct freshness *freshness, struct bytes field_value);
void freshness_read_vary(struct freshness *freshness, struct bytes field_value);

/* The most that the model allows, in milliseconds; UINT64_MAX: it did not say. s-maxage is for shared caches,
 * which we are, and goes before max-age, and that before Expires. `now_s`, seconds since 1970, is what
 * Expires counts from when there is no Date. */
uint64_t freshness_lifetime_ms(const struct freshness *freshness, int64_t now_s);

#endif
