#include "inferonce/store/memcached_server.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "inferonce/base/log.h"
#include "inferonce/store/pending.h"

/* The C library of Debian 12 has the field without its name. */
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define BUDGET_SIGNAL (SIGRTMIN + 1)

/* A signal can come between libmemcached's look at its timeout and its wait: it is repeated. */
#define BUDGET_REPEAT_NS 1000000

/* On top of STORE_TIMEOUT_MS, once a turn. */
#define RESERVE_US 8000

/* A lifetime above this is taken for a time since 1970, so for one that is over. */
#define TTL_MOST_S UINT64_C(2592000)

/* ---- budget ---- */

static void exhausted(int number, siginfo_t *info, void *context) {
    struct memcached_budget *budget = info->si_value.sival_ptr;
    (void)number;
    (void)context;
    if (info->si_code != SI_TIMER || !budget->running)
        return;
    for (unsigned i = 0; i < budget->n; i++) {
        budget->servers[i].handle.poll_timeout = 0;
        budget->servers[i].handle.connect_timeout = 0;
    }
}

bool memcached_budget_init(struct memcached_budget *budget, struct memcached_server *servers, unsigned n,
                           uint64_t timeout_ms, struct error *error) {
    const struct sigaction action = {.sa_sigaction = exhausted, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = BUDGET_SIGNAL};
    event.sigev_value.sival_ptr = budget;
    event.sigev_notify_thread_id = gettid();
    *budget = (struct memcached_budget){
        .servers = servers, .n = n, .turn_ms = UINT64_MAX, .most_us = timeout_ms * 1000};
    for (unsigned i = 0; i < n; i++)
        servers[i].budget = budget;
    if (sigaction(BUDGET_SIGNAL, &action, NULL) != 0 ||
        timer_create(CLOCK_MONOTONIC, &event, &budget->timer) != 0) {
        error_set_errno(error, errno, "no timer for the memcached servers");
        return false;
    }
    return true;
}

void memcached_budget_fini(struct memcached_budget *budget) {
    timer_delete(budget->timer);
}

static uint64_t monotonic_us(void) {
    const struct clock clock = {.fake = false};
    return clock_monotonic_us(&clock);
}

static void set_timer(struct memcached_budget *budget, uint64_t us, long repeat_ns) {
    const struct itimerspec spec = {
        .it_value = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000},
        .it_interval = {.tv_nsec = repeat_ns}};
    INVARIANT(timer_settime(budget->timer, 0, &spec, NULL) == 0);
}

static void set_timeouts(struct memcached_budget *budget, int ms) {
    for (unsigned i = 0; i < budget->n; i++) {
        budget->servers[i].handle.poll_timeout = ms;
        budget->servers[i].handle.connect_timeout = ms;
    }
}

static void grant(struct memcached_budget *budget, uint64_t us) {
    budget->granted_us = us > 0 ? us : 1;
    set_timeouts(budget, (int)((budget->granted_us + 999) / 1000));
    budget->began_us = monotonic_us();
    set_timer(budget, budget->granted_us, BUDGET_REPEAT_NS);
}

static uint64_t take_reserve(struct memcached_budget *budget) {
    uint64_t half_us = budget->reserve_us / 2;
    budget->reserve_us -= half_us;
    return half_us;
}

void memcached_budget_begin(struct memcached_budget *budget, uint64_t now_ms) {
    if (budget->turn_ms != now_ms) {
        budget->turn_ms = now_ms;
        budget->left_us = budget->most_us;
        budget->reserve_us = RESERVE_US;
    }
    for (unsigned i = 0; i < budget->n; i++)
        budget->servers[i].now_ms = now_ms;
    budget->running = 1;
    grant(budget, budget->left_us > 0 ? budget->left_us : take_reserve(budget));
}

static void account(struct memcached_budget *budget) {
    uint64_t spent_us = monotonic_us() - budget->began_us;
    budget->left_us = spent_us < budget->left_us ? budget->left_us - spent_us : 0;
}

void memcached_budget_end(struct memcached_budget *budget) {
    set_timer(budget, 0, 0);
    budget->running = 0;
    account(budget);
}

/* A server has failed. If that took all there was, the others have still to be asked. */
static void go_on_after_failure(struct memcached_budget *budget) {
    if (!budget->running || monotonic_us() - budget->began_us < budget->granted_us)
        return;
    account(budget);
    grant(budget, take_reserve(budget));
}

/* ---- connection ---- */

void memcached_server_init(struct memcached_server *server, uv_loop_t *loop,
                           const struct server_address *address, resolver_found found, void *user) {
    *server = (struct memcached_server){.connected = false};
    resolver_init(&server->resolver, loop, address, found, user);
    if (address->port == 0)
        snprintf(server->name, sizeof(server->name), "unix:%s", address->host);
    else
        snprintf(server->name, sizeof(server->name), "%s:%u", address->host, address->port);
    server->id = pending_server(server->name);
}

/* Without waiting for a server that does not answer: what is read to say good-bye is not worth it. */
static void disconnect(struct memcached_server *server) {
    if (!server->connected)
        return;
    server->handle.poll_timeout = 0;
    server->connected = false;
    memcached_answers_fini(&server->answers);
    memcached_free(&server->handle);
}

void memcached_server_fini(struct memcached_server *server) {
    disconnect(server);
    resolver_fini(&server->resolver);
}

/* Makes a handle; the connection itself is made by the first request. A handle that failed is not used again:
 * libmemcached's own rules for servers that failed would come on top of ours. */
static bool connect_to(struct memcached_server *server) {
    int timeout_ms = server->handle.poll_timeout;
    if (server->connected)
        return true;
    INVARIANT(server->resolver.known); /* or libmemcached would ask for it, in the loop */
    if (!memcached_create(&server->handle))
        return false;
    bool made = memcached_answers_init(&server->answers, &server->handle);
    server->connected = true;
    server->handle.poll_timeout = timeout_ms;
    server->handle.connect_timeout = timeout_ms;
    const struct server_address *address = &server->resolver.numeric;
    memcached_return_t added = address->port == 0
                                   ? memcached_server_add_unix_socket(&server->handle, address->host)
                                   : memcached_server_add(&server->handle, address->host, address->port);
    made = made && memcached_success(added) &&
           memcached_success(memcached_behavior_set(&server->handle, MEMCACHED_BEHAVIOR_VERIFY_KEY, 1)) &&
           memcached_success(memcached_behavior_set(&server->handle, MEMCACHED_BEHAVIOR_TCP_NODELAY, 1)) &&
           memcached_success(memcached_behavior_set(&server->handle, MEMCACHED_BEHAVIOR_NO_BLOCK, 1));
    if (!made)
        disconnect(server);
    return made;
}

void memcached_server_give_up(struct memcached_server *server, const char *why) {
    if (breaker_trip(&server->breaker, server->now_ms))
        LOG(LOG_WARN, "cache_server_down", LOG_TEXT("server", server->name), LOG_TEXT("error", why));
}

static enum memcached_outcome broken(struct memcached_server *server, const char *why) {
    disconnect(server);
    go_on_after_failure(server->budget);
    memcached_server_give_up(server, why);
    return MEMCACHED_BROKEN;
}

static enum memcached_outcome broken_by(struct memcached_server *server, memcached_return_t status) {
    switch (status) {
    case MEMCACHED_TIMEOUT:
        return broken(server, "no answer in time");
    case MEMCACHED_NOTFOUND:
    case MEMCACHED_END:
    case MEMCACHED_PROTOCOL_ERROR:
        return broken(server, "not what was asked for");
    case MEMCACHED_SERVER_TEMPORARILY_DISABLED: /* libmemcached's word when it could not connect */
        return broken(server, "cannot connect");
    default:
        return broken(server, memcached_strerror(NULL, status));
    }
}

/* ---- reading ---- */

enum memcached_outcome memcached_server_ask(struct memcached_server *server, bool with_cas) {
    const char *names[MEMCACHED_CHUNK];
    size_t lengths[MEMCACHED_CHUNK];
    if (!connect_to(server))
        return broken(server, "no memory for the connection");
    for (unsigned i = 0; i < server->n; i++) {
        names[i] = server->names[i];
        lengths[i] = ITEM_NAME_LENGTH;
    }
    server->next = 0;
    memcached_behavior_set(&server->handle, MEMCACHED_BEHAVIOR_SUPPORT_CAS, with_cas);
    memcached_return_t status = memcached_mget(&server->handle, names, lengths, server->n);
    return memcached_success(status) ? MEMCACHED_DONE : broken_by(server, status);
}

enum memcached_outcome memcached_server_fetch(struct memcached_server *server, unsigned *at,
                                              struct bytes *value) {
    struct memcached_answer *answer = &server->answers.value;
    memcached_return_t status = memcached_answer_next(answer, &server->handle);
    if (status == MEMCACHED_END)
        return MEMCACHED_NOTHING;
    if (status != MEMCACHED_SUCCESS)
        return broken_by(server, status);
    struct bytes key = memcached_answer_key(answer);
    while (server->next < server->n &&
           !bytes_equal(key, (struct bytes){server->names[server->next], ITEM_NAME_LENGTH}))
        server->next++;
    if (server->next == server->n)
        return broken(server, "not what was asked for");
    *at = server->next++;
    *value = memcached_answer_value(answer);
    return MEMCACHED_DONE;
}

enum memcached_outcome memcached_server_get(struct memcached_server *server, const char *name,
                                            struct bytes *value, uint64_t *cas) {
    unsigned at;
    memcpy(server->names[0], name, ITEM_NAME_LENGTH);
    server->n = 1;
    enum memcached_outcome outcome = memcached_server_ask(server, true);
    if (outcome != MEMCACHED_DONE)
        return outcome;
    outcome = memcached_server_fetch(server, &at, value);
    if (outcome != MEMCACHED_DONE)
        return outcome;
    *cas = memcached_result_cas(&server->answers.value.result);
    /* The end of the answer is read too, or the next one would begin with it. */
    memcached_return_t status = memcached_answer_next(&server->answers.end, &server->handle);
    if (status == MEMCACHED_SUCCESS)
        return broken(server, "not what was asked for");
    return status == MEMCACHED_END ? MEMCACHED_DONE : broken_by(server, status);
}

/* ---- writing ---- */

/* memcached counts seconds as its clock ticks, so that the first of them may be over at once: one more makes
 * an item last as long as it should. */
static time_t seconds_of(uint64_t ttl_ms) {
    uint64_t seconds = ttl_ms == 0 ? 0 : ttl_ms / 1000 + (ttl_ms % 1000 != 0) + 1;
    return (time_t)(seconds < TTL_MOST_S ? seconds : TTL_MOST_S);
}

static enum memcached_outcome outcome_of(struct memcached_server *server, memcached_return_t status) {
    switch (status) {
    case MEMCACHED_SUCCESS:
    case MEMCACHED_STORED:
    case MEMCACHED_DELETED:
        return MEMCACHED_DONE;
    case MEMCACHED_NOTFOUND:
        return MEMCACHED_NOTHING;
    case MEMCACHED_NOTSTORED:
    case MEMCACHED_DATA_EXISTS:
        return MEMCACHED_CONFLICT;
    case MEMCACHED_E2BIG:
        return MEMCACHED_TOO_BIG;
    case MEMCACHED_SERVER_MEMORY_ALLOCATION_FAILURE:
        return MEMCACHED_FULL;
    default:
        return broken_by(server, status);
    }
}

enum memcached_outcome memcached_server_write(struct memcached_server *server, enum memcached_write how,
                                              const char *name, struct bytes value, uint64_t cas,
                                              uint64_t ttl_ms) {
    memcached_return_t status = MEMCACHED_FAILURE;
    time_t seconds = seconds_of(ttl_ms);
    if (!connect_to(server))
        return broken(server, "no memory for the connection");
    memcached_behavior_set(&server->handle, MEMCACHED_BEHAVIOR_SUPPORT_CAS, how == MEMCACHED_CAS);
    switch (how) {
    case MEMCACHED_SET:
        status = memcached_set(&server->handle, name, ITEM_NAME_LENGTH, value.data, value.length, seconds, 0);
        break;
    case MEMCACHED_ADD:
        status = memcached_add(&server->handle, name, ITEM_NAME_LENGTH, value.data, value.length, seconds, 0);
        break;
    case MEMCACHED_CAS:
        status =
            memcached_cas(&server->handle, name, ITEM_NAME_LENGTH, value.data, value.length, seconds, 0, cas);
        break;
    }
    return outcome_of(server, status);
}

enum memcached_outcome memcached_server_delete(struct memcached_server *server, const char *name) {
    if (!connect_to(server))
        return broken(server, "no memory for the connection");
    return outcome_of(server, memcached_delete(&server->handle, name, ITEM_NAME_LENGTH, 0));
}
