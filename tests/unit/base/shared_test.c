#include "inferonce/base/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "inferonce/base/log.h"
#include "inferonce/base/shared_file.h"
#include "unit.h"

#define REGION   100000
#define TAG      UINT64_C(0x1234)
#define DEADLINE 20000 /* ms; only what has failed takes so long */

static char directory[256];
static char path[300];

static void make_directory(void) {
    CU_ASSERT_FATAL(unit_directory(directory, sizeof(directory), "shared"));
    snprintf(path, sizeof(path), "%s/cache", directory);
}

static void remove_directory(void) {
    unlink(path);
    CU_ASSERT_EQUAL(rmdir(directory), 0);
}

static bool create(struct shared *shared, unsigned workers, struct error *error) {
    return shared_create(shared, workers, path, REGION, TAG, error);
}

/* Leaves a file that was set up whole, with `mark` at the end of its region. */
static uint64_t leave_file(unsigned char mark) {
    struct shared shared;
    struct error error = {""};
    CU_ASSERT_FATAL(create(&shared, 2, &error));
    memset(shared.region, mark, REGION);
    shared_ready(&shared);
    uint64_t instance = shared.instance;
    shared_destroy(&shared);
    return instance;
}

static int exit_code(pid_t child) {
    int status = 0;
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* One byte through a pipe: "go on". */
static void tell(const int ends[2]) {
    CU_ASSERT_EQUAL(write(ends[1], "!", 1), 1);
}

static bool hear(const int ends[2]) {
    char byte;
    struct pollfd readable = {.fd = ends[0], .events = POLLIN};
    return poll(&readable, 1, DEADLINE) == 1 && read(ends[0], &byte, 1) == 1;
}

static bool wait_for_wake(const struct shared *shared, unsigned slot, int timeout_ms) {
    struct pollfd readable = {.fd = shared->wake_descriptors[slot], .events = POLLIN};
    return poll(&readable, 1, timeout_ms) == 1;
}

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

/* ---- without a file ---- */

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

/* ---- with a file ---- */

static void test_file_is_made(void) {
    struct shared shared;
    struct error error = {""};
    struct stat status;
    make_directory();
    CU_ASSERT_FATAL(create(&shared, 2, &error));
    CU_ASSERT(shared.first && shared.fresh);
    CU_ASSERT_EQUAL(fstat(shared.descriptor, &status), 0);
    CU_ASSERT_EQUAL(status.st_mode & 07777, 0600);
    CU_ASSERT(status.st_size > REGION);
    CU_ASSERT(status.st_blocks * 512 >= status.st_size);
    CU_ASSERT_EQUAL(fcntl(shared.descriptor, F_GETFD), FD_CLOEXEC);
    shared_ready(&shared);
    shared_destroy(&shared);
    remove_directory();
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

static void test_file_survives_a_restart(void) {
    struct shared shared;
    struct error error = {""};
    make_directory();
    CU_ASSERT_FATAL(create(&shared, 2, &error));
    memset(shared.region, 'k', REGION);
    shared_ready(&shared);
    for (unsigned i = 0; i < 2; i++)
        shared_slot_assign(&shared, shared.claimed[i], 4711);
    uint64_t instance = shared.instance;
    uint64_t epochs[] = {shared.slots[0].incarnation, shared.slots[1].incarnation};
    stats_count(&shared.stats[shared.claimed[0]], STAT_hits);
    stats_count(&shared.stats[shared.claimed[1]], STAT_parked);
    shared_interest_register(&shared, shared.claimed[0], 7);
    shared_destroy(&shared);

    CU_ASSERT_FATAL(create(&shared, 1, &error));
    CU_ASSERT(shared.first && !shared.fresh);
    for (size_t i = 0; i < REGION; i++)
        CU_ASSERT_EQUAL_FATAL(((char *)shared.region)[i], 'k');
    CU_ASSERT_EQUAL(shared_stat(&shared, STAT_hits), 0);
    CU_ASSERT_EQUAL(shared_stat(&shared, STAT_parked), 0);
    for (unsigned slot = 0; slot < SLOTS_MAX; slot++)
        CU_ASSERT_EQUAL(shared.slots[slot].pid, 0);
    /* A lease of the last run is known to be of a dead owner, whether its slot has a new one or not. */
    CU_ASSERT(shared_owner_is_dead(&shared, instance, 0, epochs[0]));
    CU_ASSERT(shared_owner_is_dead(&shared, instance, 1, epochs[1]));
    shared_ready(&shared);
    shared_wake(&shared, 7);
    CU_ASSERT_FALSE(wait_for_wake(&shared, shared.claimed[0], 0));
    shared_destroy(&shared);
    remove_directory();
}

static void test_killed_during_set_up(void) {
    struct shared shared;
    struct error error = {""};
    make_directory();
    for (int previous = 0; previous < 2; previous++) {
        if (previous == 1)
            leave_file('k');
        pid_t child = fork();
        CU_ASSERT_FATAL(child >= 0);
        if (child == 0) {
            bool created = create(&shared, 2, &error);
            kill(getpid(), created ? SIGKILL : SIGTERM);
        }
        int status = 0;
        CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
        CU_ASSERT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        CU_ASSERT_FATAL(create(&shared, 2, &error));
        CU_ASSERT(shared.first && shared.fresh);
        CU_ASSERT_EQUAL(((char *)shared.region)[REGION - 1], 0);
        shared_ready(&shared);
        shared_destroy(&shared);
    }
    remove_directory();
}

/* ---- a file that is not what it should be ---- */

static void overwrite(off_t at, const void *data, size_t length) {
    int descriptor = open(path, O_WRONLY | O_CREAT, 0600);
    CU_ASSERT_FATAL(descriptor >= 0);
    CU_ASSERT_EQUAL(pwrite(descriptor, data, length, at), (ssize_t)length);
    close(descriptor);
}

static void cut_to(off_t size) {
    CU_ASSERT_EQUAL(truncate(path, size), 0);
}

static void change_boot_id(void) {
    char head[4096];
    char boot_id[64] = "";
    FILE *boot = fopen("/proc/sys/kernel/random/boot_id", "re");
    CU_ASSERT_PTR_NOT_NULL_FATAL(boot);
    CU_ASSERT_FATAL(fscanf(boot, "%63s", boot_id) == 1);
    fclose(boot);
    FILE *file = fopen(path, "re");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL_FATAL(fread(head, 1, sizeof(head), file), sizeof(head));
    fclose(file);
    const char *found = memmem(head, sizeof(head), boot_id, strlen(boot_id));
    CU_ASSERT_PTR_NOT_NULL_FATAL(found);
    overwrite(found - head, found[0] == '0' ? "1" : "0", 1);
}

/* Opens the file again, which must be found useless for the reason given, in one line of the log. */
static void expect_recreated(size_t region_bytes, uint64_t tag, const char *reason) {
    int ends[2];
    char line[4096];
    struct shared shared;
    struct error error = {""};
    CU_ASSERT_EQUAL_FATAL(pipe2(ends, O_NONBLOCK), 0);
    log_setup(LOG_INFO, LOG_LOGFMT, ends[1]);
    struct clock clock = {.fake = true};
    static uint64_t seconds;
    clock.monotonic_us = ++seconds * 1000000;
    log_set_clock(&clock);
    bool created = shared_create(&shared, 2, path, region_bytes, tag, &error);
    log_set_clock(NULL);
    log_setup(LOG_INFO, LOG_LOGFMT, STDERR_FILENO);
    CU_ASSERT_FATAL(created);
    CU_ASSERT(shared.first && shared.fresh);
    for (size_t i = 0; i < region_bytes; i++)
        CU_ASSERT_EQUAL_FATAL(((char *)shared.region)[i], 0);
    shared_ready(&shared);
    shared_destroy(&shared);
    ssize_t length = read(ends[0], line, sizeof(line) - 1);
    line[length > 0 ? length : 0] = '\0';
    CU_ASSERT_PTR_NOT_NULL(strstr(line, path));
    CU_ASSERT_PTR_NOT_NULL(strstr(line, reason));
    CU_ASSERT_PTR_EQUAL(strchr(line, '\n'), strrchr(line, '\n'));
    close(ends[0]);
    close(ends[1]);
}

static void test_useless_files_are_recreated(void) {
    static char noise[300000];
    srandom(1);
    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (char)random();
    make_directory();
    struct stat whole;
    uint64_t instance = leave_file('k');
    CU_ASSERT_EQUAL(stat(path, &whole), 0);

    expect_recreated(REGION, TAG + 1, "other sizes");
    expect_recreated(REGION + 1, TAG + 1, "other sizes");
    expect_recreated(REGION, TAG, "other sizes");
    CU_ASSERT_NOT_EQUAL(leave_file('k'), instance);
    cut_to(whole.st_size - 1);
    expect_recreated(REGION, TAG, "cut short");
    leave_file('k');
    cut_to(whole.st_size + 1);
    expect_recreated(REGION, TAG, "grown");
    leave_file('k');
    cut_to(4096);
    expect_recreated(REGION, TAG, "cut short");
    leave_file('k');
    cut_to(8);
    expect_recreated(REGION, TAG, "cut short");
    leave_file('k');
    cut_to(0);
    CU_ASSERT_NOT_EQUAL(leave_file('k'), instance);
    overwrite(8, noise, 8);
    expect_recreated(REGION, TAG, "another version");
    leave_file('k');
    change_boot_id();
    expect_recreated(REGION, TAG, "before the machine was started");
    remove_directory();
}

/* Any byte of the fixed part may be wrong; no content of it may harm the process. */
static void test_noise_behind_the_header(void) {
    static char noise[100000];
    srandom(2);
    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (char)random();
    struct shared shared;
    struct error error = {""};
    make_directory();
    leave_file('k');
    overwrite(4096, noise, sizeof(noise));
    CU_ASSERT_FATAL(create(&shared, 2, &error));
    CU_ASSERT(shared.first && !shared.fresh);
    for (size_t i = 0; i < STATS_COUNT; i++)
        CU_ASSERT_EQUAL(shared_stat(&shared, (enum statistic)i), 0);
    CU_ASSERT(shared.slots[shared.claimed[0]].incarnation > 0);
    CU_ASSERT_EQUAL(shared.slots[20].pid, 0);
    shared_wake(&shared, 20);
    CU_ASSERT_FALSE(wait_for_wake(&shared, shared.claimed[0], 0));
    shared_ready(&shared);
    shared_destroy(&shared);
    remove_directory();
}

static void expect_refused(const char *reason) {
    struct shared shared;
    struct error error = {""};
    int next = dup(STDERR_FILENO);
    close(next);
    CU_ASSERT_FALSE(create(&shared, 2, &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, path));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, reason));
    CU_ASSERT_EQUAL(shared.descriptor, -1);
    int again = dup(STDERR_FILENO);
    CU_ASSERT_EQUAL(again, next);
    close(again);
}

/* Refused by the check at start and when it is opened, and not a byte of it is changed. */
static void expect_left_alone(const char *content, size_t length) {
    static char found[300000];
    struct error error = {""};
    overwrite(0, content, length);
    cut_to((off_t)length);
    CU_ASSERT_FALSE(shared_file_check(path, &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, path));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "something else"));
    expect_refused("something else");
    FILE *file = fopen(path, "re");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(fread(found, 1, sizeof(found), file), length);
    CU_ASSERT_EQUAL(memcmp(found, content, length), 0);
    fclose(file);
}

static void test_files_of_others_are_left_alone(void) {
    static char noise[200000];
    srandom(3);
    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (char)random();
    make_directory();
    expect_left_alone(noise, sizeof(noise));
    expect_left_alone("root:x:0:0:", 11);
    expect_left_alone("nfe", 3); /* not even a whole magic */
    expect_left_alone("\0", 1);
    cut_to(0);
    CU_ASSERT(shared_file_check(path, NULL));
    leave_file('k');
    CU_ASSERT(shared_file_check(path, NULL));
    CU_ASSERT_EQUAL(unlink(path), 0);
    CU_ASSERT(shared_file_check(path, NULL));
    CU_ASSERT(shared_file_check("", NULL) && shared_file_check(NULL, NULL));
    remove_directory();
}

static void expect_no_file(const char *reason) {
    struct error error = {""};
    CU_ASSERT_FALSE(shared_file_check(path, &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, reason));
}

static void test_no_regular_file(void) {
    make_directory();
    CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
    expect_refused("Is a directory");
    expect_no_file("Is a directory");
    rmdir(path);
    CU_ASSERT_EQUAL(symlink("/dev/null", path), 0);
    expect_refused("symbolic link");
    expect_no_file("symbolic link");
    unlink(path);
    CU_ASSERT_EQUAL(mkfifo(path, 0600), 0);
    expect_refused("not a regular file");
    expect_no_file("not a regular file");
    unlink(path);
    char good[sizeof(path)];
    strcpy(good, path);
    strcat(path, "/below");
    expect_refused("No such file or directory");
    fclose(fopen(good, "we"));
    expect_refused("Not a directory");
    strcpy(path, good);
    remove_directory();
}

static void test_no_room_for_the_file(void) {
    struct shared shared;
    struct stat status;
    make_directory();
    pid_t child = fork();
    CU_ASSERT_FATAL(child >= 0);
    if (child == 0) {
        struct error error = {""};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){8192, 8192});
        _exit(!create(&shared, 2, &error) && strstr(error.text, "cannot reserve") ? 0 : 1);
    }
    CU_ASSERT_EQUAL(exit_code(child), 0);
    CU_ASSERT_EQUAL(stat(path, &status), 0);
    CU_ASSERT_EQUAL(status.st_size, 0);
    remove_directory();
}

/* ---- several masters ---- */

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
    /* What the failed one had claimed is free again. */
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
    {"a file is made", test_file_is_made},
    {"a file survives a restart", test_file_survives_a_restart},
    {"a set-up that was killed is done anew", test_killed_during_set_up},
    {"useless files are recreated and the log says why", test_useless_files_are_recreated},
    {"noise behind the header does no harm", test_noise_behind_the_header},
    {"files of others are left alone", test_files_of_others_are_left_alone},
    {"what is no regular file is refused", test_no_regular_file},
    {"no room for the file", test_no_room_for_the_file},
    {"a second master has slots of its own", test_second_master},
    {"a pool that vanished is reaped", test_a_vanished_pool_is_reaped},
    {"the slots run out", test_slots_run_out},
    {"a file in use with other sizes is refused", test_in_use_with_other_sizes},
    {"a claim lasts until the last process is gone", test_a_claim_lasts_until_the_last_process_is_gone},
    {"the places of a dying pool are waited for", test_places_of_a_dying_pool},
    {"set-up is alone with the file", test_set_up_is_alone},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "shared", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
