/* Answers a request from an entry. */
#include "inferonce/cache/request.h"

#include "inferonce/cache/policy.h"

void cache_answer_entry(struct stats *stats, struct cache_request *request, const struct entry *entry,
                        bool stale, uint64_t now_us) {
    const struct cache_answer answer = {
        .result = stale ? CACHE_STALE : CACHE_HIT,
        .body = entry->body,
        .stored_answer = true,
        .age_s = entry_age_us(entry, now_us) / 1000000,
        .status = {.hit = true, .has_ttl = true, .ttl_s = policy_ttl_s(entry, now_us)}};
    stats_count(stats, STAT_hits);
    if (stale)
        stats_count(stats, STAT_stale_hits);
    stats_add(stats, STAT_inference_us_saved, entry->inference_us);
    request->phase = CACHE_IDLE;
    request->done(request, &answer);
}
