/* The memory store after killed workers. Damaged regions are in memory_found_test.c. */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory_robust_rig.h"

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

static const struct unit_case CASES[] = {
    {"workers killed at random cost no wrong answer and no count", test_killed_workers},
    {"a worker killed while it changes a shard costs that shard", test_killed_while_changing},
    {"a worker killed with a lock but no change costs nothing", test_killed_while_reading},
    {"a worker killed before the part knew makes nobody wait", test_killed_before_telling},
    {"a lock that is broken is an error, until the next set-up", test_broken_lock},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "memory_robust", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
