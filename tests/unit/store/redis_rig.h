/* A Redis store in a loop of its own, for tests: an operation turns the loop until its answer is there. */
#ifndef INFERONCE_TESTS_REDIS_RIG_H
#define INFERONCE_TESTS_REDIS_RIG_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache_server.h"
#include "inferonce/base/little_endian.h"
#include "inferonce/base/shared.h"
#include "store/backend.h"
#include "store/redis/redis.h"
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
    struct shared_slot slot;
    struct shared shared;
    struct context context;
    struct store *store;
    unsigned returns;
};

static inline void returned(void *user) {
    ((struct rig *)user)->returns++;
}

static inline void rig_open(struct rig *rig, const char *url, uint64_t timeout_ms) {
    struct error error = {""};
    memset(rig, 0, sizeof(*rig));
    settings_defaults(&rig->settings);
    rig->settings.store_timeout_ms = timeout_ms;
    snprintf(rig->settings.redis_url, sizeof(rig->settings.redis_url), "%s", url);
    pendings_setup(&rig->pendings, true);
    uv_loop_init(&rig->loop);
    rig->shared.slots = &rig->slot;
    rig->context = (struct context){.settings = &rig->settings,
                                    .shared = &rig->shared,
                                    .loop = &rig->loop,
                                    .clock = &rig->clock,
                                    .stats = &rig->stats};
    struct remote_options remote = {.pendings = &rig->pendings, .returns = returned, .user = rig};
    rig->store = redis_open(&rig->context, &remote, &error);
    if (!rig->store) {
        fprintf(stderr, "redis: cannot set up: %s\n", error.text);
        exit(2);
    }
}

static inline void rig_open_on(struct rig *rig, const struct cache_server *server, uint64_t timeout_ms) {
    char url[128];
    snprintf(url, sizeof(url), "unix://%s", server->path);
    rig_open(rig, url, timeout_ms);
}

static inline void rig_close(struct rig *rig) {
    store_close(&rig->store);
    uv_run(&rig->loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(uv_loop_close(&rig->loop), 0);
}

static inline uint64_t now_ms(void) {
    const struct clock clock = {.fake = false};
    return clock_monotonic_us(&clock) / 1000;
}

/* ---- operations, each run until it is done ---- */

struct outcome {
    unsigned calls;
    enum store_status status;
    char text[64];
};

static inline void late(uv_timer_t *timer) {
    *(bool *)timer->data = true;
}

typedef bool (*condition)(struct rig *rig, void *of);

static inline bool await(struct rig *rig, condition is_met, void *of) {
    bool is_late = false;
    uv_timer_t deadline;
    uv_timer_init(&rig->loop, &deadline);
    deadline.data = &is_late;
    uv_timer_start(&deadline, late, DEADLINE_MS, 0);
    while (!is_met(rig, of) && !is_late)
        uv_run(&rig->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&deadline, NULL);
    uv_run(&rig->loop, UV_RUN_NOWAIT);
    return !is_late;
}

static inline bool was_called(struct rig *rig, void *of) {
    (void)rig;
    return ((struct outcome *)of)->calls > 0;
}

static inline bool is_used(struct rig *rig, void *of) {
    struct store_figures figures;
    (void)of;
    store_figures(rig->store, &figures);
    return !figures.degraded;
}

static inline bool is_over(struct rig *rig, void *of) {
    (void)rig;
    return now_ms() >= *(uint64_t *)of;
}

static inline void done(void *user, enum store_status status) {
    struct outcome *outcome = user;
    outcome->calls++;
    outcome->status = status;
}

static const uint8_t KEY[STORE_KEY_LENGTH] = {1, 2, 3};

static inline enum store_status put(struct rig *rig, const char *value, uint64_t epoch) {
    struct outcome outcome = {0};
    struct store_item item = {
        .kind = STORE_ENTRY, .key = KEY, .value = bytes_of(value), .epoch = epoch, .ttl_ms = MINUTE_MS};
    store_put(rig->store, &item, done, &outcome);
    CU_ASSERT_TRUE(await(rig, was_called, &outcome));
    return outcome.status;
}

static inline enum store_status put_generation(struct rig *rig, uint64_t number) {
    struct outcome outcome = {0};
    char value[STORE_GENERATION_LENGTH];
    store_u64(value, number);
    struct store_item item = {.kind = STORE_GENERATION, .key = KEY, .value = {value, sizeof(value)}};
    store_put(rig->store, &item, done, &outcome);
    CU_ASSERT_TRUE(await(rig, was_called, &outcome));
    return outcome.status;
}

static inline enum store_status remove_entry(struct rig *rig, uint64_t epoch) {
    struct outcome outcome = {0};
    store_remove(rig->store, STORE_ENTRY, KEY, epoch, MINUTE_MS, done, &outcome);
    CU_ASSERT_TRUE(await(rig, was_called, &outcome));
    return outcome.status;
}

static inline void got(void *user, struct store_get *gets, size_t n) {
    struct outcome *outcome = user;
    (void)n;
    outcome->calls++;
    outcome->status = gets->status;
    if (gets->status == STORE_OK && gets->value.length < sizeof(outcome->text))
        memcpy(outcome->text, gets->value.data, gets->value.length);
}

static inline struct outcome get(struct rig *rig, enum store_kind kind) {
    struct outcome outcome = {0};
    struct store_get get_ = {.kind = kind, .key = KEY};
    store_get_many(rig->store, &get_, 1, got, &outcome);
    CU_ASSERT_TRUE(await(rig, was_called, &outcome));
    CU_ASSERT_EQUAL(outcome.calls, 1);
    return outcome;
}

#endif
