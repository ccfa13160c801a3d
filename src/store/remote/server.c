/* The life of a cache server: used, away, probed, told what it missed, used again. */
#include "store/remote/server.h"

#include <stdio.h>
#include <stdlib.h>

#include "inferonce/base/log.h"
#include "store/remote/history.h"

#define NAME_NOT_KNOWN   "its name is not known"
#define TOO_MUCH_TO_TELL "too much waits to be told to it"

/* The first failure: with the server a whole turn's looks have waited. */
static const struct breaker_limits BREAKER = {.failures = 1, .first_us = 1000000, .most_us = 30000000};

/* The states that may follow each; bits by enum remote_server_state. */
#define TO(state) (1u << (state))
static const unsigned MAY_FOLLOW[] = {
    [REMOTE_USED] = TO(REMOTE_AWAY) | TO(REMOTE_WAITING),
    [REMOTE_AWAY] = TO(REMOTE_RESOLVING) | TO(REMOTE_AWAY),
    [REMOTE_WAITING] = TO(REMOTE_RESOLVING) | TO(REMOTE_AWAY),
    [REMOTE_RESOLVING] = TO(REMOTE_PROBING) | TO(REMOTE_AWAY),
    [REMOTE_PROBING] = TO(REMOTE_TELLING) | TO(REMOTE_AWAY),
    [REMOTE_TELLING] = TO(REMOTE_USED) | TO(REMOTE_AWAY),
};

/* The loop's time: the prober's timer goes by it. */
static uint64_t now_us(const struct remote_server *server) {
    return uv_now(server->context->loop) * 1000;
}

static void move(struct remote_server *server, enum remote_server_state state) {
    INVARIANT(MAY_FOLLOW[server->state] & TO(state));
    server->state = state;
}

/* ---- coming back ---- */

static void tell_next(struct remote_server *server, uint64_t after) {
    struct pending pending;
    if (pending_next(server->remote.pendings, server->id, after, &pending)) {
        server->telling = pending;
        server->operations->tell(server, &pending);
        return;
    }
    server->remote.returns(server->remote.user);
    (void)breaker_succeeded(&server->breaker, now_us(server));
    move(server, REMOTE_USED);
    LOG(LOG_INFO, "cache_server_up", LOG_TEXT("server", server->name));
}

void remote_server_told(struct remote_server *server, bool done) {
    INVARIANT(server->state == REMOTE_TELLING);
    if (!done) {
        remote_server_failed(server, BREAKER_WRONG, "it does not take an invalidation");
        return;
    }
    if (server->telling.kind == STORE_GENERATION)
        history_written(server, server->telling.key, server->telling.epoch);
    pending_done(server->remote.pendings, server->telling.number);
    tell_next(server, server->telling.number);
}

void remote_server_probed(struct remote_server *server, uint64_t last_purge) {
    if (!history_read(server, last_purge, true)) {
        remote_server_failed(server, BREAKER_WRONG, TOO_MUCH_TO_TELL);
        return;
    }
    move(server, REMOTE_TELLING);
    tell_next(server, 0);
}

static void probe(struct remote_server *server) {
    if (!server->resolver.known) {
        remote_server_failed(server, BREAKER_GONE, NAME_NOT_KNOWN);
        return;
    }
    move(server, REMOTE_PROBING);
    server->had_purge = pending_server_purge(server->remote.pendings, server->id);
    server->operations->probe(server);
}

static void on_probe_due(uv_timer_t *timer) {
    struct remote_server *server = timer->data;
    move(server, REMOTE_RESOLVING);
    if (resolver_refresh(&server->resolver))
        probe(server);
}

/* A look-up that took longer than the set-up waited for is of use to the first probe. */
static void on_found(void *user) {
    struct remote_server *server = user;
    if (server->state == REMOTE_RESOLVING)
        probe(server);
}

static void probe_later(struct remote_server *server) {
    uint64_t wait_us = 0;
    (void)breaker_room(&server->breaker, now_us(server), &wait_us);
    uv_timer_start(server->prober, on_probe_due, (wait_us + 999) / 1000, 0);
}

/* ---- use ---- */

void remote_server_failed(struct remote_server *server, enum breaker_failure failure, const char *why) {
    bool was_used = !server->breaker.open;
    (void)breaker_failed(&server->breaker, failure, !was_used, now_us(server));
    move(server, REMOTE_AWAY);
    if (was_used)
        LOG(LOG_WARN, "cache_server_down", LOG_TEXT("server", server->name), LOG_TEXT("error", why));
    probe_later(server);
}

void remote_server_read(struct remote_server *server, uint64_t last_purge) {
    if (server->state == REMOTE_USED && !history_read(server, last_purge, false))
        remote_server_failed(server, BREAKER_WRONG, TOO_MUCH_TO_TELL);
}

bool remote_server_is_used(struct remote_server *server) {
    if (server->state != REMOTE_USED)
        return false;
    if (!pending_has(server->remote.pendings, server->id))
        return true;
    breaker_hold(&server->breaker, now_us(server));
    move(server, REMOTE_WAITING);
    probe_later(server);
    return false;
}

void remote_server_figures(struct remote_server *server, struct store_server *figures) {
    bool waits = pending_has(server->remote.pendings, server->id);
    *figures = (struct store_server){.up = server->state == REMOTE_USED && !waits,
                                     .pending = pending_count(server->remote.pendings, server->id),
                                     .items = UINT64_MAX,
                                     .memory_bytes = UINT64_MAX,
                                     .evictions = UINT64_MAX};
    memcpy(figures->name, server->name, sizeof(figures->name));
}

/* ---- set-up ---- */

bool remote_server_init(struct remote_server *server, const struct remote_server_operations *operations,
                        const struct remote_options *remote, const struct context *context,
                        const struct server_address *address) {
    *server = (struct remote_server){.operations = operations,
                                     .remote = *remote,
                                     .context = context,
                                     .breaker = {.limits = &BREAKER},
                                     .longest_entry_us = store_generation_ms(context->settings) / 2 * 1000};
    resolver_init(&server->resolver, context->loop, address, on_found, server);
    if (address->port == 0)
        snprintf(server->name, sizeof(server->name), "unix:%s", address->host);
    else
        snprintf(server->name, sizeof(server->name), "%s:%u", address->host, address->port);
    server->id = pending_server(server->name);
    server->prober = malloc(sizeof(*server->prober));
    if (!server->prober)
        return false;
    INVARIANT(uv_timer_init(context->loop, server->prober) == 0);
    server->prober->data = server;
    uv_unref((uv_handle_t *)server->prober);
    return true;
}

void remote_server_fini(struct remote_server *server) {
    resolver_fini(&server->resolver);
    if (server->prober)
        uv_close((uv_handle_t *)server->prober, turn_free_handle);
    server->prober = NULL;
}

/* Rounded up, so that the whole time is waited. */
static uint64_t ms_until(uint64_t until_us) {
    const struct clock clock = {.fake = false};
    uint64_t now_us = clock_monotonic_us(&clock);
    return now_us < until_us ? (until_us - now_us + 999) / 1000 : 0;
}

void remote_server_find(struct remote_server *const *servers, unsigned n) {
    const struct clock clock = {.fake = false};
    uint64_t until_us = clock_monotonic_us(&clock) + RESOLVER_START_MS * 1000;
    bool found[SERVERS_MAX];
    for (unsigned i = 0; i < n; i++)
        found[i] = resolver_refresh(&servers[i]->resolver);
    for (unsigned i = 0; i < n; i++) {
        if (!found[i])
            resolver_await(&servers[i]->resolver, ms_until(until_us));
        if (!servers[i]->resolver.known)
            remote_server_failed(servers[i], BREAKER_GONE, NAME_NOT_KNOWN);
    }
}
