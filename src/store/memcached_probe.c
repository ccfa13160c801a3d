#include <stdlib.h>

#include "inferonce/base/log.h"
#include "inferonce/store/memcached_parts.h"

#define NOT_KNOWN "its name is not known"

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
    if (!server->resolver.known) {
        memcached_server_give_up(server, NOT_KNOWN);
        return;
    }
    if (!answers(server))
        return; /* which has opened the breaker for longer */
    if (!do_pending(memcached, server)) {
        if (breaker_wants_probe(&server->breaker,
                                server->now_ms)) /* otherwise it failed, and has paused already */
            breaker_trip(&server->breaker, server->now_ms);
        return;
    }
    memcached->remote.returns(memcached->remote.user);
    breaker_close(&server->breaker);
    LOG(LOG_INFO, "cache_server_up", LOG_TEXT("server", server->name));
}

/* Where it is is looked up anew, since it may have moved: then the probe goes on as soon as that is known. */
static void probe_all(struct memcached *memcached) {
    uint64_t now_ms = uv_now(memcached->loop);
    memcached_budget_begin(&memcached->budget, now_ms);
    for (unsigned i = 0; i < memcached->n; i++) {
        struct memcached_server *server = &memcached->servers[i];
        if (breaker_wants_probe(&server->breaker, now_ms) && resolver_refresh(&server->resolver))
            probe(memcached, server);
    }
    memcached_budget_end(&memcached->budget);
    memcached_probe_later(memcached);
}

static void probe_due(uv_timer_t *timer) {
    probe_all(timer->data);
}

void memcached_found(void *user) {
    probe_all(user);
}

static uint64_t ms_until(const struct clock *clock, uint64_t until_us) {
    uint64_t now_us = clock_monotonic_us(clock);
    return now_us < until_us ? (until_us - now_us) / 1000 : 0;
}

void memcached_find_servers(struct memcached *memcached) {
    const struct clock clock = {.fake = false};
    uint64_t until_us = clock_monotonic_us(&clock) + RESOLVER_START_MS * 1000;
    bool found[SERVERS_MAX];
    for (unsigned i = 0; i < memcached->n; i++)
        found[i] = resolver_refresh(&memcached->servers[i].resolver);
    for (unsigned i = 0; i < memcached->n; i++) {
        struct memcached_server *server = &memcached->servers[i];
        if (!found[i])
            resolver_await(&server->resolver, ms_until(&clock, until_us));
        server->now_ms = uv_now(memcached->loop);
        if (!server->resolver.known)
            memcached_server_give_up(server, NOT_KNOWN);
    }
    memcached_probe_later(memcached);
}

void memcached_probe_later(struct memcached *memcached) {
    uint64_t soonest_ms = UINT64_MAX;
    for (unsigned i = 0; i < memcached->n; i++) {
        const struct memcached_server *server = &memcached->servers[i];
        if (server->breaker.open && !resolver_is_busy(&server->resolver) &&
            server->breaker.probe_at_ms < soonest_ms)
            soonest_ms = server->breaker.probe_at_ms;
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
