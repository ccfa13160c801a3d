/* Decides whether an entry may be served, by the request's directives. */
#include "inferonce/cache/policy.h"

#define US_PER_S INT64_C(1000000)

/* Microseconds of lifetime left; zero or less when stale. Lifetimes are bounded by the settings, far from
 * overflow; an entry that claims otherwise is clamped. */
static int64_t remaining_us(const struct entry *entry, uint64_t now_us) {
    const uint64_t limit = INT64_MAX / 2;
    uint64_t until = entry->fresh_until_us < limit ? entry->fresh_until_us : limit;
    uint64_t now = now_us < limit ? now_us : limit;
    return (int64_t)until - (int64_t)now;
}

/* Whether `us` is at most `seconds`, with seconds up to SECONDS_HUGE. */
static bool within(uint64_t us, uint64_t seconds) {
    return us <= seconds * (uint64_t)US_PER_S;
}

/* The request's own wishes that a stored answer must meet whether it is fresh or stale. Age counts in whole
 * seconds, as the client sees it in the Age field, so that `max-age=5` accepts what says `Age: 5`;
 * `max-age=0` accepts nothing stored, however new. */
static bool age_is_acceptable(const struct cache_control *control, const struct entry *entry,
                              uint64_t now_us) {
    if (control->max_age_s == SECONDS_ABSENT)
        return true;
    if (control->max_age_s == 0)
        return false;
    return entry_age_us(entry, now_us) / (uint64_t)US_PER_S <= control->max_age_s;
}

static bool staleness_is_acceptable(const struct cache_control *control, uint64_t stale_us) {
    if (control->max_stale_s != SECONDS_ABSENT)
        return within(stale_us, control->max_stale_s);
    return control->max_stale_any;
}

static enum policy_verdict refuse(const struct cache_control *control, enum cache_forward why,
                                  enum cache_forward *forward) {
    *forward = why;
    return control->only_if_cached ? POLICY_UNSATISFIABLE : POLICY_FORWARD;
}

enum policy_verdict policy_judge(const struct cache_control *control, const struct entry *entry,
                                 bool had_expired, uint64_t now_us, enum cache_forward *forward) {
    if (control->no_cache)
        return refuse(control, FORWARD_REQUEST, forward);
    if (control->no_store && !control->only_if_cached)
        return refuse(control, FORWARD_REQUEST, forward);
    if (!entry)
        return refuse(control, had_expired ? FORWARD_STALE : FORWARD_MISS, forward);

    int64_t left_us = remaining_us(entry, now_us);
    bool age_ok = age_is_acceptable(control, entry, now_us);
    if (left_us > 0) {
        bool fresh_enough = control->min_fresh_s == SECONDS_ABSENT ||
                            (uint64_t)left_us >= control->min_fresh_s * (uint64_t)US_PER_S;
        return age_ok && fresh_enough ? POLICY_HIT : refuse(control, FORWARD_REQUEST, forward);
    }

    /* Stale. min-fresh rules out every stale answer, min-fresh=0 too: it asks for one that is fresh. */
    if (!age_ok || control->min_fresh_s != SECONDS_ABSENT)
        return refuse(control, FORWARD_STALE, forward);
    bool revalidates = now_us < entry->stale_while_revalidate_until_us;
    if (staleness_is_acceptable(control, (uint64_t)-left_us))
        return revalidates && !control->only_if_cached ? POLICY_STALE_REFRESH : POLICY_STALE;
    /* A limit on staleness that this entry is past is stricter than our own willingness to serve it. */
    if (revalidates && control->max_stale_s == SECONDS_ABSENT && !control->only_if_cached)
        return POLICY_STALE_REFRESH;
    return refuse(control, FORWARD_STALE, forward);
}

bool policy_usable_on_error(const struct cache_control *control, const struct entry *entry, uint64_t now_us) {
    if (control->no_cache || control->no_store)
        return false;
    int64_t left_us = remaining_us(entry, now_us);
    uint64_t stale_us = left_us < 0 ? (uint64_t)-left_us : 0;
    if (control->stale_if_error_s != SECONDS_ABSENT)
        return within(stale_us, control->stale_if_error_s);
    /* The configured window yields to what the request says of age and freshness. */
    return now_us < entry->stale_if_error_until_us && age_is_acceptable(control, entry, now_us) &&
           control->min_fresh_s == SECONDS_ABSENT;
}

bool policy_wants_stale_on_error(const struct cache_control *control, uint64_t stale_if_error_ms) {
    return !control->no_cache && !control->no_store &&
           (control->stale_if_error_s != SECONDS_ABSENT || stale_if_error_ms > 0);
}

int64_t policy_ttl_s(const struct entry *entry, uint64_t now_us) {
    int64_t left_us = remaining_us(entry, now_us);
    if (left_us > 0)
        return (left_us + US_PER_S - 1) / US_PER_S;
    return -(1 + (-left_us) / US_PER_S);
}
