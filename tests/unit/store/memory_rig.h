/* A memory store on a mapping of its own, for tests: made without `shared`, so that a test can scribble on
 * it. */
#ifndef INFERONCE_TESTS_MEMORY_RIG_H
#define INFERONCE_TESTS_MEMORY_RIG_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "inferonce/store/memory.h"
#include "store/backend.h"
#include "unit.h"

struct memory_rig {
    struct settings settings;
    struct clock clock;
    struct memory_layout layout;
    struct shared shared;
    struct store *stores[SLOTS_MAX]; /* by slot; opened by memory_rig_store */
};

/* A condition without which the test cannot go on. */
static inline void memory_rig_need(bool condition, const char *what) {
    if (condition)
        return;
    fprintf(stderr, "cannot set up: %s\n", what);
    exit(2);
}

static inline void *memory_rig_map(size_t bytes) {
    void *mapping = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memory_rig_need(mapping != MAP_FAILED, "mmap");
    return mapping;
}

/* The defaults and a clock that stands still; a test changes the settings before memory_rig_open. */
static inline void memory_rig_init(struct memory_rig *rig) {
    *rig = (struct memory_rig){
        .clock = {.fake = true, .monotonic_us = 1000000, .wall_us = UINT64_C(1700000000000000)}};
    settings_defaults(&rig->settings);
}

static inline void memory_rig_open(struct memory_rig *rig, unsigned workers) {
    rig->layout = memory_layout_of(&rig->settings, workers);
    rig->shared.region_bytes = memory_region_bytes(&rig->layout);
    rig->shared.region = memory_rig_map(rig->shared.region_bytes);
    rig->shared.stats = memory_rig_map(SLOTS_MAX * sizeof(struct stats));
    rig->shared.workers = workers;
    memory_rig_need(memory_region_setup(rig->shared.region, &rig->layout, true, &rig->clock) == 0, "set-up");
}

static inline void memory_rig_open_for_one(struct memory_rig *rig, uint64_t max_size) {
    memory_rig_init(rig);
    rig->settings.cache_max_size = max_size;
    memory_rig_open(rig, 1);
}

static inline struct store *memory_rig_store(struct memory_rig *rig, unsigned slot) {
    struct context context = {.settings = &rig->settings,
                              .shared = &rig->shared,
                              .slot = slot,
                              .clock = &rig->clock,
                              .stats = &rig->shared.stats[slot]};
    struct error error = {""};
    if (!rig->stores[slot])
        rig->stores[slot] = store_open(&context, &error);
    memory_rig_need(rig->stores[slot] != NULL, error.text);
    return rig->stores[slot];
}

static inline uint64_t memory_rig_stat(const struct memory_rig *rig, enum statistic stat) {
    return stats_sum(rig->shared.stats, SLOTS_MAX, stat);
}

static inline void memory_rig_close(struct memory_rig *rig) {
    for (unsigned slot = 0; slot < SLOTS_MAX; slot++)
        store_close(&rig->stores[slot]);
    munmap(rig->shared.region, rig->shared.region_bytes);
    munmap(rig->shared.stats, SLOTS_MAX * sizeof(struct stats));
}

/* ---- keys and values that tell on each other ---- */

struct test_key {
    uint8_t bytes[STORE_KEY_LENGTH];
};

/* Splitmix64: as uniform as the digests that are keys in earnest. */
static inline uint64_t test_mix(uint64_t n) {
    n += UINT64_C(0x9e3779b97f4a7c15);
    n = (n ^ (n >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    n = (n ^ (n >> 27)) * UINT64_C(0x94d049bb133111eb);
    return n ^ (n >> 31);
}

static inline struct test_key test_key(uint64_t n) {
    struct test_key key;
    for (unsigned i = 0; i < 4; i++) {
        uint64_t word = test_mix(4 * n + i);
        memcpy(key.bytes + 8 * i, &word, 8);
    }
    return key;
}

/* ---- operations, for stores that complete at once ---- */

static inline void test_took(void *user, enum store_status status) {
    *(enum store_status *)user = status;
}

static inline enum store_status test_put(struct store *store, enum store_kind kind, struct test_key key,
                                         struct bytes value, uint64_t epoch, uint64_t ttl_ms) {
    enum store_status status = STORE_ERROR;
    struct store_item item = {
        .kind = kind, .key = key.bytes, .value = value, .epoch = epoch, .ttl_ms = ttl_ms};
    store_put(store, &item, test_took, &status);
    return status;
}

static inline enum store_status test_add(struct store *store, enum store_kind kind, struct test_key key,
                                         struct bytes value, uint64_t ttl_ms) {
    enum store_status status = STORE_ERROR;
    struct store_item item = {.kind = kind, .key = key.bytes, .value = value, .ttl_ms = ttl_ms};
    store_add(store, &item, test_took, &status);
    return status;
}

static inline enum store_status test_remove(struct store *store, enum store_kind kind, struct test_key key,
                                            uint64_t epoch, uint64_t tombstone_ms) {
    enum store_status status = STORE_ERROR;
    store_remove(store, kind, key.bytes, epoch, tombstone_ms, test_took, &status);
    return status;
}

struct test_got {
    enum store_status status;
    uint64_t epoch;
    size_t length;
    char value[4096]; /* what fits of it */
};

static inline void test_got_one(void *user, struct store_get *gets, size_t n) {
    struct test_got *got = user;
    CU_ASSERT_EQUAL(n, 1);
    got->status = gets[0].status;
    got->epoch = gets[0].epoch;
    got->length = gets[0].value.length;
    size_t kept = got->length < sizeof(got->value) ? got->length : sizeof(got->value);
    if (kept > 0)
        memcpy(got->value, gets[0].value.data, kept);
}

static inline enum store_status test_get_into(struct store *store, enum store_kind kind, struct test_key key,
                                              struct test_got *got) {
    struct store_get get = {.kind = kind, .key = key.bytes};
    got->status = STORE_ERROR;
    store_get_many(store, &get, 1, test_got_one, got);
    return got->status;
}

static inline enum store_status test_get(struct store *store, enum store_kind kind, struct test_key key) {
    struct test_got got;
    return test_get_into(store, kind, key, &got);
}

static inline uint64_t test_size(struct store *store) {
    struct store_figures figures;
    store_figures(store, &figures);
    return figures.size;
}

/* An entry of this number, whose value says which one it is. */
static inline enum store_status test_put_entry(struct store *store, uint64_t number) {
    uint64_t value[8] = {number, test_mix(number)};
    return test_put(store, STORE_ENTRY, test_key(number), (struct bytes){(const char *)value, sizeof(value)},
                    0, 3600000);
}

static inline enum store_status test_get_entry(struct store *store, uint64_t number) {
    return test_get(store, STORE_ENTRY, test_key(number));
}

static inline uint64_t test_count_entries(struct store *store, uint64_t numbers) {
    uint64_t found = 0;
    for (uint64_t number = 0; number < numbers; number++)
        found += test_get_entry(store, number) == STORE_OK;
    return found;
}

/* Valid until the next call. */
static inline struct bytes test_big_value(uint64_t number, size_t length) {
    static char big[2 << 20];
    for (size_t i = 0; i < length; i += 8) {
        uint64_t word = test_mix(number + i);
        memcpy(big + i, &word, 8);
    }
    return (struct bytes){big, length};
}

static inline enum store_status test_put_generation(struct store *store, uint64_t name, uint64_t generation) {
    char value[STORE_GENERATION_LENGTH];
    for (unsigned i = 0; i < sizeof(value); i++)
        value[i] = (char)(generation >> (8 * i));
    return test_put(store, STORE_GENERATION, test_key(name), (struct bytes){value, sizeof(value)}, 0, 0);
}

#endif
