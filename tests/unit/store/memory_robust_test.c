/* The memory store after killed workers, and with damaged regions. */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory_rig.h"
#include "store/memory/shard.h"

#define NUMBERS 1000

/* ---- entries that say which one they are ---- */

static size_t length_of(uint64_t number, uint64_t version) {
    return 16 + 8 * (test_mix(number * 7 + version) % 200);
}

static struct bytes value_of(uint64_t number, uint64_t version) {
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
static enum verdict judge(struct store *store, uint64_t number) {
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

static uint64_t count(struct store *store, enum verdict verdict) {
    uint64_t n = 0;
    for (uint64_t number = 0; number < NUMBERS; number++)
        n += judge(store, number) == verdict;
    return n;
}

static enum store_status put_at(struct store *store, uint64_t number, uint64_t version, uint64_t epoch) {
    return test_put(store, STORE_ENTRY, test_key(number), value_of(number, version), epoch, 3600000);
}

static void open_small(struct memory_rig *rig, uint64_t max_size) {
    memory_rig_init(rig);
    rig->settings.cache_max_size = max_size;
    rig->settings.cache_memory_mb = 1;
    rig->settings.cache_max_entry_kb = 2;
    rig->settings.inference_queue = 0;
    memory_rig_open(rig, 1);
}

/* ---- killed at any instruction ---- */

static void hammer(struct memory_rig *rig, unsigned slot, uint64_t seed) {
    struct store *store = memory_rig_store(rig, slot);
    for (;;) {
        uint64_t dice = test_mix(seed++);
        uint64_t number = (dice >> 8) % NUMBERS;
        uint64_t wall_us = clock_wall_us(&rig->clock);
        if (dice % 8 < 4) {
            if (judge(store, number) >= SCRIBBLED)
                _exit(1);
        } else if (dice % 8 < 7) {
            if (put_at(store, number, dice >> 40, wall_us) == STORE_ERROR)
                _exit(2);
        } else {
            test_remove(store, STORE_ENTRY, test_key(number), wall_us, 1);
            test_add(store, STORE_LEASE, test_key(number), bytes_of("owner"), 1);
            char generation[STORE_GENERATION_LENGTH] = {(char)seed};
            test_put(store, STORE_GENERATION, test_key(number % 8), (struct bytes){generation, 8}, 0, 0);
        }
    }
}

/* Starts workers, lets them run until each has done something and a random moment longer, and kills them. */
static void run_and_kill(struct memory_rig *rig, struct store *observer, unsigned round) {
    pid_t children[3];
    for (unsigned i = 0; i < 3; i++) {
        children[i] = fork();
        memory_rig_need(children[i] >= 0, "fork");
        if (children[i] == 0)
            hammer(rig, i + 1, test_mix(round * 3 + i));
    }
    uint64_t until_us = clock_monotonic_us(&rig->clock) + 1000 + test_mix(round) % 5000;
    bool exceeded = false;
    while (clock_monotonic_us(&rig->clock) < until_us)
        exceeded |= test_size(observer) > rig->settings.cache_max_size;
    CU_ASSERT_FALSE(exceeded);
    for (unsigned i = 0; i < 3; i++) {
        int status;
        kill(children[i], SIGKILL);
        CU_ASSERT_EQUAL(waitpid(children[i], &status, 0), children[i]);
        CU_ASSERT_TRUE(WIFSIGNALED(status));
    }
}

static void test_killed_workers(void) {
    struct memory_rig rig;
    open_small(&rig, 200);
    rig.clock.fake = false;
    struct store *store = memory_rig_store(&rig, 0);
    for (unsigned round = 0; round < 150; round++) {
        run_and_kill(&rig, store, round);
        uint64_t right = count(store, RIGHT);
        CU_ASSERT_EQUAL(right + count(store, MISSING), NUMBERS);
        CU_ASSERT_EQUAL(right, test_size(store));
        CU_ASSERT(right <= 200);
        CU_ASSERT_EQUAL(put_at(store, round, round, clock_wall_us(&rig.clock) + 1000), STORE_OK);
        CU_ASSERT_EQUAL(judge(store, round), RIGHT);
    }
    CU_ASSERT_EQUAL(memory_rig_stat(&rig, STAT_store_errors), 0);
    memory_rig_close(&rig);
}

/* ---- killed at a chosen instruction ---- */

static struct memory_context context_of(const struct memory_rig *rig) {
    struct memory_context context = {.clock = &rig->clock, .stats = &rig->shared.stats[0]};
    memory_rig_need(memory_region_attach(&context, rig->shared.region, rig->shared.region_bytes), "attach");
    return context;
}

/* A worker takes the lock and dies. */
static void die_with(pthread_mutex_t *lock, _Atomic uint32_t *mark) {
    pid_t child = fork();
    memory_rig_need(child >= 0, "fork");
    if (child == 0) {
        if (pthread_mutex_lock(lock) != 0)
            _exit(1);
        if (mark)
            atomic_fetch_or(mark, 1);
        kill(getpid(), SIGKILL);
    }
    int status;
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    CU_ASSERT_TRUE(WIFSIGNALED(status));
}

static void test_killed_while_changing(void) {
    struct memory_rig rig;
    open_small(&rig, NUMBERS);
    struct store *store = memory_rig_store(&rig, 0);
    struct memory_context context = context_of(&rig);
    for (uint64_t number = 0; number < 300; number++)
        put_at(store, number, 0, 5);
    struct memory_shard shard = memory_shard_of(&context, 0, test_key(7).bytes);
    uint64_t lost = shard.state->live;
    die_with(&shard.state->lock, &shard.state->changing);
    struct test_got got;
    CU_ASSERT_EQUAL(put_at(store, 7, 0, rig.clock.wall_us - 1), STORE_REFUSED);
    CU_ASSERT_EQUAL(test_get_into(store, STORE_ENTRY, test_key(7), &got), STORE_TOMBSTONE);
    CU_ASSERT_EQUAL(got.epoch, rig.clock.wall_us);
    CU_ASSERT_EQUAL(test_size(store), 300 - lost);
    CU_ASSERT_EQUAL(count(store, RIGHT), 300 - lost);
    CU_ASSERT_EQUAL(put_at(store, 7, 0, got.epoch), STORE_OK);
    CU_ASSERT_EQUAL(judge(store, 7), RIGHT);
    memory_rig_close(&rig);
}

static void test_killed_while_reading(void) {
    struct memory_rig rig;
    open_small(&rig, NUMBERS);
    struct store *store = memory_rig_store(&rig, 0);
    struct memory_context context = context_of(&rig);
    for (uint64_t number = 0; number < 100; number++)
        put_at(store, number, 0, 5);
    die_with(&memory_shard_of(&context, 0, test_key(7).bytes).state->lock, NULL);
    die_with(&memory_part_at(&context, 0)->writer, NULL);
    CU_ASSERT_EQUAL(count(store, RIGHT), 100);
    CU_ASSERT_EQUAL(put_at(store, 100, 0, 5), STORE_OK);
    CU_ASSERT_EQUAL(count(store, RIGHT), 101);
    memory_rig_close(&rig);
}

/* With one place for entries: a worker dies after the shard counted its entry and before the part knew which
 * is the oldest. */
static void test_killed_before_telling(void) {
    struct memory_rig rig;
    open_small(&rig, 1);
    struct store *store = memory_rig_store(&rig, 0);
    struct memory_context context = context_of(&rig);
    struct memory_shard shard = memory_shard_of(&context, 0, test_key(1).bytes);
    CU_ASSERT_EQUAL(put_at(store, 1, 0, 0), STORE_OK);
    atomic_store(&shard.part->oldest[shard.number], 0);
    die_with(&shard.state->lock, &shard.state->changing);
    CU_ASSERT_EQUAL(put_at(store, 2, 0, rig.clock.wall_us), STORE_OK);
    CU_ASSERT_EQUAL(judge(store, 2), RIGHT);
    CU_ASSERT_EQUAL(test_size(store), 1);
    memory_rig_close(&rig);
}

static void test_broken_lock(void) {
    struct memory_rig rig;
    open_small(&rig, NUMBERS);
    struct store *store = memory_rig_store(&rig, 0);
    struct memory_context context = context_of(&rig);
    struct memory_shard shard = memory_shard_of(&context, 0, test_key(7).bytes);
    uint64_t other = 8;
    while (memory_shard_of(&context, 0, test_key(other).bytes).number == shard.number)
        other++;
    put_at(store, 7, 0, 0);
    put_at(store, other, 0, 0);
    die_with(&shard.state->lock, NULL);
    CU_ASSERT_EQUAL(pthread_mutex_lock(&shard.state->lock), EOWNERDEAD);
    CU_ASSERT_EQUAL(pthread_mutex_unlock(&shard.state->lock), 0);
    CU_ASSERT_EQUAL(test_get_entry(store, 7), STORE_ERROR);
    CU_ASSERT_EQUAL(put_at(store, 7, 0, 0), STORE_ERROR);
    CU_ASSERT_EQUAL(test_remove(store, STORE_ENTRY, test_key(7), 1, 1000), STORE_ERROR);
    CU_ASSERT_EQUAL(test_add(store, STORE_LEASE, test_key(7), bytes_of("x"), 1000), STORE_ERROR);
    CU_ASSERT_EQUAL(memory_rig_stat(&rig, STAT_store_errors), 4);
    CU_ASSERT_EQUAL(judge(store, other), RIGHT);
    CU_ASSERT_EQUAL(memory_region_setup(rig.shared.region, &rig.layout, false, &rig.clock), 0);
    CU_ASSERT_EQUAL(judge(store, 7), RIGHT);
    memory_rig_close(&rig);
}

/* ---- a region found in a file ---- */

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

/* The members of a record, as memory/log.c has them: those that a reader may change do not count. */
#define RECORD_BYTES (80 + 8)
#define RECORD_STATE 4
#define RECORD_HIT   5
#define RECORD_CHAIN 12
#define RECORD_VALUE 80
#define RECORD_LIVE  1
#define RECORD_DEAD  2

static void test_every_bit_of_a_record(void) {
    struct memory_rig rig;
    uint64_t numbers[3];
    open_small(&rig, NUMBERS);
    uint8_t *records = three_records(&rig, numbers);
    uint8_t *pristine = malloc(rig.shared.region_bytes);
    memory_rig_need(pristine != NULL, "memory");
    memcpy(pristine, rig.shared.region, rig.shared.region_bytes);
    for (unsigned bit = 0; bit < 8 * RECORD_VALUE; bit++) {
        unsigned byte = bit / 8;
        if (byte == RECORD_HIT || byte / 4 == RECORD_CHAIN / 4)
            continue;
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
    CU_ASSERT_EQUAL(records[RECORD_BYTES + RECORD_STATE], RECORD_DEAD);
    CU_ASSERT_EQUAL(records[2 * RECORD_BYTES + RECORD_STATE], RECORD_LIVE);
    records[RECORD_BYTES + RECORD_STATE] = RECORD_LIVE;
    records[2 * RECORD_BYTES + RECORD_STATE] = RECORD_DEAD;
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
    {"workers killed at random cost no wrong answer and no count", test_killed_workers},
    {"a worker killed while it changes a shard costs that shard", test_killed_while_changing},
    {"a worker killed with a lock but no change costs nothing", test_killed_while_reading},
    {"a worker killed before the part knew makes nobody wait", test_killed_before_telling},
    {"a lock that is broken is an error, until the next set-up", test_broken_lock},
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
    return unit_main(argc, argv, "memory_robust", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
