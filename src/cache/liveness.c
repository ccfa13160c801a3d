/* Tells other hosts that a worker which leads is still there. */
#include "cache/liveness.h"

#include <stdlib.h>

static void renew(struct liveness *liveness) {
    const struct store_item item = {
        .kind = STORE_OUTCOME, .key = liveness->key.bytes, .value = LITERAL("alive"), .ttl_ms = LIVENESS_MS};
    liveness->until_us = clock_monotonic_us(liveness->clock) + LIVENESS_MS * UINT64_C(1000);
    store_put(liveness->store, &item, NULL, NULL);
}

static void on_due(uv_timer_t *timer) {
    struct liveness *liveness = timer->data;
    if (liveness->leases > 0)
        renew(liveness);
    else
        uv_timer_stop(timer);
}

void liveness_begin(struct liveness *liveness) {
    if (!liveness->told)
        return;
    uint64_t renew_us = LIVENESS_RENEW_MS * UINT64_C(1000);
    liveness->leases++;
    if (clock_monotonic_us(liveness->clock) + renew_us >= liveness->until_us)
        renew(liveness);
    if (!uv_is_active((uv_handle_t *)liveness->timer))
        (void)uv_timer_start(liveness->timer, on_due, LIVENESS_RENEW_MS, LIVENESS_RENEW_MS);
}

void liveness_end(struct liveness *liveness) {
    if (!liveness->told)
        return;
    INVARIANT(liveness->leases > 0);
    liveness->leases--;
}

bool liveness_init(struct liveness *liveness, const struct context *context, struct store *store) {
    uint64_t epoch = atomic_load(&context->shared->slots[context->slot].incarnation);
    *liveness = (struct liveness){.store = store,
                                  .clock = context->clock,
                                  .told = context->settings->cache_backend != CACHE_BACKEND_MEMORY,
                                  .timer = malloc(sizeof(*liveness->timer))};
    if (!liveness->timer)
        return false;
    key_of_liveness(context->shared->instance, context->slot, epoch, &liveness->key);
    INVARIANT(uv_timer_init(context->loop, liveness->timer) == 0);
    liveness->timer->data = liveness;
    uv_unref((uv_handle_t *)liveness->timer);
    return true;
}

void liveness_fini(struct liveness *liveness) {
    if (liveness->timer)
        uv_close((uv_handle_t *)liveness->timer, turn_free_handle);
    liveness->timer = NULL;
}
