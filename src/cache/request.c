/* Fills an answer from an entry. */
#include "inferonce/cache/request.h"

#include "inferonce/cache/policy.h"

void cache_answer_from_entry(struct cache_answer *answer, const struct entry *entry, uint64_t now_us) {
    answer->body = entry->body;
    answer->stored_answer = true;
    answer->age_s = entry_age_us(entry, now_us) / 1000000;
    answer->status.hit = true;
    answer->status.has_ttl = true;
    answer->status.ttl_s = policy_ttl_s(entry, now_us);
}
