/* Asks again for the texts of a call that failed, so that a bad one fails alone. */
#include "engine/upstream/parts.h"
#include "inferonce/base/log.h"

bool upstream_may_ask_again(const struct call *call, const struct http_post_outcome *outcome) {
    /* Not `wanted`: whose client left may be the one that the failure is about. */
    if (call->n == 1)
        return false;
    if (outcome->end != HTTP_POST_ANSWERED)
        return outcome->end == HTTP_POST_TOO_LARGE;
    return outcome->status != 401 && outcome->status != 403 && outcome->status != 429 &&
           outcome->status != 503;
}

/* ---- asking again ---- */

/* Jobs whose time is over end with the answer that there is. False: everything was closed meanwhile. */
static bool finish_late(struct call *call, const struct engine_answer *answer) {
    uint64_t now = upstream_now_ms(call->upstream);
    for (size_t i = 0; i < call->n; i++)
        if (call->jobs[i] && call->jobs[i]->due_ms <= now && !upstream_finish(call, i, answer))
            return false;
    return true;
}

void upstream_ask_again(struct call *call, const struct http_post_outcome *outcome,
                        const struct engine_answer *answer) {
    struct upstream *upstream = call->upstream;
    struct engine_job *left[UPSTREAM_BATCH_MOST];
    size_t n = 0;
    if (!finish_late(call, answer))
        return;
    for (size_t i = 0; i < call->n; i++)
        if (call->jobs[i])
            left[n++] = call->jobs[i];
    if (n == 0)
        return;
    size_t half = n / 2, n_parts = half > 0 ? 2 : 1;
    uint64_t trial = upstream_trial_begin(call, outcome, n_parts);
    stats_add(upstream->stats, STAT_upstream_retries, n_parts);
    LOG(LOG_INFO, "upstream_asked_again", LOG_NUMBER("texts", n), LOG_NUMBER("of", call->n),
        LOG_NUMBER("calls", n_parts));
    if (half > 0)
        upstream_begin(upstream, left, half, trial);
    upstream_begin(upstream, left + half, n - half, trial);
}
