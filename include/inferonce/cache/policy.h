/* Decides how a stored entry may be used, by the request's directives and the entry's lifetimes: the rows of
 * "Cases" as a pure function.
 *
 * RFC 9111 section 5.2.1 (request directives), RFC 5861 (stale-while-revalidate, stale-if-error). Where
 * several directives are given the most restrictive wins. Times are wall-clock microseconds. */
#ifndef INFERONCE_CACHE_POLICY_H
#define INFERONCE_CACHE_POLICY_H

#include <stdbool.h>

#include "inferonce/cache/entry.h"
#include "inferonce/http/cache_control.h"
#include "inferonce/http/cache_status.h"

enum policy_verdict {
    POLICY_HIT,
    POLICY_STALE,         /* serve it, past its lifetime */
    POLICY_STALE_REFRESH, /* serve it and have it refreshed in the background */
    POLICY_FORWARD,       /* infer; `forward` says why */
    POLICY_UNSATISFIABLE  /* only-if-cached and nothing usable: 504 */
};

/* Judges `entry`, or that there is none (NULL). `had_expired`: none, but one was there until its time was
 * over.
 * `*forward` is set with POLICY_FORWARD and POLICY_UNSATISFIABLE. */
enum policy_verdict policy_judge(const struct cache_control *control, const struct entry *entry,
                                 bool had_expired, uint64_t now_us, enum cache_forward *forward);

/* Whether `entry` may be served because the inference failed. */
bool policy_usable_on_error(const struct cache_control *control, const struct entry *entry, uint64_t now_us);

/* Whether policy_usable_on_error could say yes to any entry: whether looking one up is worth it. */
bool policy_wants_stale_on_error(const struct cache_control *control, uint64_t stale_if_error_ms);

/* Remaining lifetime in whole seconds for Cache-Status: rounded up when fresh, so that with an Age that is
 * rounded down the two add up to the lifetime; negative, rounded away from zero, when stale (a lifetime that
 * is over by 1 ms is over: -1, never 0). */
int64_t policy_ttl_s(const struct entry *entry, uint64_t now_us);

#endif
