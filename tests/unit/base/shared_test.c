/* A shared mapping without a file: slots, statistics, waking. */
#include "shared_rig.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <time.h>

static size_t words_set(const uint64_t words[INTEREST_WORDS / 64]) {
    size_t n = 0;
    for (size_t i = 0; i < INTEREST_WORDS / 64; i++)
        n += (size_t)__builtin_popcountll(words[i]);
    return n;
}

static bool word_set(const uint64_t words[INTEREST_WORDS / 64], uint64_t hash) {
    unsigned word = shared_interest_word(hash);
    return (words[word / 64] >> (word % 64) & 1) == 1;
}

static void test_anonymous(void) {
    struct shared shared;
    struct error error = {""};
    uint64_t before = (uint64_t)time(NULL) * 1000000;
    CU_ASSERT_FATAL(shared_create(&shared, 3, NULL, REGION, TAG, &error));
    CU_ASSERT(shared.first && shared.fresh);
    CU_ASSERT_EQUAL(shared.descriptor, -1);
    CU_ASSERT_EQUAL(shared.workers, 3);
    CU_ASSERT_EQUAL(shared.region_bytes, REGION);
    CU_ASSERT_EQUAL((uintptr_t)shared.region % (uintptr_t)sysconf(_SC_PAGESIZE), 0);
    CU_ASSERT_EQUAL((uintptr_t)shared.stats % 64, 0);
    CU_ASSERT_NOT_EQUAL(shared.instance, 0);
    CU_ASSERT(shared.started_us + 1000000 >= before);
    for (size_t i = 0; i < REGION; i++)
        CU_ASSERT_EQUAL_FATAL(((char *)shared.region)[i], 0);
    for (unsigned i = 0; i < 3; i++) {
        CU_ASSERT(shared.slots[shared.claimed[i]].incarnation > 0);
        int flags = fcntl(shared.wake_descriptors[shared.claimed[i]], F_GETFL);
        CU_ASSERT(flags >= 0 && (flags & O_NONBLOCK));
        CU_ASSERT_EQUAL(fcntl(shared.wake_descriptors[shared.claimed[i]], F_GETFD), FD_CLOEXEC);
        CU_ASSERT(shared_slot_is_ours(&shared, shared.claimed[i]));
    }
    memset(shared.region, 0xff, REGION);
    shared_ready(&shared);
    shared_destroy(&shared);
    CU_ASSERT_PTR_NULL(shared.mapping);
}

static void test_two_instances_differ(void) {
    struct shared a;
    struct shared b;
    CU_ASSERT_FATAL(shared_create(&a, 1, "", 1, TAG, NULL));
    CU_ASSERT_FATAL(shared_create(&b, 1, "", 1, TAG, NULL));
    CU_ASSERT_NOT_EQUAL(a.instance, b.instance);
    shared_destroy(&a);
    shared_destroy(&b);
}

static void test_impossible_wishes(void) {
    struct shared shared;
    struct error error = {""};
    CU_ASSERT_FALSE(shared_create(&shared, 0, NULL, REGION, TAG, &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "from 1 to 64"));
    CU_ASSERT_FALSE(shared_create(&shared, WORKERS_MAX + 1, NULL, REGION, TAG, &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "65 workers"));
    CU_ASSERT_FALSE(shared_create(&shared, 1, NULL, SIZE_MAX, TAG, &error));
    CU_ASSERT_FALSE(shared_create(&shared, 1, NULL, (size_t)1 << 60, TAG, &error));
    CU_ASSERT_PTR_NULL(shared.mapping);
    shared_destroy(&shared);
}

static void test_no_descriptors_left(void) {
    struct rlimit before;
    struct shared shared;
    struct error error = {""};
    int highest = dup(STDERR_FILENO);
    close(highest);
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &before), 0);
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){(rlim_t)highest + 2, before.rlim_max});
    CU_ASSERT_FALSE(shared_create(&shared, 5, NULL, REGION, TAG, &error));
    setrlimit(RLIMIT_NOFILE, &before);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "Too many open files"));
    int next = dup(STDERR_FILENO);
    CU_ASSERT_EQUAL(next, highest);
    close(next);
}

static void test_statistics_of_dead_workers_count(void) {
    struct shared shared;
    CU_ASSERT_FATAL(shared_create(&shared, 2, NULL, REGION, TAG, NULL));
    shared_ready(&shared);
    for (unsigned i = 0; i < 2; i++) {
        unsigned slot = shared.claimed[i];
        pid_t child = fork();
        if (child == 0) {
            stats_add(&shared.stats[slot], STAT_hits, 5 + i);
            stats_add(&shared.stats[slot], STAT_parked, 3);
            _exit(0);
        }
        shared_slot_assign(&shared, slot, child);
        CU_ASSERT_EQUAL(shared.slots[slot].pid, child);
        CU_ASSERT_EQUAL(exit_code(child), 0);
    }
    CU_ASSERT_EQUAL(shared_stat(&shared, STAT_hits), 11);
    CU_ASSERT_EQUAL(shared_stat(&shared, STAT_parked), 6);
    shared_slot_assign(&shared, shared.claimed[0], 0);
    CU_ASSERT_EQUAL(shared_stat(&shared, STAT_hits), 11);
    CU_ASSERT_EQUAL(shared_stat(&shared, STAT_parked), 3);
    shared_destroy(&shared);
}

static void test_owner_is_dead(void) {
    struct shared shared;
    CU_ASSERT_FATAL(shared_create(&shared, 2, NULL, REGION, TAG, NULL));
    unsigned slot = shared.claimed[1];
    struct shared_slot *line = &shared.slots[slot];
    uint64_t incarnation = line->incarnation;
    shared_slot_assign(&shared, slot, 4711);
    /* The worker may have read its incarnation before the master got to this. */
    CU_ASSERT_EQUAL(line->incarnation, incarnation);
    CU_ASSERT_FALSE(shared_owner_is_dead(&shared, shared.instance, slot, incarnation));
    line->connections = 9;
    line->heartbeat_us = 9;
    line->draining = 1;
    shared_slot_assign(&shared, slot, 0);
    CU_ASSERT(shared_owner_is_dead(&shared, shared.instance, slot, incarnation));
    CU_ASSERT_FALSE(shared_owner_is_dead(&shared, shared.instance, slot, line->incarnation));
    CU_ASSERT_FALSE(shared_owner_is_dead(&shared, shared.instance + 1, slot, incarnation));
    CU_ASSERT_FALSE(shared_owner_is_dead(&shared, shared.instance, SLOTS_MAX, 0));
    CU_ASSERT_FALSE(shared_owner_is_dead(&shared, shared.instance, UINT32_MAX, 0));
    CU_ASSERT_EQUAL(line->pid, 0);
    CU_ASSERT_EQUAL(line->connections, 0);
    CU_ASSERT_EQUAL(line->heartbeat_us, 0);
    CU_ASSERT_EQUAL(line->draining, 0);
    /* Replaced while it lived. */
    shared_slot_assign(&shared, slot, 4711);
    incarnation = line->incarnation;
    shared_slot_assign(&shared, slot, 4712);
    CU_ASSERT(shared_owner_is_dead(&shared, shared.instance, slot, incarnation));
    CU_ASSERT_EQUAL(line->pid, 4712);
    shared_destroy(&shared);
}

/* A worker that leaves and its successor are at work together, and told apart. */
static void test_two_slots_of_a_place(void) {
    struct shared shared;
    CU_ASSERT_FATAL(shared_create(&shared, 2, NULL, REGION, TAG, NULL));
    unsigned slot = shared.claimed[1], other = shared_other_slot(slot);
    CU_ASSERT_NOT_EQUAL(slot, other);
    CU_ASSERT_EQUAL(shared_other_slot(other), slot);
    CU_ASSERT_EQUAL(shared_place(other), shared_place(slot));
    CU_ASSERT(shared_slot_is_ours(&shared, other));
    CU_ASSERT_FALSE(shared_slot_is_ours(&shared, slot + 1));
    CU_ASSERT(shared.slots[other].incarnation > 0);
    shared_slot_assign(&shared, slot, 4711);
    shared_slot_assign(&shared, other, 4712);
    uint64_t epoch = shared.slots[other].incarnation;
    stats_count(&shared.stats[slot], STAT_hits);
    stats_count(&shared.stats[other], STAT_hits);
    CU_ASSERT_EQUAL(shared_stat(&shared, STAT_hits), 2);
    shared_interest_register(&shared, other, 7);
    shared_wake(&shared, 7);
    CU_ASSERT(wait_for_wake(&shared, other, 0));
    shared_slot_assign(&shared, slot, 0);
    CU_ASSERT_EQUAL(shared.slots[other].pid, 4712);
    CU_ASSERT_FALSE(shared_owner_is_dead(&shared, shared.instance, other, epoch));
    shared_wake_all(&shared);
    CU_ASSERT(wait_for_wake(&shared, other, 0));
    shared_destroy(&shared);
}

static void test_telling_the_master(void) {
    struct shared shared;
    CU_ASSERT_FATAL(shared_create(&shared, 1, NULL, REGION, TAG, NULL));
    struct pollfd told = {.fd = shared.master_descriptor, .events = POLLIN};
    CU_ASSERT_EQUAL(poll(&told, 1, 0), 0);
    shared_heard(&shared); /* nothing to hear does not block */
    shared_tell_master(&shared);
    shared_tell_master(&shared);
    CU_ASSERT_EQUAL(poll(&told, 1, 0), 1);
    shared_heard(&shared);
    CU_ASSERT_EQUAL(poll(&told, 1, 0), 0);
    shared_destroy(&shared);
}

/* ---- waking ---- */

static void test_wake(void) {
    uint64_t words[INTEREST_WORDS / 64];
    struct shared shared;
    CU_ASSERT_FATAL(shared_create(&shared, 3, NULL, REGION, TAG, NULL));
    uint64_t hash = UINT64_C(0xfedcba9876543210);
    uint64_t neighbour = hash + 1;
    shared_interest_register(&shared, 0, hash);
    shared_interest_register(&shared, 2, hash);
    shared_interest_register(&shared, 1, neighbour);
    shared_wake(&shared, hash);
    CU_ASSERT(wait_for_wake(&shared, 0, 0));
    CU_ASSERT_FALSE(wait_for_wake(&shared, 1, 0));
    CU_ASSERT(wait_for_wake(&shared, 2, 0));
    shared_wakes_take(&shared, 0, words);
    CU_ASSERT(words_set(words) == 1 && word_set(words, hash));
    /* Taken is taken, and the interest is gone. */
    CU_ASSERT_FALSE(wait_for_wake(&shared, 0, 0));
    shared_wake(&shared, hash);
    CU_ASSERT_FALSE(wait_for_wake(&shared, 0, 0));
    shared_wakes_take(&shared, 0, words);
    CU_ASSERT_EQUAL(words_set(words), 0);
    /* Two wakes before the worker looks come as one. */
    shared_interest_register(&shared, 1, hash);
    shared_wake(&shared, hash);
    shared_wake(&shared, neighbour);
    shared_wakes_take(&shared, 1, words);
    CU_ASSERT(words_set(words) == 2 && word_set(words, hash) && word_set(words, neighbour));
    CU_ASSERT_FALSE(wait_for_wake(&shared, 1, 0));
    shared_destroy(&shared);
}

static void test_wake_all(void) {
    uint64_t words[INTEREST_WORDS / 64];
    struct shared shared;
    CU_ASSERT_FATAL(shared_create(&shared, 2, NULL, REGION, TAG, NULL));
    shared_wake_all(&shared);
    for (unsigned slot = 0; slot < 2; slot++) {
        CU_ASSERT(wait_for_wake(&shared, slot, 0));
        shared_wakes_take(&shared, slot, words);
        CU_ASSERT_EQUAL(words_set(words), INTEREST_WORDS);
        shared_wakes_take(&shared, slot, words);
        CU_ASSERT_EQUAL(words_set(words), 0);
    }
    shared_destroy(&shared);
}

/* The follower's way, with a number in the region for a store: registers, looks, waits. */
static int follow(struct shared *shared, unsigned slot, uint64_t rounds) {
    _Atomic uint64_t *stored = shared->region;
    _Atomic uint64_t *seen = stored + 1;
    uint64_t words[INTEREST_WORDS / 64];
    for (uint64_t round = 1; round <= rounds; round++) {
        for (;;) {
            shared_interest_register(shared, slot, round);
            if (atomic_load_explicit(stored, memory_order_relaxed) >= round)
                break;
            if (!wait_for_wake(shared, slot, DEADLINE))
                return 1;
            shared_wakes_take(shared, slot, words);
        }
        atomic_store(seen, round);
    }
    return 0;
}

static void test_no_wake_is_lost_across_processes(void) {
    const uint64_t rounds = 20000;
    struct shared shared;
    CU_ASSERT_FATAL(shared_create(&shared, 2, NULL, REGION, TAG, NULL));
    shared_ready(&shared);
    _Atomic uint64_t *stored = shared.region;
    _Atomic uint64_t *seen = stored + 1;
    pid_t child = fork();
    CU_ASSERT_FATAL(child >= 0);
    if (child == 0)
        _exit(follow(&shared, 1, rounds));
    bool alive = true;
    for (uint64_t round = 1; round <= rounds && alive; round++) {
        atomic_store_explicit(stored, round, memory_order_relaxed);
        shared_wake(&shared, round);
        while (atomic_load(seen) < round && alive) {
            siginfo_t gone = {0};
            sched_yield();
            alive = waitid(P_PID, (id_t)child, &gone, WEXITED | WNOHANG | WNOWAIT) == 0 &&
                    (gone.si_pid == 0 || atomic_load(seen) == rounds);
        }
    }
    CU_ASSERT_EQUAL(atomic_load(seen), rounds);
    CU_ASSERT_EQUAL(exit_code(child), 0);
    shared_destroy(&shared);
}

static const struct unit_case CASES[] = {
    {"an anonymous mapping", test_anonymous},
    {"two mappings have two names", test_two_instances_differ},
    {"impossible wishes are errors", test_impossible_wishes},
    {"a failure leaves nothing open", test_no_descriptors_left},
    {"the statistics of dead workers count", test_statistics_of_dead_workers_count},
    {"an owner is dead when its slot's epoch moved on", test_owner_is_dead},
    {"a place has two slots", test_two_slots_of_a_place},
    {"the master is told", test_telling_the_master},
    {"who registered interest is woken, once", test_wake},
    {"all are woken for everything", test_wake_all},
    {"no wake is lost across processes", test_no_wake_is_lost_across_processes},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "shared", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
