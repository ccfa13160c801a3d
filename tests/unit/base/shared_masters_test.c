/* Several masters that share the file of one mapping: slots of their own, claims, the end of a pool. */
#include "shared_rig.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>

#include "inferonce/base/clock.h"

/* One byte through a pipe: "go on". */
static void tell(const int ends[2]) {
    CU_ASSERT_EQUAL(write(ends[1], "!", 1), 1);
}

static bool hear(const int ends[2]) {
    char byte;
    struct pollfd readable = {.fd = ends[0], .events = POLLIN};
    return poll(&readable, 1, DEADLINE) == 1 && read(ends[0], &byte, 1) == 1;
}

static void test_second_master(void) {
    struct shared a;
    struct shared b;
    struct error error = {""};
    make_directory();
    CU_ASSERT_FATAL(create(&a, 3, &error));
    strcpy(a.region, "of the first");
    shared_ready(&a);
    CU_ASSERT_FATAL(create(&b, 2, &error));
    shared_ready(&b);
    CU_ASSERT_FALSE(b.first);
    CU_ASSERT_FALSE(b.fresh);
    CU_ASSERT_EQUAL(b.instance, a.instance);
    CU_ASSERT_EQUAL(b.started_us, a.started_us);
    CU_ASSERT_EQUAL(a.place_mask & b.place_mask, 0);
    CU_ASSERT_STRING_EQUAL((char *)b.region, "of the first");
    stats_count(&a.stats[a.claimed[0]], STAT_hits);
    stats_count(&b.stats[b.claimed[0]], STAT_hits);
    CU_ASSERT_EQUAL(shared_stat(&a, STAT_hits), 2);
    CU_ASSERT_EQUAL(shared_stat(&b, STAT_hits), 2);
    for (unsigned i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(b.wake_descriptors[a.claimed[i]], -1);

    /* Each wakes its own, and leaves the other's interest for the other to find. */
    shared_interest_register(&a, a.claimed[0], 5);
    shared_interest_register(&b, b.claimed[1], 5);
    shared_wake(&b, 5);
    CU_ASSERT(wait_for_wake(&b, b.claimed[1], 0));
    CU_ASSERT_FALSE(wait_for_wake(&a, a.claimed[0], 0));
    shared_wake(&a, 5);
    CU_ASSERT(wait_for_wake(&a, a.claimed[0], 0));

    /* A slot that is claimed again belongs to a new owner; its counters stay. */
    uint64_t epoch = b.slots[b.claimed[0]].incarnation;
    unsigned slot = b.claimed[0];
    stats_count(&b.stats[slot], STAT_parked);
    shared_destroy(&b);
    CU_ASSERT_FATAL(create(&b, 2, &error));
    shared_ready(&b);
    CU_ASSERT_EQUAL(b.claimed[0], slot);
    CU_ASSERT(shared_owner_is_dead(&a, a.instance, slot, epoch));
    CU_ASSERT_EQUAL(shared_stat(&a, STAT_hits), 2);
    CU_ASSERT_EQUAL(shared_stat(&a, STAT_parked), 0);
    shared_destroy(&b);
    shared_destroy(&a);
    remove_directory();
}

static void test_a_vanished_pool_is_reaped(void) {
    struct shared a;
    struct error error = {""};
    int ready[2];
    make_directory();
    CU_ASSERT_FATAL(create(&a, 2, &error));
    shared_ready(&a);
    shared_slot_assign(&a, a.claimed[0], getpid());
    CU_ASSERT_EQUAL_FATAL(pipe(ready), 0);
    pid_t child = fork();
    CU_ASSERT_FATAL(child >= 0);
    if (child == 0) {
        struct shared b;
        if (!create(&b, 1, &error))
            _exit(1);
        shared_ready(&b);
        shared_slot_assign(&b, b.claimed[0], getpid());
        stats_count(&b.stats[b.claimed[0]], STAT_parked);
        stats_count(&b.stats[b.claimed[0]], STAT_hits);
        unsigned slot = b.claimed[0];
        (void)!write(ready[1], &slot, sizeof(slot));
        pause();
        _exit(1);
    }
    unsigned slot = 0;
    CU_ASSERT_EQUAL_FATAL(read(ready[0], &slot, sizeof(slot)), (ssize_t)sizeof(slot));
    uint64_t epoch = a.slots[slot].incarnation;
    CU_ASSERT_EQUAL(shared_reap(&a), 0); /* it lives, and so do we */
    CU_ASSERT_EQUAL(a.slots[slot].pid, child);
    kill(child, SIGKILL);
    CU_ASSERT_EQUAL(waitpid(child, NULL, 0), child);
    CU_ASSERT_EQUAL(shared_reap(&a), 1);
    CU_ASSERT_EQUAL(a.slots[slot].pid, 0);
    CU_ASSERT(shared_owner_is_dead(&a, a.instance, slot, epoch));
    CU_ASSERT_EQUAL(shared_stat(&a, STAT_parked), 0);
    CU_ASSERT_EQUAL(shared_stat(&a, STAT_hits), 1);
    CU_ASSERT_EQUAL(a.slots[a.claimed[0]].pid, getpid());
    CU_ASSERT_EQUAL(shared_reap(&a), 0);
    close(ready[0]);
    close(ready[1]);
    shared_destroy(&a);
    remove_directory();
}

static void test_slots_run_out(void) {
    struct shared a;
    struct shared b;
    struct error error = {""};
    make_directory();
    CU_ASSERT_FATAL(create(&a, 62, &error));
    shared_ready(&a);
    CU_ASSERT_FALSE(create(&b, 3, &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, path));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "only 2"));
    /* The slots that the failed one had claimed are free again. */
    CU_ASSERT_FATAL(create(&b, 2, &error));
    shared_destroy(&b);
    shared_destroy(&a);
    remove_directory();
}

static void test_in_use_with_other_sizes(void) {
    struct shared a;
    struct shared b;
    struct error error = {""};
    make_directory();
    CU_ASSERT_FATAL(create(&a, 2, &error));
    memset(a.region, 'k', REGION);
    shared_ready(&a);
    CU_ASSERT_FALSE(shared_create(&b, 2, path, REGION * 2, TAG, &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, path));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "in use"));
    CU_ASSERT_FALSE(shared_create(&b, 2, path, REGION, TAG + 1, &error));
    const struct clock clock = {.fake = false};
    uint64_t began_us = clock_monotonic_us(&clock);
    CU_ASSERT_FALSE(shared_create_at_once(&b, 2, path, REGION * 2, TAG, &error));
    CU_ASSERT_FALSE(shared_create_at_once(&b, WORKERS_MAX, path, REGION, TAG, &error));
    CU_ASSERT(clock_monotonic_us(&clock) - began_us < 2000000);
    for (size_t i = 0; i < REGION; i++)
        CU_ASSERT_EQUAL_FATAL(((char *)a.region)[i], 'k');
    shared_destroy(&a);
    remove_directory();
}

/* A pool that was killed is not gone at once: its places come free while the next one starts. */
static void test_places_of_a_dying_pool(void) {
    int ready[2];
    struct shared shared;
    struct error error = {""};
    char byte;
    make_directory();
    for (unsigned i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL_FATAL(pipe(ready), 0);
        pid_t child = fork();
        CU_ASSERT_FATAL(child >= 0);
        if (child == 0) {
            bool created = create(&shared, 40, &error);
            shared_ready(&shared);
            bool told = created && write(ready[1], "!", 1) == 1;
            nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
            _exit(told ? 0 : 1);
        }
        CU_ASSERT_EQUAL_FATAL(read(ready[0], &byte, 1), 1);
        /* The second time the file is of no use to the next one, who must have it alone. */
        bool created = shared_create(&shared, 40, path, REGION + i, TAG, &error);
        CU_ASSERT(created);
        CU_ASSERT_EQUAL(exit_code(child), 0);
        if (created)
            shared_destroy(&shared);
        unlink(path);
        close(ready[0]);
        close(ready[1]);
    }
    remove_directory();
}

/* A master in a process of its own with a worker; tells the worker's pid, then waits to be killed. Should the
 * test end before it does that, both see the end of `life`, whose writing end only the test has, and go. */
static _Noreturn void run_pool(const int pids[2], const int life[2]) {
    struct shared shared;
    char byte;
    close(life[1]);
    if (!create(&shared, 1, NULL))
        _exit(1);
    memset(shared.region, 'p', REGION);
    shared_ready(&shared);
    pid_t worker = fork();
    if (worker > 0 && write(pids[1], &worker, sizeof(worker)) != (ssize_t)sizeof(worker))
        _exit(1);
    _exit(read(life[0], &byte, 1) == 0 ? 0 : 1);
}

static void test_a_claim_lasts_until_the_last_process_is_gone(void) {
    int pids[2];
    int life[2];
    pid_t worker = 0;
    struct shared shared;
    struct error error = {""};
    make_directory();
    CU_ASSERT_EQUAL_FATAL(pipe(pids), 0);
    CU_ASSERT_EQUAL_FATAL(pipe(life), 0);
    CU_ASSERT_EQUAL_FATAL(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    pid_t master = fork();
    CU_ASSERT_FATAL(master >= 0);
    if (master == 0)
        run_pool(pids, life);
    close(pids[1]);
    CU_ASSERT_EQUAL_FATAL(read(pids[0], &worker, sizeof(worker)), (ssize_t)sizeof(worker));

    kill(master, SIGKILL);
    CU_ASSERT_EQUAL(waitpid(master, NULL, 0), master);
    bool joined = create(&shared, 1, &error);
    CU_ASSERT(joined);
    if (joined) {
        CU_ASSERT_FALSE(shared.first);
        CU_ASSERT_EQUAL(shared.claimed[0], 1);
        shared_destroy(&shared);
    }

    kill(worker, SIGKILL);
    CU_ASSERT_EQUAL(waitpid(worker, NULL, 0), worker);
    CU_ASSERT_FATAL(create(&shared, 1, &error));
    CU_ASSERT(shared.first);
    CU_ASSERT_FALSE(shared.fresh);
    CU_ASSERT_EQUAL(shared.claimed[0], 0);
    CU_ASSERT_EQUAL(((char *)shared.region)[REGION - 1], 'p');
    shared_destroy(&shared);
    close(pids[0]);
    close(life[0]);
    close(life[1]);
    remove_directory();
}

/* Until the process sleeps in a system call, or has ended; false after the deadline. */
static bool wait_until_it_sleeps(pid_t pid) {
    char name[64];
    snprintf(name, sizeof(name), "/proc/%d/stat", (int)pid);
    struct clock clock = {0};
    for (uint64_t end = clock_monotonic_us(&clock) + DEADLINE * 1000; clock_monotonic_us(&clock) < end;) {
        char state = 0;
        FILE *file = fopen(name, "re");
        if (!file || fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
            state = 0;
        if (file)
            fclose(file);
        if (state == 'S' || state == 'Z')
            return true;
        sched_yield();
    }
    return false;
}

static void test_set_up_is_alone(void) {
    int started[2];
    struct shared shared;
    struct shared other;
    struct error error = {""};
    make_directory();
    CU_ASSERT_EQUAL_FATAL(pipe(started), 0);
    CU_ASSERT_FATAL(create(&shared, 2, &error));
    pid_t child = fork();
    CU_ASSERT_FATAL(child >= 0);
    if (child == 0) {
        /* The lock of this one's own file is inherited, so the child gives its share back first. */
        close(shared.descriptor);
        tell(started);
        bool created = create(&other, 2, &error);
        _exit(created && !other.first && strcmp(other.region, "whole") == 0 ? 0 : 1);
    }
    CU_ASSERT(hear(started));
    CU_ASSERT(wait_until_it_sleeps(child));
    strcpy(shared.region, "whole");
    shared_ready(&shared);
    CU_ASSERT_EQUAL(exit_code(child), 0);
    shared_destroy(&shared);
    close(started[0]);
    close(started[1]);
    remove_directory();
}

static const struct unit_case CASES[] = {
    {"a second master has slots of its own", test_second_master},
    {"a pool that vanished is reaped", test_a_vanished_pool_is_reaped},
    {"the slots run out", test_slots_run_out},
    {"a file in use with other sizes is refused", test_in_use_with_other_sizes},
    {"a claim lasts until the last process is gone", test_a_claim_lasts_until_the_last_process_is_gone},
    {"the places of a dying pool are waited for", test_places_of_a_dying_pool},
    {"set-up is alone with the file", test_set_up_is_alone},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "shared_masters", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
