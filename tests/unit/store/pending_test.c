#include "store/remote/pending.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

static struct pendings *make(void) {
    struct pendings *pendings =
        mmap(NULL, sizeof(*pendings), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CU_ASSERT_FATAL(pendings != MAP_FAILED);
    pendings_setup(pendings, true);
    return pendings;
}

static void end(struct pendings *pendings) {
    munmap(pendings, sizeof(*pendings));
}

static struct pending of(uint64_t server, enum store_kind kind, uint8_t n, uint64_t epoch) {
    struct pending pending = {.server = server, .kind = kind, .epoch = epoch, .tombstone_ms = 5000};
    pending.key[0] = n;
    return pending;
}

static bool add(struct pendings *pendings, struct pending pending) {
    return pending_add(pendings, &pending);
}

static void test_in_order_and_by_server(void) {
    struct pendings *pendings = make();
    struct pending pending = {.number = 0};
    CU_ASSERT_FALSE(pending_any(pendings));
    CU_ASSERT_FALSE(pending_next(pendings, 7, 0, &pending));
    CU_ASSERT_TRUE(add(pendings, of(7, STORE_ENTRY, 1, 10)));
    CU_ASSERT_TRUE(add(pendings, of(8, STORE_ENTRY, 1, 11)));
    CU_ASSERT_TRUE(add(pendings, of(7, STORE_GENERATION, 1, 12)));
    CU_ASSERT_TRUE(pending_any(pendings));
    CU_ASSERT_EQUAL(pending_count(pendings, 7), 2);
    CU_ASSERT_EQUAL(pending_count(pendings, 8), 1);
    CU_ASSERT_EQUAL(pending_count(pendings, 9), 0);
    CU_ASSERT_TRUE(pending_next(pendings, 7, 0, &pending));
    CU_ASSERT_EQUAL(pending.kind, STORE_ENTRY);
    CU_ASSERT_EQUAL(pending.epoch, 10);
    CU_ASSERT_EQUAL(pending.tombstone_ms, 5000);
    CU_ASSERT_EQUAL(pending.key[0], 1);
    uint64_t first = pending.number;
    CU_ASSERT_TRUE(pending_next(pendings, 7, first, &pending));
    CU_ASSERT_EQUAL(pending.kind, STORE_GENERATION);
    CU_ASSERT_FALSE(pending_next(pendings, 7, pending.number, &pending));
    pending_done(pendings, first);
    CU_ASSERT_EQUAL(pending_count(pendings, 7), 1);
    pending_done(pendings, pending.number);
    CU_ASSERT_EQUAL(pending_count(pendings, 7), 0);
    CU_ASSERT_TRUE(pending_any(pendings));
    end(pendings);
}

/* The same item again takes no place of its own, and is not done by who did the earlier one. */
static void test_the_same_again(void) {
    struct pendings *pendings = make();
    struct pending first;
    struct pending again;
    CU_ASSERT_TRUE(add(pendings, of(7, STORE_ENTRY, 1, 20)));
    CU_ASSERT_TRUE(pending_next(pendings, 7, 0, &first));
    CU_ASSERT_TRUE(add(pendings, of(7, STORE_ENTRY, 1, 15)));
    CU_ASSERT_EQUAL(pending_count(pendings, 7), 1);
    CU_ASSERT_TRUE(pending_next(pendings, 7, first.number, &again));
    CU_ASSERT_EQUAL(again.epoch, 20);
    pending_done(pendings, first.number);
    CU_ASSERT_EQUAL(pending_count(pendings, 7), 1);
    pending_done(pendings, again.number);
    CU_ASSERT_FALSE(pending_any(pendings));
    end(pendings);
}

static void test_full(void) {
    struct pendings *pendings = make();
    for (unsigned n = 0; n < PENDING_MAX; n++)
        CU_ASSERT_TRUE(add(pendings, of(n, STORE_ENTRY, 1, 20)));
    CU_ASSERT_FALSE(add(pendings, of(PENDING_MAX, STORE_ENTRY, 1, 20)));
    CU_ASSERT_TRUE(add(pendings, of(3, STORE_ENTRY, 1, 30))); /* it has its place */
    struct pending pending;
    CU_ASSERT_TRUE(pending_next(pendings, 5, 0, &pending));
    pending_done(pendings, pending.number);
    CU_ASSERT_TRUE(add(pendings, of(PENDING_MAX, STORE_ENTRY, 1, 20)));
    end(pendings);
}

/* A server is looked for only when its bit is set, which several servers may have. */
static void test_which_servers_wait(void) {
    struct pendings *pendings = make();
    struct pending seven, other;
    CU_ASSERT_TRUE(add(pendings, of(7, STORE_ENTRY, 1, 20)));
    CU_ASSERT_EQUAL(atomic_load(&pendings->waiting), 1u << 7);
    CU_ASSERT_TRUE(pending_has(pendings, 7));
    CU_ASSERT_FALSE(pending_has(pendings, 8));
    CU_ASSERT_FALSE(pending_has(pendings, 64 + 7));
    CU_ASSERT_TRUE(add(pendings, of(64 + 7, STORE_ENTRY, 1, 20)));
    CU_ASSERT_TRUE(add(pendings, of(63, STORE_ENTRY, 1, 20)));
    CU_ASSERT_TRUE(pending_next(pendings, 7, 0, &seven) && pending_next(pendings, 64 + 7, 0, &other));
    pending_done(pendings, seven.number);
    CU_ASSERT_FALSE(pending_has(pendings, 7));
    CU_ASSERT_TRUE(pending_has(pendings, 64 + 7));
    CU_ASSERT_EQUAL(pending_count(pendings, 64 + 7), 1);
    pending_done(pendings, other.number);
    CU_ASSERT_TRUE(atomic_load(&pendings->waiting) == UINT64_C(1) << 63);
    CU_ASSERT_TRUE(pending_has(pendings, 63));
    end(pendings);
}

static void test_kept_in_a_file(void) {
    struct pendings *pendings = make();
    struct pending pending;
    CU_ASSERT_TRUE(add(pendings, of(7, STORE_ENTRY, 1, 20)));
    CU_ASSERT_TRUE(add(pendings, of(7, STORE_GENERATION, 1, 20)));
    pendings_setup(pendings, false);
    CU_ASSERT_EQUAL(pending_count(pendings, 7), 2);
    CU_ASSERT_TRUE(pending_next(pendings, 7, 0, &pending));
    uint64_t last = pending.number;
    CU_ASSERT_TRUE(pending_next(pendings, 7, last, &pending));
    last = pending.number;
    CU_ASSERT_TRUE(add(pendings, of(8, STORE_ENTRY, 1, 20)));
    CU_ASSERT_TRUE(pending_next(pendings, 8, last, &pending)); /* numbers go on */
    end(pendings);
}

static void test_last_purge(void) {
    struct pendings *pendings = make();
    CU_ASSERT_EQUAL(pending_last_purge(pendings), 0);
    CU_ASSERT_EQUAL(pending_server_purge(pendings, 7), 0);
    pending_server_has_purge(pendings, 7, 20);
    pending_server_has_purge(pendings, 7, 15); /* it had a later one */
    pending_server_has_purge(pendings, 8, 30);
    CU_ASSERT_EQUAL(pending_server_purge(pendings, 7), 20);
    CU_ASSERT_EQUAL(pending_server_purge(pendings, 8), 30);
    CU_ASSERT_EQUAL(pending_last_purge(pendings), 30);
    pending_learn_purge(pendings, 25);
    CU_ASSERT_EQUAL(pending_last_purge(pendings), 30);
    for (unsigned n = 0; n < SERVERS_MAX;
         n++) /* servers of other settings: the place of the oldest is taken */
        pending_server_has_purge(pendings, 100 + n, 1000 + n);
    CU_ASSERT_EQUAL(pending_server_purge(pendings, 7), 0);
    CU_ASSERT_EQUAL(pending_server_purge(pendings, 100 + SERVERS_MAX - 1), 1000 + SERVERS_MAX - 1);
    end(pendings);
}

/* The time of a purge goes with a purge, and waits for the server as it does, but is not counted as one. */
static void test_time_of_a_purge(void) {
    struct pendings *pendings = make();
    struct pending pending = {.server = 7, .kind = STORE_GENERATION, .epoch = 20};
    memcpy(pending.key, STORE_LAST_PURGE, STORE_KEY_LENGTH);
    CU_ASSERT_FALSE(pending_has(pendings, 7));
    CU_ASSERT_TRUE(add(pendings, pending));
    CU_ASSERT_EQUAL(pending_count(pendings, 7), 0);
    CU_ASSERT_TRUE(pending_has(pendings, 7));
    CU_ASSERT_FALSE(pending_has(pendings, 8));
    end(pendings);
}

/* Somebody is killed while he holds the lock: the others go on, with all that was acknowledged. */
static void test_holder_is_killed(void) {
    struct pendings *pendings = make();
    CU_ASSERT_TRUE(add(pendings, of(7, STORE_ENTRY, 1, 20)));
    pid_t pid = fork();
    if (pid == 0) {
        pthread_mutex_lock(&pendings->lock);
        raise(SIGKILL);
    }
    waitpid(pid, NULL, 0);
    CU_ASSERT_EQUAL(pending_count(pendings, 7), 1);
    CU_ASSERT_TRUE(add(pendings, of(7, STORE_ENTRY, 2, 20)));
    CU_ASSERT_EQUAL(pending_count(pendings, 7), 2);
    end(pendings);
}

static void test_names(void) {
    CU_ASSERT_EQUAL(pending_server("unix:/a"), pending_server("unix:/a"));
    CU_ASSERT_NOT_EQUAL(pending_server("unix:/a"), pending_server("unix:/b"));
}

static const struct unit_case CASES[] = {
    {"the last purge", test_last_purge},
    {"the time of a purge", test_time_of_a_purge},
    {"in order, each server's own", test_in_order_and_by_server},
    {"the same item again", test_the_same_again},
    {"there is no place left", test_full},
    {"which servers wait", test_which_servers_wait},
    {"a file keeps them", test_kept_in_a_file},
    {"a holder is killed", test_holder_is_killed},
    {"names of servers", test_names},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "pending", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
