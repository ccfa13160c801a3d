/* A Redis server that answers wrong, late or not at all, or refuses a part of the work. */
#include <unistd.h>

#include "redis_rig.h"

#define ROUNDS 5 /* the quickest counts: other programs' share of the machine must not fail a test */

/* ---- wrong and late answers ---- */

static void say(int connection, const char *text) {
    ssize_t ignored = write(connection, text, strlen(text));
    (void)ignored;
}

static void say_nothing(int connection, const char *asked) {
    (void)connection;
    (void)asked;
}

static void say_garbage(int connection, const char *asked) {
    (void)asked;
    say(connection, "what?\r\n");
}

static void say_too_little(int connection, const char *asked) {
    (void)asked;
    say(connection, "*0\r\n*0\r\n*0\r\n*0\r\n");
}

static void say_error_inside(int connection, const char *asked) {
    (void)asked;
    say(connection, "*1\r\n-ERR not now\r\n");
}

static void say_number_inside(int connection, const char *asked) {
    (void)asked;
    say(connection, "*1\r\n:1\r\n");
}

static void say_loading(int connection, const char *asked) {
    (void)asked;
    say(connection, "-LOADING Redis is loading the dataset in memory\r\n");
}

static void hang_up(int connection, const char *asked) {
    (void)connection;
    (void)asked;
    _exit(0);
}

static void misbehaves(void (*answer)(int connection, const char *asked)) {
    uint64_t quickest_ms = UINT64_MAX;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct cache_server server;
        struct rig rig;
        cache_server_start_liar(&server, answer);
        rig_open_on(&rig, &server, TIMEOUT_MS);
        uint64_t began_ms = now_ms();
        CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY).status, STORE_ERROR);
        uint64_t took_ms = now_ms() - began_ms;
        CU_ASSERT(rig.stats.value[STAT_store_errors] >= 1);
        quickest_ms = took_ms < quickest_ms ? took_ms : quickest_ms;
        CU_ASSERT_FALSE(is_used(&rig, NULL));
        struct outcome outcome = {0};
        struct store_get get_ = {.kind = STORE_ENTRY, .key = KEY};
        store_get_many(rig.store, &get_, 1, got, &outcome);
        CU_ASSERT_EQUAL(outcome.calls, 1); /* without waiting */
        CU_ASSERT_EQUAL(outcome.status, STORE_ERROR);
        rig_close(&rig);
        cache_server_end(&server);
    }
    CU_ASSERT(quickest_ms <= TIMEOUT_MS + 10);
}

static void test_silence(void) {
    misbehaves(say_nothing);
}

static void test_garbage(void) {
    misbehaves(say_garbage);
}

static void test_too_little(void) {
    misbehaves(say_too_little);
}

/* Neither a value nor nil for what was asked. */
static void test_no_answers(void) {
    misbehaves(say_error_inside);
    misbehaves(say_number_inside);
}

static void test_loading(void) {
    misbehaves(say_loading);
}

static void test_hang_up(void) {
    misbehaves(hang_up);
}

/* ---- a server that reads and refuses writes ---- */

/* Away as soon as a write is refused, whatever it still reads, and used again by itself. */
static void refuses_writes(const char *refuse, const char *allow) {
    struct cache_server server;
    struct rig rig;
    cache_server_start_redis(&server, NULL);
    rig_open_on(&rig, &server, 2000);
    CU_ASSERT_EQUAL(put(&rig, "before", 1), STORE_OK);
    cache_server_tell(&server, refuse);
    CU_ASSERT_EQUAL(put(&rig, "refused", 2), STORE_ERROR);
    CU_ASSERT_FALSE(is_used(&rig, NULL));
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY).status, STORE_ERROR);
    uint64_t until_ms = now_ms() + 1500; /* the first probe has read, and was refused */
    CU_ASSERT_TRUE(await(&rig, is_over, &until_ms));
    CU_ASSERT_FALSE(is_used(&rig, NULL));
    cache_server_tell(&server, allow);
    CU_ASSERT_TRUE(await(&rig, is_used, NULL));
    CU_ASSERT_EQUAL(rig.returns, 1);
    CU_ASSERT_EQUAL(put(&rig, "afterwards", 3), STORE_OK);
    rig_close(&rig);
    cache_server_end(&server);
}

/* maxmemory is reached, and its policy evicts nothing */
static void test_out_of_memory(void) {
    refuses_writes("CONFIG SET maxmemory-policy noeviction maxmemory 1\r\n", "CONFIG SET maxmemory 0\r\n");
}

/* READONLY: the server became a replica, as after a failover */
static void test_a_replica(void) {
    refuses_writes("REPLICAOF 127.0.0.1 1\r\n", "REPLICAOF NO ONE\r\n");
}

static void test_too_few_replicas(void) {
    refuses_writes("CONFIG SET min-replicas-to-write 1\r\n", "CONFIG SET min-replicas-to-write 0\r\n");
}

/* It answers PING, GET and SET, and not what work asks: it stays away. */
static void test_a_command_is_forbidden(void) {
    struct cache_server server;
    struct rig rig;
    cache_server_start_redis(&server, NULL);
    rig_open_on(&rig, &server, 2000);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY).status, STORE_MISSING);
    cache_server_tell(&server, "ACL SETUSER default -mget\r\n");
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY).status, STORE_ERROR);
    uint64_t until_ms = now_ms() + 3500; /* two probes */
    CU_ASSERT_TRUE(await(&rig, is_over, &until_ms));
    CU_ASSERT_FALSE(is_used(&rig, NULL));
    CU_ASSERT_EQUAL(rig.returns, 0);
    cache_server_tell(&server, "ACL SETUSER default +mget\r\n");
    CU_ASSERT_TRUE(await(&rig, is_used, NULL));
    rig_close(&rig);
    cache_server_end(&server);
}

/* Operations under way at the end are not called back. */
static void test_closed_with_work_under_way(void) {
    struct cache_server server;
    struct rig rig;
    struct outcome outcome = {0};
    struct store_get get_ = {.kind = STORE_ENTRY, .key = KEY};
    cache_server_start_liar(&server, say_nothing);
    rig_open_on(&rig, &server, 2000);
    store_get_many(rig.store, &get_, 1, got, &outcome);
    store_remove(rig.store, STORE_LEASE, KEY, 0, 0, done, &outcome);
    rig_close(&rig);
    CU_ASSERT_EQUAL(outcome.calls, 0);
    cache_server_end(&server);
}

static const struct unit_case CASES[] = {
    {"silence costs one timeout", test_silence},
    {"garbage is an error", test_garbage},
    {"fewer answers than questions are an error", test_too_little},
    {"an answer that holds none is an error", test_no_answers},
    {"a server that is loading is not used", test_loading},
    {"a connection that ends is an error", test_hang_up},
    {"out of memory", test_out_of_memory},
    {"a replica that nobody promoted", test_a_replica},
    {"too few replicas", test_too_few_replicas},
    {"a command that is forbidden", test_a_command_is_forbidden},
    {"closed with work under way", test_closed_with_work_under_way},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "redis_faults", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
