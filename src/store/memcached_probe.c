#include <stdlib.h>

#include "inferonce/base/log.h"
#include "inferonce/store/memcached_parts.h"

/* An answer that is an answer: to be asked for an item that nobody has. */
static bool answers(struct memcached_server *server) {
    static const uint8_t NOBODYS[STORE_KEY_LENGTH] = {0};
    char name[ITEM_NAME_LENGTH];
    struct bytes value;
    uint64_t cas;
    item_name(STORE_OUTCOME, NOBODYS, name);
    return memcached_server_get(server, name, &value, &cas) != MEMCACHED_BROKEN;
}

static bool do_pending(struct memcached *memcached, struct memcached_server *server) {
    struct pending pending = {.number = 0};
    char name[ITEM_NAME_LENGTH];
    while (pending_next(memcached->remote.pendings, server->id, pending.number, &pending)) {
        item_name(pending.kind, pending.key, name);
        bool done =
            pending.kind == STORE_GENERATION
                ? memcached_generation_raise(server, name, pending.epoch, true)
                : memcached_bury(memcached, server, name, pending.epoch, pending.tombstone_ms) != STORE_ERROR;
        if (!done)
            return false;
        pending_done(memcached->remote.pendings, pending.number);
    }
    return true;
}

static void probe(struct memcached *memcached, struct memcached_server *server) {
    if (!answers(server))
        return; /* which has opened the breaker for longer */
    if (!do_pending(memcached, server)) {
        breaker_trip(&server->breaker, uv_now(memcached->loop));
        return;
    }
    memcached->remote.returns(memcached->remote.user);
    breaker_close(&server->breaker);
    LOG(LOG_INFO, "cache_server_up", LOG_TEXT("server", server->name));
}

static void probe_due(uv_timer_t *timer) {
    struct memcached *memcached = timer->data;
    uint64_t now_ms = uv_now(memcached->loop);
    memcached_budget_begin(&memcached->budget, now_ms);
    for (unsigned i = 0; i < memcached->n; i++)
        if (breaker_wants_probe(&memcached->servers[i].breaker, now_ms))
            probe(memcached, &memcached->servers[i]);
    memcached_budget_end(&memcached->budget);
    memcached_probe_later(memcached);
}

void memcached_probe_later(struct memcached *memcached) {
    uint64_t soonest_ms = UINT64_MAX;
    for (unsigned i = 0; i < memcached->n; i++) {
        const struct breaker *breaker = &memcached->servers[i].breaker;
        if (breaker->open && breaker->probe_at_ms < soonest_ms)
            soonest_ms = breaker->probe_at_ms;
    }
    uint64_t now_ms = uv_now(memcached->loop);
    if (soonest_ms != UINT64_MAX)
        uv_timer_start(memcached->prober, probe_due, soonest_ms > now_ms ? soonest_ms - now_ms : 0, 0);
}

bool memcached_probing_setup(struct memcached *memcached) {
    memcached->prober = malloc(sizeof(*memcached->prober));
    if (!memcached->prober)
        return false;
    INVARIANT(uv_timer_init(memcached->loop, memcached->prober) == 0);
    memcached->prober->data = memcached;
    uv_unref((uv_handle_t *)memcached->prober);
    return true;
}

static void free_prober(uv_handle_t *handle) {
    free(handle);
}

void memcached_probing_teardown(struct memcached *memcached) {
    if (memcached->prober)
        uv_close((uv_handle_t *)memcached->prober, free_prober);
}
