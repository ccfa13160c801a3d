/* Operations of a store, for the tests of its contract: each runs the loop until it is done, and fails the
 * test when that is not in time or happens twice. */
#ifndef INFERONCE_TESTS_CONTRACT_RIG_H
#define INFERONCE_TESTS_CONTRACT_RIG_H

#include "backends.h"
#include "store/backend.h"

#define DEADLINE_MS 5000
#define MINUTE_MS   60000

static inline void timed_out(uv_timer_t *timer) {
    *(bool *)timer->data = true;
}

/* Runs the loop until `calls` is 1; the test fails when it is not in time, or is called again. */
static inline void await(struct rig *rig, const unsigned *calls) {
    bool late = false;
    uv_timer_t timer;
    uv_timer_init(&rig->loop, &timer);
    timer.data = &late;
    uv_timer_start(&timer, timed_out, DEADLINE_MS, 0);
    while (*calls == 0 && !late)
        uv_run(&rig->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&rig->loop, UV_RUN_NOWAIT);
    CU_ASSERT_EQUAL(*calls, 1);
}

struct outcome {
    unsigned calls;
    enum store_status status;
};

static inline void completed(void *user, enum store_status status) {
    struct outcome *outcome = user;
    outcome->calls++;
    outcome->status = status;
}

struct key {
    uint8_t bytes[STORE_KEY_LENGTH];
};

/* As uniform as a digest (splitmix64). */
static inline struct key key_of(uint64_t n) {
    struct key key;
    for (unsigned i = 0; i < 4; i++) {
        uint64_t word = (4 * n + i) * UINT64_C(0x9e3779b97f4a7c15);
        word = (word ^ (word >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        word = (word ^ (word >> 27)) * UINT64_C(0x94d049bb133111eb);
        memcpy(key.bytes + 8 * i, &word, 8);
    }
    return key;
}

static inline enum store_status put_by(struct rig *rig, unsigned slot, enum store_kind kind, uint64_t n,
                                       struct bytes value, uint64_t epoch, uint64_t ttl_ms) {
    struct outcome outcome = {0};
    struct key key = key_of(n);
    struct store_item item = {
        .kind = kind, .key = key.bytes, .value = value, .epoch = epoch, .ttl_ms = ttl_ms};
    store_put(rig->store[slot], &item, completed, &outcome);
    await(rig, &outcome.calls);
    return outcome.status;
}

static inline enum store_status put(struct rig *rig, uint64_t n, const char *value, uint64_t epoch) {
    return put_by(rig, 0, STORE_ENTRY, n, bytes_of(value), epoch, MINUTE_MS);
}

static inline enum store_status add(struct rig *rig, enum store_kind kind, uint64_t n, struct bytes value,
                                    uint64_t ttl_ms) {
    struct outcome outcome = {0};
    struct key key = key_of(n);
    struct store_item item = {.kind = kind, .key = key.bytes, .value = value, .ttl_ms = ttl_ms};
    store_add(rig->store[0], &item, completed, &outcome);
    await(rig, &outcome.calls);
    return outcome.status;
}

static inline enum store_status remove_by(struct rig *rig, unsigned slot, enum store_kind kind, uint64_t n,
                                          uint64_t epoch, uint64_t tombstone_ms) {
    struct outcome outcome = {0};
    struct key key = key_of(n);
    store_remove(rig->store[slot], kind, key.bytes, epoch, tombstone_ms, completed, &outcome);
    await(rig, &outcome.calls);
    return outcome.status;
}

#define GOT_MAX 300000

struct got {
    unsigned calls;
    enum store_status status;
    uint64_t epoch;
    size_t length;
    char value[GOT_MAX];
};

static inline void got_one(void *user, struct store_get *gets, size_t n) {
    struct got *got = user;
    got->calls++;
    CU_ASSERT_EQUAL(n, 1);
    got->status = gets[0].status;
    got->epoch = gets[0].epoch;
    got->length = gets[0].value.length;
    CU_ASSERT(got->length <= GOT_MAX);
    if (got->length > 0 && got->length <= GOT_MAX)
        memcpy(got->value, gets[0].value.data, got->length);
}

static struct got got; /* of the last get_by */

static inline enum store_status get_by(struct rig *rig, unsigned slot, enum store_kind kind, uint64_t n) {
    struct key key = key_of(n);
    struct store_get get = {.kind = kind, .key = key.bytes};
    got = (struct got){0};
    store_get_many(rig->store[slot], &get, 1, got_one, &got);
    await(rig, &got.calls);
    return got.status;
}

static inline enum store_status get(struct rig *rig, enum store_kind kind, uint64_t n) {
    return get_by(rig, 0, kind, n);
}

static inline bool got_is(const char *value) {
    return got.status == STORE_OK && bytes_equal((struct bytes){got.value, got.length}, bytes_of(value));
}

/* 8 bytes, little-endian. */
static inline struct bytes number(uint64_t n) {
    static char value[STORE_GENERATION_LENGTH];
    for (unsigned i = 0; i < sizeof(value); i++)
        value[i] = (char)(n >> (8 * i));
    return (struct bytes){value, sizeof(value)};
}

static inline bool got_number(uint64_t n) {
    return got.status == STORE_OK && bytes_equal((struct bytes){got.value, got.length}, number(n));
}

#endif
