/* Asks again for the texts of a call that failed, so that a bad one fails alone. */
#include "inferonce/base/log.h"
#include "inferonce/engine/upstream_parts.h"

bool upstream_may_ask_again(const struct call *call, const struct http_post_outcome *outcome) {
    /* Not `wanted`: whose client left may be the one that the failure is about. */
    if (call->n == 1)
        return false;
    if (outcome->end != HTTP_POST_ANSWERED)
        return outcome->end == HTTP_POST_TOO_LARGE;
    return outcome->status != 401 && outcome->status != 403 && outcome->status != 429 &&
           outcome->status != 503;
}

/* ---- a batch that is larger than the model takes ---- */

static bool may_be_for_its_size(const struct http_post_outcome *outcome) {
    return outcome->end == HTTP_POST_ANSWERED &&
           (outcome->status == 400 || outcome->status == 413 || outcome->status == 422);
}

/* Returns its number; 0: it is not watched. */
static uint64_t begin_trial(const struct call *call, const struct http_post_outcome *outcome,
                            size_t n_parts) {
    struct upstream_trial *trial = &call->upstream->trial;
    if (trial->told || trial->number != 0 || n_parts < 2 || !may_be_for_its_size(outcome))
        return 0;
    trial->number = ++trial->numbers;
    trial->n_texts = call->n;
    trial->n_parts = n_parts;
    trial->status = outcome->status;
    return trial->number;
}

void upstream_trial_ended(struct upstream *upstream, uint64_t number, bool answered) {
    struct upstream_trial *trial = &upstream->trial;
    if (number == 0 || number != trial->number)
        return;
    if (answered && --trial->n_parts > 0)
        return;
    trial->number = 0;
    if (!answered)
        return;
    trial->told = true;
    LOG(LOG_WARN, "upstream_batch_too_large", LOG_NUMBER("texts", trial->n_texts),
        LOG_NUMBER("status", trial->status),
        LOG_TEXT("advice",
                 "the model refused these texts together and took them in halves: lower UPSTREAM_BATCH"));
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
    size_t n_parts = n > 1 ? 2 : 1;
    uint64_t trial = begin_trial(call, outcome, n_parts);
    stats_add(upstream->stats, STAT_upstream_retries, n_parts);
    LOG(LOG_INFO, "upstream_asked_again", LOG_NUMBER("texts", n), LOG_NUMBER("of", call->n),
        LOG_NUMBER("calls", n_parts));
    if (n > 1)
        upstream_begin(upstream, left, n / 2, trial);
    upstream_begin(upstream, left + (n > 1 ? n / 2 : 0), n > 1 ? n - n / 2 : 1, trial);
}
