/* A small memory store whose entries say which one they are: for tests that kill its workers and damage it.
 */
#ifndef INFERONCE_TESTS_MEMORY_ROBUST_RIG_H
#define INFERONCE_TESTS_MEMORY_ROBUST_RIG_H

#include "memory_rig.h"
#include "store/memory/shard.h"

#define NUMBERS 1000

static inline size_t length_of(uint64_t number, uint64_t version) {
    return 16 + 8 * (test_mix(number * 7 + version) % 200);
}

static inline struct bytes value_of(uint64_t number, uint64_t version) {
    static uint64_t words[256];
    size_t length = length_of(number, version);
    words[0] = number;
    words[1] = test_mix(number);
    for (size_t i = 2; i < length / 8; i++)
        words[i] = test_mix(number + i);
    return (struct bytes){(const char *)words, length};
}

enum verdict { RIGHT, MISSING, SCRIBBLED, WRONG };

/* A scribbled value is one that the entry's checksum would not let pass; a wrong one is another key's. */
static inline enum verdict judge(struct store *store, uint64_t number) {
    struct test_got got;
    uint64_t words[sizeof(got.value) / 8];
    enum store_status status = test_get_into(store, STORE_ENTRY, test_key(number), &got);
    if (status != STORE_OK)
        return status == STORE_MISSING || status == STORE_EXPIRED || status == STORE_TOMBSTONE ? MISSING
                                                                                               : WRONG;
    if (got.length < 16 || got.length > sizeof(got.value))
        return SCRIBBLED;
    memcpy(words, got.value, sizeof(words));
    if (words[1] != test_mix(words[0]))
        return SCRIBBLED;
    if (words[0] != number)
        return WRONG;
    for (size_t i = 2; i < got.length / 8; i++)
        if (words[i] != test_mix(number + i))
            return SCRIBBLED;
    return RIGHT;
}

static inline uint64_t count(struct store *store, enum verdict verdict) {
    uint64_t n = 0;
    for (uint64_t number = 0; number < NUMBERS; number++)
        n += judge(store, number) == verdict;
    return n;
}

static inline enum store_status put_at(struct store *store, uint64_t number, uint64_t version,
                                       uint64_t epoch) {
    return test_put(store, STORE_ENTRY, test_key(number), value_of(number, version), epoch, 3600000);
}

static inline void open_small(struct memory_rig *rig, uint64_t max_size) {
    memory_rig_init(rig);
    rig->settings.cache_max_size = max_size;
    rig->settings.cache_memory_mb = 1;
    rig->settings.cache_max_entry_kb = 2;
    rig->settings.inference_queue = 0;
    memory_rig_open(rig, 1);
}

static inline struct memory_context context_of(const struct memory_rig *rig) {
    struct memory_context context = {.clock = &rig->clock, .stats = &rig->shared.stats[0]};
    memory_rig_need(memory_region_attach(&context, rig->shared.region, rig->shared.region_bytes), "attach");
    return context;
}

#endif
