/* The memory store on a region that was found in a file, whole or damaged, and on one that is damaged while
 * it works. */
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>

#include "memory_robust_rig.h"
#include "store/memory/record.h"

/* The byte that has a record's state in its lowest bits. */
#define STATE_AT (offsetof(struct record, laps) - 1)

/* Enough for every log to have gone around: overwritten, removed and evicted entries in it. */
static void fill(struct store *store) {
    for (uint64_t i = 0; i < 3 * NUMBERS; i++) {
        put_at(store, test_mix(i) % NUMBERS, i, 0);
        if (i % 5 == 0)
            judge(store, test_mix(i / 2) % NUMBERS);
        if (i % 11 == 0)
            test_remove(store, STORE_ENTRY, test_key(i % NUMBERS), 0, 0);
    }
}

static void test_found_again(void) {
    struct memory_rig rig;
    open_small(&rig, 800);
    struct store *store = memory_rig_store(&rig, 0);
    fill(store);
    char value[STORE_GENERATION_LENGTH] = {42};
    test_put(store, STORE_GENERATION, test_key(1), (struct bytes){value, sizeof(value)}, 0, 0);
    test_add(store, STORE_LEASE, test_key(1), bytes_of("owner"), 60000);
    bool before[NUMBERS];
    for (uint64_t number = 0; number < NUMBERS; number++)
        before[number] = judge(store, number) == RIGHT;
    uint64_t size = test_size(store);
    CU_ASSERT_EQUAL(memory_region_setup(rig.shared.region, &rig.layout, false, &rig.clock), 0);
    CU_ASSERT_EQUAL(test_size(store), size);
    for (uint64_t number = 0; number < NUMBERS; number++)
        CU_ASSERT_EQUAL(judge(store, number), before[number] ? RIGHT : MISSING);
    struct test_got got;
    CU_ASSERT_EQUAL(test_get_into(store, STORE_GENERATION, test_key(1), &got), STORE_OK);
    CU_ASSERT_EQUAL(got.value[0], 42);
    CU_ASSERT_EQUAL(test_get(store, STORE_LEASE, test_key(1)), STORE_MISSING);
    fill(store);
    CU_ASSERT_EQUAL(count(store, RIGHT), test_size(store));
    memory_rig_close(&rig);
}

static void test_order_is_kept(void) {
    struct memory_rig rig;
    open_small(&rig, 20);
    struct store *store = memory_rig_store(&rig, 0);
    for (uint64_t number = 0; number < 20; number++)
        put_at(store, number, 0, 0);
    CU_ASSERT_EQUAL(memory_region_setup(rig.shared.region, &rig.layout, false, &rig.clock), 0);
    for (uint64_t number = 20; number < 30; number++)
        put_at(store, number, 0, 0);
    for (uint64_t number = 0; number < 30; number++)
        CU_ASSERT_EQUAL(judge(store, number), number < 10 ? MISSING : RIGHT);
    memory_rig_close(&rig);
}

static void test_unfinished_change(void) {
    struct memory_rig rig;
    open_small(&rig, NUMBERS);
    struct store *store = memory_rig_store(&rig, 0);
    struct memory_context context = context_of(&rig);
    for (uint64_t number = 0; number < 300; number++)
        put_at(store, number, 0, 0);
    struct memory_shard shard = memory_shard_of(&context, 0, test_key(7).bytes);
    uint64_t lost = shard.state->live;
    atomic_store(&shard.state->changing, 1);
    CU_ASSERT_EQUAL(memory_region_setup(rig.shared.region, &rig.layout, false, &rig.clock), 1);
    CU_ASSERT_EQUAL(count(store, RIGHT), 300 - lost);
    CU_ASSERT_EQUAL(put_at(store, 7, 0, 0), STORE_OK);
    memory_rig_close(&rig);
}

/* The records of three_records. */
#define RECORD_BYTES (sizeof(struct record) + 8)

/* Three entries of one length in one shard, alone in the store. Returns its log. */
static uint8_t *three_records(struct memory_rig *rig, uint64_t numbers[3]) {
    struct memory_context context = context_of(rig);
    struct memory_shard shard = memory_shard_at(&context, 0, 5);
    unsigned found = 0;
    for (uint64_t number = 0; found < 3; number++) {
        if (memory_shard_number(&context, test_key(number).bytes) != shard.number)
            continue;
        test_put(memory_rig_store(rig, 0), STORE_ENTRY, test_key(number), bytes_of("12345678"), 0, 60000);
        numbers[found++] = number;
    }
    return shard.log;
}

static void test_every_bit_of_a_record(void) {
    struct memory_rig rig;
    uint64_t numbers[3];
    open_small(&rig, NUMBERS);
    uint8_t *records = three_records(&rig, numbers);
    uint8_t *pristine = malloc(rig.shared.region_bytes);
    memory_rig_need(pristine != NULL, "memory");
    memcpy(pristine, rig.shared.region, rig.shared.region_bytes);
    for (size_t bit = 0; bit < 8 * sizeof(struct record); bit++) {
        size_t byte = bit / 8;
        if (byte == offsetof(struct record, laps) || byte / 4 == offsetof(struct record, next) / 4)
            continue; /* a reader may change them */
        records[RECORD_BYTES + byte] ^= (uint8_t)(1 << bit % 8);
        CU_ASSERT_EQUAL(memory_region_setup(rig.shared.region, &rig.layout, false, &rig.clock), 1);
        CU_ASSERT_EQUAL(test_size(memory_rig_store(&rig, 0)), 0);
        memcpy(rig.shared.region, pristine, rig.shared.region_bytes);
    }
    CU_ASSERT_EQUAL(memory_region_setup(rig.shared.region, &rig.layout, false, &rig.clock), 0);
    CU_ASSERT_EQUAL(test_size(memory_rig_store(&rig, 0)), 3);
    free(pristine);
    memory_rig_close(&rig);
}

/* One that was removed comes back to life while another one dies, so that the count is as it was. */
static void test_dead_stay_dead(void) {
    struct memory_rig rig;
    uint64_t numbers[3];
    open_small(&rig, NUMBERS);
    uint8_t *records = three_records(&rig, numbers);
    struct store *store = memory_rig_store(&rig, 0);
    test_remove(store, STORE_ENTRY, test_key(numbers[1]), 1, 0);
    CU_ASSERT_EQUAL(records[RECORD_BYTES + STATE_AT] & 3, RECORD_DEAD);
    CU_ASSERT_EQUAL(records[2 * RECORD_BYTES + STATE_AT] & 3, RECORD_LIVE);
    records[RECORD_BYTES + STATE_AT] = RECORD_LIVE;
    records[2 * RECORD_BYTES + STATE_AT] = RECORD_DEAD;
    CU_ASSERT_EQUAL(memory_region_setup(rig.shared.region, &rig.layout, false, &rig.clock), 1);
    CU_ASSERT_EQUAL(test_get_entry(store, numbers[1]), STORE_MISSING);
    memory_rig_close(&rig);
}

/* A limit that another program had, in a region of otherwise the same layout. */
static void test_more_than_allowed(void) {
    struct memory_rig rig;
    open_small(&rig, 900);
    struct store *store = memory_rig_store(&rig, 0);
    for (uint64_t number = 0; number < 900; number++)
        test_put(store, STORE_ENTRY, test_key(number), bytes_of("value"), 0, 60000);
    CU_ASSERT_EQUAL(test_size(store), 900);
    struct memory_layout layout = rig.layout;
    layout.max_size = 800;
    CU_ASSERT_EQUAL(memory_region_bytes(&layout), memory_region_bytes(&rig.layout));
    CU_ASSERT(memory_region_setup(rig.shared.region, &layout, false, &rig.clock) > 0);
    store_close(&rig.stores[0]);
    store = memory_rig_store(&rig, 0);
    uint64_t found = test_count_entries(store, 900);
    CU_ASSERT(found > 700 && found <= 800);
    CU_ASSERT_EQUAL(test_size(store), found);
    memory_rig_close(&rig);
}

static void test_flipped_generation(void) {
    struct memory_rig rig;
    open_small(&rig, 10);
    struct store *store = memory_rig_store(&rig, 0);
    struct memory_generations *generations = &context_of(&rig).region->generations;
    char value[STORE_GENERATION_LENGTH] = {1};
    struct test_key keys[2] = {{{0}}, {{0}}};
    keys[0].bytes[26] = 1; /* place 0 */
    keys[1].bytes[24] = 1; /* place 1 */
    for (uint64_t name = 0; name < 2; name++)
        test_put(store, STORE_GENERATION, keys[name], (struct bytes){value, sizeof(value)}, 0, 0);
    atomic_fetch_xor(&generations->places[0], 4);
    CU_ASSERT_EQUAL(test_get(store, STORE_GENERATION, keys[0]), STORE_MISSING);
    CU_ASSERT_EQUAL(memory_region_setup(rig.shared.region, &rig.layout, false, &rig.clock), 0);
    CU_ASSERT_EQUAL(atomic_load(&generations->places[0]), 0);
    CU_ASSERT_EQUAL(test_get(store, STORE_GENERATION, keys[1]), STORE_OK);
    memory_rig_close(&rig);
}

/* With any bytes in the region, found entries are right, and the store works. */
static void check_usable(struct memory_rig *rig, struct store *store) {
    CU_ASSERT_EQUAL(count(store, WRONG), 0);
    CU_ASSERT(test_size(store) <= rig->settings.cache_max_size);
    for (uint64_t number = 0; number < NUMBERS; number++) {
        struct test_got got;
        test_get_into(store, STORE_ENTRY, test_key(number), &got);
        put_at(store, number, 3, got.epoch);
        test_add(store, STORE_LEASE, test_key(number), bytes_of("owner"), 1000);
        test_remove(store, STORE_LEASE, test_key(number), 0, 0);
    }
    CU_ASSERT_EQUAL(count(store, WRONG), 0);
    CU_ASSERT(count(store, RIGHT) > 0);
    CU_ASSERT(test_size(store) <= rig->settings.cache_max_size);
}

static void flip(uint8_t *at, size_t length, uint64_t seed, unsigned flips) {
    for (unsigned i = 0; i < flips; i++) {
        uint64_t bit = test_mix(seed * 1000 + i) % (8 * length);
        at[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

struct damaged {
    struct memory_rig rig;
    struct store *store;
    uint8_t *pristine;
};

static void damaged_open(struct damaged *damaged) {
    open_small(&damaged->rig, 800);
    damaged->store = memory_rig_store(&damaged->rig, 0);
    fill(damaged->store);
    damaged->pristine = malloc(damaged->rig.shared.region_bytes);
    memory_rig_need(damaged->pristine != NULL, "memory");
    memcpy(damaged->pristine, damaged->rig.shared.region, damaged->rig.shared.region_bytes);
}

static uint8_t *damaged_restore(struct damaged *damaged) {
    memcpy(damaged->rig.shared.region, damaged->pristine, damaged->rig.shared.region_bytes);
    return damaged->rig.shared.region;
}

static size_t damaged_found(struct damaged *damaged) {
    struct memory_rig *rig = &damaged->rig;
    return memory_region_setup(rig->shared.region, &rig->layout, false, &rig->clock);
}

static void damaged_close(struct damaged *damaged) {
    free(damaged->pristine);
    memory_rig_close(&damaged->rig);
}

static void test_flipped_in_file(void) {
    struct damaged damaged;
    damaged_open(&damaged);
    for (unsigned round = 0; round < 150; round++) {
        flip(damaged_restore(&damaged), damaged.rig.shared.region_bytes, round, 1 + round);
        damaged_found(&damaged);
        check_usable(&damaged.rig, damaged.store);
    }
    damaged_close(&damaged);
}

/* Everything of a shard but its lock, under a store at work. */
static void test_flipped_at_work(void) {
    struct damaged damaged;
    damaged_open(&damaged);
    struct memory_context context = context_of(&damaged.rig);
    const size_t behind_lock = sizeof(pthread_mutex_t);
    for (unsigned round = 0; round < 200; round++) {
        damaged_restore(&damaged);
        size_t length = round % 2 ? context.geometry.shard_bytes : sizeof(struct memory_shard_state);
        for (unsigned number = 0; number < context.geometry.shards; number++) {
            uint8_t *base = (uint8_t *)memory_shard_at(&context, 0, number).state;
            flip(base + behind_lock, length - behind_lock, round * 64 + number, 1 + round / 8);
        }
        check_usable(&damaged.rig, damaged.store);
    }
    damaged_close(&damaged);
}

static void test_noise(void) {
    struct damaged damaged;
    damaged_open(&damaged);
    uint8_t *region = damaged.rig.shared.region;
    for (size_t i = 0; i < damaged.rig.shared.region_bytes; i += 8) {
        uint64_t word = test_mix(i);
        memcpy(region + i, &word, 8);
    }
    CU_ASSERT_EQUAL(damaged_found(&damaged), 64);
    CU_ASSERT_EQUAL(test_size(damaged.store), 0);
    check_usable(&damaged.rig, damaged.store);
    damaged_close(&damaged);
}

static void test_cut(void) {
    struct damaged damaged;
    damaged_open(&damaged);
    for (size_t part = 1; part < 40; part++) {
        size_t from = damaged.rig.shared.region_bytes / 40 * part;
        size_t length = part % 2 ? damaged.rig.shared.region_bytes - from : 4096;
        memset(damaged_restore(&damaged) + from, 0, length);
        damaged_found(&damaged);
        check_usable(&damaged.rig, damaged.store);
    }
    damaged_close(&damaged);
}

static const struct unit_case CASES[] = {
    {"a region is found again with all its entries", test_found_again},
    {"the order of eviction outlives a restart", test_order_is_kept},
    {"a shard whose change was never finished is wiped", test_unfinished_change},
    {"no bit of a record changes unnoticed", test_every_bit_of_a_record},
    {"what was removed stays so", test_dead_stay_dead},
    {"a region with more entries than are allowed", test_more_than_allowed},
    {"a generation of which a bit changed is missing", test_flipped_generation},
    {"flipped bits in a file", test_flipped_in_file},
    {"flipped bits under a store at work", test_flipped_at_work},
    {"noise", test_noise},
    {"a region of which parts are zeros", test_cut},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "memory_found", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
