/* Finds out whether a model takes fewer texts at once than UPSTREAM_BATCH says, and logs that once. */
#include "engine/upstream/parts.h"
#include "inferonce/base/log.h"

static bool may_be_for_its_size(const struct http_post_outcome *outcome) {
    return outcome->end == HTTP_POST_ANSWERED &&
           (outcome->status == 400 || outcome->status == 413 || outcome->status == 422);
}

uint64_t upstream_trial_begin(const struct call *call, const struct http_post_outcome *outcome,
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
