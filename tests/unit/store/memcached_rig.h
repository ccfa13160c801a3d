/* A memcached store in a loop of its own, for tests: an operation turns the loop until its answer is there.
 */
#ifndef INFERONCE_TESTS_MEMCACHED_RIG_H
#define INFERONCE_TESTS_MEMCACHED_RIG_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache_server.h"
#include "inferonce/base/little_endian.h"
#include "inferonce/base/shared.h"
#include "store/backend.h"
#include "store/memcached/memcached.h"
#include "store/memcached/parts.h"
#include "unit.h"

#define TIMEOUT_MS  50
#define DEADLINE_MS 10000
#define MINUTE_MS   60000

struct rig {
    struct settings settings;
    struct clock clock;
    struct stats stats;
    struct pendings pendings;
    uv_loop_t loop;
    struct turn *turn;
    struct shared_slot slot;
    struct shared shared;
    struct context context;
    struct store *store;
    unsigned returns;
    bool pending_at_return;
};

static inline void returned(void *user) {
    struct rig *rig = user;
    rig->returns++;
    rig->pending_at_return = pending_any(&rig->pendings);
}

static inline void rig_open_on(struct rig *rig, const char *servers, uint64_t timeout_ms) {
    struct error error = {""};
    memset(rig, 0, sizeof(*rig));
    settings_defaults(&rig->settings);
    rig->settings.store_timeout_ms = timeout_ms;
    snprintf(rig->settings.memcached_servers, sizeof(rig->settings.memcached_servers), "%s", servers);
    pendings_setup(&rig->pendings, true);
    uv_loop_init(&rig->loop);
    rig->turn = turn_create(&rig->loop, &error);
    rig->shared.slots = &rig->slot;
    rig->context = (struct context){.settings = &rig->settings,
                                    .shared = &rig->shared,
                                    .loop = &rig->loop,
                                    .clock = &rig->clock,
                                    .stats = &rig->stats,
                                    .turn = rig->turn};
    struct remote_options remote = {.pendings = &rig->pendings, .returns = returned, .user = rig};
    rig->store = memcached_open(&rig->context, &remote, &error);
    if (!rig->store) {
        fprintf(stderr, "memcached: cannot set up: %s\n", error.text);
        exit(2);
    }
}

static inline void rig_open(struct rig *rig, const struct cache_server *servers, unsigned n,
                            uint64_t timeout_ms) {
    char text[1024];
    size_t length = 0;
    for (unsigned i = 0; i < n; i++)
        length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%s", i > 0 ? "," : "",
                                   servers[i].address);
    rig_open_on(rig, text, timeout_ms);
}

static inline void rig_close(struct rig *rig) {
    store_close(&rig->store);
    turn_destroy(&rig->turn);
    uv_run(&rig->loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(uv_loop_close(&rig->loop), 0);
}

static inline uint64_t now_ms(void) {
    const struct clock clock = {.fake = false};
    return clock_monotonic_us(&clock) / 1000;
}

/* ---- operations ---- */

struct key {
    uint8_t bytes[STORE_KEY_LENGTH];
};

static inline struct key key_of(uint64_t n) {
    struct key key = {{0}};
    for (unsigned i = 0; i < STORE_KEY_LENGTH; i++)
        key.bytes[i] = (uint8_t)((n + 1) * (i * 37 + 11) + i);
    memcpy(key.bytes, &n, sizeof(n));
    return key;
}

static inline void late(uv_timer_t *timer) {
    *(bool *)timer->data = true;
}

/* Turns the loop until `*calls` has reached `n`. */
static inline void await(struct rig *rig, const unsigned *calls, unsigned n) {
    bool is_late = false;
    uv_timer_t deadline;
    uv_timer_init(&rig->loop, &deadline);
    deadline.data = &is_late;
    uv_timer_start(&deadline, late, DEADLINE_MS, 0);
    while (*calls < n && !is_late)
        uv_run(&rig->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&deadline, NULL);
    uv_run(&rig->loop, UV_RUN_NOWAIT);
    CU_ASSERT_EQUAL(*calls, n);
}

struct outcome {
    unsigned calls;
    enum store_status status;
};

static inline void done(void *user, enum store_status status) {
    struct outcome *outcome = user;
    outcome->calls++;
    outcome->status = status;
}

static inline enum store_status put(struct rig *rig, enum store_kind kind, uint64_t n, struct bytes value,
                                    uint64_t epoch, uint64_t ttl_ms) {
    struct outcome outcome = {0, STORE_ERROR};
    struct key key = key_of(n);
    struct store_item item = {
        .kind = kind, .key = key.bytes, .value = value, .epoch = epoch, .ttl_ms = ttl_ms};
    store_put(rig->store, &item, done, &outcome);
    await(rig, &outcome.calls, 1);
    return outcome.status;
}

static inline enum store_status put_generation(struct rig *rig, uint64_t n, uint64_t number) {
    char value[STORE_GENERATION_LENGTH];
    store_u64(value, number);
    return put(rig, STORE_GENERATION, n, (struct bytes){value, sizeof(value)}, 0, 0);
}

struct got {
    unsigned calls;
    enum store_status status;
    uint64_t number; /* of a generation */
    char text[64];
};

static inline void got_one(void *user, struct store_get *gets, size_t n) {
    struct got *got = user;
    (void)n;
    got->calls++;
    got->status = gets->status;
    if (gets->status == STORE_OK && gets->value.length == STORE_GENERATION_LENGTH)
        got->number = load_u64(gets->value.data);
    if (gets->status == STORE_OK && gets->value.length < sizeof(got->text))
        memcpy(got->text, gets->value.data, gets->value.length);
}

static inline struct got get(struct rig *rig, enum store_kind kind, uint64_t n) {
    struct got got = {.status = STORE_ERROR};
    struct key key = key_of(n);
    struct store_get get_ = {.kind = kind, .key = key.bytes};
    store_get_many(rig->store, &get_, 1, got_one, &got);
    await(rig, &got.calls, 1);
    return got;
}

/* Turns the loop until the server is used again. */
static inline bool comes_back(struct rig *rig) {
    bool is_late = false;
    struct store_figures figures;
    uv_timer_t deadline;
    uv_timer_init(&rig->loop, &deadline);
    deadline.data = &is_late;
    uv_timer_start(&deadline, late, DEADLINE_MS, 0);
    do {
        uv_run(&rig->loop, UV_RUN_ONCE);
        store_figures(rig->store, &figures);
    } while (figures.degraded && !is_late);
    uv_close((uv_handle_t *)&deadline, NULL);
    uv_run(&rig->loop, UV_RUN_NOWAIT);
    return !figures.degraded;
}

static inline uint64_t errors(const struct rig *rig) {
    return rig->stats.value[STAT_store_errors];
}

/* ---- parts of servers that lie ---- */

static inline void say(int connection, const char *text) {
    ssize_t ignored = write(connection, text, strlen(text));
    (void)ignored;
}

/* Answers each command of a pipeline: reads with nothing, the barrier as a server does, writes with
 * `to_writes`.
 */
static inline void say_to_each(int connection, const char *asked, const char *to_writes) {
    for (const char *command = asked; command; command = strstr(command, "\r\n")) {
        command += strncmp(command, "\r\n", 2) == 0 ? 2 : 0;
        bool writes = strncmp(command, "set ", 4) == 0 || strncmp(command, "add ", 4) == 0 ||
                      strncmp(command, "cas ", 4) == 0;
        if (strncmp(command, "get", 3) == 0)
            say(connection, "END\r\n");
        else if (strncmp(command, "stats", 5) == 0)
            say(connection, "STAT bytes 7\r\nEND\r\n");
        else if (strncmp(command, "version", 7) == 0)
            say(connection, "VERSION 1.6.18\r\n");
        else if (writes)
            say(connection, to_writes);
    }
}

#endif
