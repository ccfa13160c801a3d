/* The memcached store: sizes and times, copies of generations, other clients, pending changes, names. Wrong
 * and late answers are in memcached_faults_test.c, the contract of all stores in tests/contract. */
#include <sys/mman.h>
#include <time.h>

#include "inferonce/base/log.h"
#include "memcached_rig.h"
#include "names.h"

static enum store_status remove_entry(struct rig *rig, uint64_t n, uint64_t epoch) {
    struct outcome outcome = {0, STORE_ERROR};
    struct key key = key_of(n);
    store_remove(rig->store, STORE_ENTRY, key.bytes, epoch, MINUTE_MS, done, &outcome);
    await(rig, &outcome.calls, 1);
    return outcome.status;
}

/* Turns the loop for as long. */
static void turn(struct rig *rig, uint64_t ms) {
    bool is_late = false;
    uv_timer_t timer;
    uv_timer_init(&rig->loop, &timer);
    timer.data = &is_late;
    uv_timer_start(&timer, late, ms, 0);
    while (!is_late)
        uv_run(&rig->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&rig->loop, UV_RUN_NOWAIT);
}

/* ---- sizes and times ---- */

static void test_too_large(void) {
    static char large[2 << 20];
    struct cache_server server;
    struct rig rig;
    cache_server_start_memcached(&server);
    rig_open(&rig, &server, 1, 2000);
    CU_ASSERT_EQUAL(put(&rig, STORE_ENTRY, 1, bytes_of("small"), 1, MINUTE_MS), STORE_OK);
    CU_ASSERT_EQUAL(put(&rig, STORE_ENTRY, 1, (struct bytes){large, sizeof(large)}, 1, MINUTE_MS),
                    STORE_TOO_LARGE);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_MISSING);
    CU_ASSERT_EQUAL(put(&rig, STORE_ENTRY, 1, bytes_of("small"), 1, MINUTE_MS), STORE_OK);
    CU_ASSERT_STRING_EQUAL(get(&rig, STORE_ENTRY, 1).text, "small");
    CU_ASSERT_EQUAL(errors(&rig), 0);
    rig_close(&rig);
    cache_server_end(&server);
}

static void test_lifetimes(void) {
    static const uint64_t LIFETIMES_MS[] = {500, UINT64_C(2592000000), UINT64_C(2592000001),
                                            UINT64_C(31536000000), UINT64_MAX};
    struct cache_server server;
    struct rig rig;
    cache_server_start_memcached(&server);
    rig_open(&rig, &server, 1, 2000);
    for (uint64_t i = 0; i < sizeof(LIFETIMES_MS) / sizeof(LIFETIMES_MS[0]); i++) {
        CU_ASSERT_EQUAL(put(&rig, STORE_ENTRY, i, bytes_of("here"), 1, LIFETIMES_MS[i]), STORE_OK);
        CU_ASSERT_EQUAL(put(&rig, STORE_LEASE, i, bytes_of("here"), 0, LIFETIMES_MS[i]), STORE_OK);
        CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, i).status, STORE_OK);
        CU_ASSERT_EQUAL(get(&rig, STORE_LEASE, i).status, STORE_OK);
    }
    /* The server keeps it for longer: that it was there can be told. */
    rig.clock = (struct clock){.fake = true, .wall_us = clock_wall_us(&rig.clock) + 600000};
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 0).status, STORE_EXPIRED);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_OK);
    rig_close(&rig);
    cache_server_end(&server);
}

/* The server's seconds are its own: wherever one begins, a lease and a tombstone last as long as they should.
 */
static void test_nothing_ends_early(void) {
    struct cache_server server;
    struct rig rig;
    cache_server_start_memcached(&server);
    rig_open(&rig, &server, 1, 2000);
    uint64_t began_ms[10];
    for (uint64_t n = 0; n < 10; n++) {
        struct key key = key_of(n);
        began_ms[n] = now_ms();
        CU_ASSERT_EQUAL(put(&rig, STORE_LEASE, n, bytes_of("lease"), 0, 1000), STORE_OK);
        store_remove(rig.store, STORE_ENTRY, key.bytes, 100, 1000, NULL, NULL);
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
        for (uint64_t earlier = 0; earlier <= n; earlier++) {
            enum store_status lease = get(&rig, STORE_LEASE, earlier).status;
            enum store_status old = put(&rig, STORE_ENTRY, earlier, bytes_of("old"), 99, MINUTE_MS);
            if (now_ms() - began_ms[earlier] >= 1000)
                continue; /* their time was over, or may have been */
            CU_ASSERT_EQUAL(lease, STORE_OK);
            CU_ASSERT_EQUAL(old, STORE_REFUSED);
        }
    }
    rig_close(&rig);
    cache_server_end(&server);
}

/* ---- copies of generations ---- */

#define SERVERS 3

static void three(struct cache_server servers[SERVERS], struct rig *rig) {
    for (unsigned i = 0; i < SERVERS; i++)
        cache_server_start_memcached(&servers[i]);
    rig_open(rig, servers, SERVERS, 2000);
}

static void end_three(struct cache_server servers[SERVERS], struct rig *rig) {
    rig_close(rig);
    for (unsigned i = 0; i < SERVERS; i++)
        cache_server_end(&servers[i]);
}

/* The generation as a batch with this entry finds it, of which only the entry's server is asked. */
struct pair {
    unsigned calls;
    enum store_status entry;
    uint64_t generation;
};

static void got_pair(void *user, struct store_get *gets, size_t n) {
    struct pair *pair = user;
    (void)n;
    pair->calls++;
    pair->entry = gets[0].status;
    pair->generation = gets[1].status == STORE_OK ? load_u64(gets[1].value.data) : 0;
}

static struct pair get_with_generation(struct rig *rig, uint64_t n) {
    struct pair pair = {0, STORE_ERROR, 0};
    struct key keys[] = {key_of(n), key_of(1000000)};
    struct store_get gets[] = {{.kind = STORE_ENTRY, .key = keys[0].bytes},
                               {.kind = STORE_GENERATION, .key = keys[1].bytes}};
    store_get_many(rig->store, gets, 2, got_pair, &pair);
    await(rig, &pair.calls, 1);
    return pair;
}

static void test_every_server_has_a_copy(void) {
    struct cache_server servers[SERVERS];
    struct rig rig;
    three(servers, &rig);
    CU_ASSERT_EQUAL(put_generation(&rig, 1000000, 77), STORE_OK);
    for (uint64_t n = 0; n < 50; n++)
        CU_ASSERT_EQUAL(get_with_generation(&rig, n).generation, 77);
    CU_ASSERT_EQUAL(put_generation(&rig, 1000000, 5), STORE_OK);
    for (uint64_t n = 0; n < 50; n++)
        CU_ASSERT_EQUAL(get_with_generation(&rig, n).generation, 78);
    end_three(servers, &rig);
}

/* A server that lost everything gets its copy back from the others: what they have stays visible. */
static void test_a_lost_copy_is_restored(void) {
    struct cache_server servers[SERVERS];
    struct rig rig;
    unsigned there = 0;
    three(servers, &rig);
    CU_ASSERT_EQUAL(put_generation(&rig, 1000000, 77), STORE_OK);
    for (uint64_t n = 0; n < 60; n++)
        CU_ASSERT_EQUAL(put(&rig, STORE_ENTRY, n, bytes_of("value"), 1, MINUTE_MS), STORE_OK);
    cache_server_tell(&servers[1], "flush_all\r\n");
    for (uint64_t n = 0; n < 60; n++) {
        struct pair pair = get_with_generation(&rig, n);
        CU_ASSERT_EQUAL(pair.generation, 77);
        there += pair.entry == STORE_OK;
    }
    CU_ASSERT(there >= 25 && there <= 55); /* about a third was on that server */
    end_three(servers, &rig);
}

static void test_all_copies_are_lost(void) {
    struct cache_server servers[SERVERS];
    struct rig rig;
    three(servers, &rig);
    CU_ASSERT_EQUAL(put_generation(&rig, 1000000, 77), STORE_OK);
    for (unsigned i = 0; i < SERVERS; i++)
        cache_server_tell(&servers[i], "flush_all\r\n");
    CU_ASSERT_EQUAL(get(&rig, STORE_GENERATION, 1000000).status, STORE_MISSING);
    CU_ASSERT_EQUAL(get_with_generation(&rig, 1).generation, 0);
    end_three(servers, &rig);
}

static unsigned server_of(struct rig *rig, uint64_t n) {
    char name[ITEM_NAME_MAX];
    struct key key = key_of(n);
    memcached_name(memcached_of(rig->store), STORE_ENTRY, key.bytes, name);
    return memcached_place(memcached_of(rig->store), name);
}

/* Settling a copy asks all servers: one that fails then has failed, and is probed. */
static void test_a_server_that_fails_as_copies_are_settled(void) {
    struct cache_server servers[SERVERS];
    struct rig rig;
    uint64_t n = 0;
    three(servers, &rig);
    CU_ASSERT_EQUAL(put_generation(&rig, 1000000, 77), STORE_OK);
    cache_server_tell(&servers[1], "flush_all\r\n");
    while (server_of(&rig, n) != 1)
        n++;
    cache_server_kill(&servers[2]);
    CU_ASSERT_EQUAL(get_with_generation(&rig, n).generation, 77);
    CU_ASSERT_EQUAL(errors(&rig), 1);
    cache_server_restart(&servers[2]);
    CU_ASSERT_TRUE(comes_back(&rig));
    end_three(servers, &rig);
}

/* ---- other clients of the same servers ---- */

/* libmemcached itself, as a client of its own. */
static memcached_st *other_client(const struct cache_server servers[SERVERS]) {
    memcached_st *client = memcached_create(NULL);
    for (unsigned i = 0; i < SERVERS; i++)
        memcached_server_add_unix_socket(client, servers[i].path);
    memcached_behavior_set(client, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1);
    return client;
}

static void name_of(struct rig *rig, enum store_kind kind, uint64_t n, char name[ITEM_NAME_MAX]) {
    struct key key = key_of(n);
    memcached_name(memcached_of(rig->store), kind, key.bytes, name);
}

static void test_other_clients_find_what_is_here(void) {
    struct cache_server servers[SERVERS];
    struct rig rig;
    char name[ITEM_NAME_MAX];
    three(servers, &rig);
    size_t name_length = memcached_of(rig.store)->names.length;
    memcached_st *client = other_client(servers);
    for (uint64_t n = 0; n < 100; n++) {
        size_t length = 0;
        uint32_t flags = 0;
        memcached_return_t status = MEMCACHED_FAILURE;
        CU_ASSERT_EQUAL(put(&rig, STORE_LEASE, n, bytes_of("ours"), 0, MINUTE_MS), STORE_OK);
        name_of(&rig, STORE_LEASE, n, name);
        char *value = memcached_get(client, name, name_length, &length, &flags, &status);
        CU_ASSERT_TRUE(bytes_equal((struct bytes){value, length}, bytes_of("ours")));
        free(value);
        name_of(&rig, STORE_OUTCOME, n, name);
        CU_ASSERT_EQUAL(memcached_set(client, name, name_length, "theirs", 6, 0, 0), MEMCACHED_SUCCESS);
        CU_ASSERT_STRING_EQUAL(get(&rig, STORE_OUTCOME, n).text, "theirs");
    }
    memcached_free(client);
    end_three(servers, &rig);
}

/* ---- what is pending ---- */

static void say_error_to_writes(int connection, const char *asked) {
    say_to_each(connection, asked, "ERROR\r\n");
}

/* It is probed again as soon as after any failure. */
static void test_a_failure_while_told_is_one_failure(void) {
    struct cache_server server;
    struct rig rig;
    cache_server_start_liar(&server, say_error_to_writes);
    rig_open(&rig, &server, 1, 2000);
    struct pending pending = {.server = pending_server(server.address), .kind = STORE_GENERATION, .epoch = 5};
    CU_ASSERT_TRUE(pending_add(&rig.pendings, &pending));
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_ERROR);
    turn(&rig, 100);
    CU_ASSERT_EQUAL(memcached_of(rig.store)->servers[0].remote.breaker.pause_us, 1000000);
    rig_close(&rig);
    cache_server_end(&server);
}

/* The old copy that stands in a server which could not be told is raised before the server is used. */
static void test_a_purge_is_pending(void) {
    struct cache_server servers[SERVERS];
    struct rig rig;
    three(servers, &rig);
    CU_ASSERT_EQUAL(put_generation(&rig, 1000000, 77), STORE_OK);
    rig_close(&rig);
    rig_open(&rig, servers, SERVERS, TIMEOUT_MS);
    cache_server_halt(&servers[2]);
    CU_ASSERT_EQUAL(put_generation(&rig, 1000000, 80), STORE_PENDING);
    CU_ASSERT_TRUE(pending_any(&rig.pendings));
    cache_server_continue(&servers[2]);
    CU_ASSERT_TRUE(comes_back(&rig));
    CU_ASSERT(rig.returns >= 1);
    CU_ASSERT_FALSE(rig.pending_at_return);
    CU_ASSERT_FALSE(pending_any(&rig.pendings));
    for (uint64_t n = 0; n < 20; n++)
        CU_ASSERT(get_with_generation(&rig, n).generation >= 80);
    end_three(servers, &rig);
}

static void test_a_removal_is_pending(void) {
    struct cache_server server;
    struct rig rig;
    cache_server_start_memcached(&server);
    rig_open(&rig, &server, 1, TIMEOUT_MS);
    CU_ASSERT_EQUAL(put(&rig, STORE_ENTRY, 1, bytes_of("old"), 100, MINUTE_MS), STORE_OK);
    cache_server_halt(&server);
    CU_ASSERT_EQUAL(remove_entry(&rig, 1, 200), STORE_PENDING);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_ERROR);
    cache_server_continue(&server);
    CU_ASSERT_TRUE(comes_back(&rig));
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_TOMBSTONE);
    CU_ASSERT_EQUAL(put(&rig, STORE_ENTRY, 1, bytes_of("was in flight"), 199, MINUTE_MS), STORE_REFUSED);
    CU_ASSERT_EQUAL(put(&rig, STORE_ENTRY, 1, bytes_of("afterwards"), 200, MINUTE_MS), STORE_OK);
    rig_close(&rig);
    cache_server_end(&server);
}

/* Another worker could not tell the server; this one, for which it answers, does not use it before it has. */
static void test_pending_of_another_worker(void) {
    struct cache_server server;
    struct rig rig;
    cache_server_start_memcached(&server);
    rig_open(&rig, &server, 1, 2000);
    CU_ASSERT_EQUAL(put(&rig, STORE_ENTRY, 1, bytes_of("old"), 100, MINUTE_MS), STORE_OK);
    struct pending pending = {
        .server = pending_server(server.address), .kind = STORE_ENTRY, .epoch = 200, .tombstone_ms = 10000};
    struct key key = key_of(1);
    memcpy(pending.key, key.bytes, sizeof(pending.key));
    CU_ASSERT_TRUE(pending_add(&rig.pendings, &pending));
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_ERROR);
    CU_ASSERT_TRUE(comes_back(&rig));
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_TOMBSTONE);
    CU_ASSERT_FALSE(pending_any(&rig.pendings));
    rig_close(&rig);
    cache_server_end(&server);
}

/* Its copy is greater than what was asked for: entries that are visible under it must not be any more. */
static void test_a_pending_purge_of_a_greater_generation(void) {
    struct cache_server server;
    struct rig rig;
    cache_server_start_memcached(&server);
    rig_open(&rig, &server, 1, 2000);
    CU_ASSERT_EQUAL(put_generation(&rig, 1000000, 90), STORE_OK);
    struct pending pending = {
        .server = pending_server(server.address), .kind = STORE_GENERATION, .epoch = 80};
    struct key key = key_of(1000000);
    memcpy(pending.key, key.bytes, sizeof(pending.key));
    CU_ASSERT_TRUE(pending_add(&rig.pendings, &pending));
    CU_ASSERT_EQUAL(get(&rig, STORE_GENERATION, 1000000).status, STORE_ERROR);
    CU_ASSERT_TRUE(comes_back(&rig));
    CU_ASSERT_EQUAL(get(&rig, STORE_GENERATION, 1000000).number, 91);
    rig_close(&rig);
    cache_server_end(&server);
}

/* ---- names ---- */

static void start_on_tcp(struct cache_server *server) {
    cache_servers_on_tcp(true);
    cache_server_start_memcached(server);
    cache_servers_on_tcp(false);
}

static void rig_open_by_name(struct rig *rig, const struct cache_server *server) {
    char text[64];
    snprintf(text, sizeof(text), "cache.test:%u", server->port);
    rig_open_on(rig, text, 2000);
}

/* How often the log, which is read from its beginning, has this. */
static unsigned logged(int log, const char *what) {
    static char text[65536];
    unsigned n = 0;
    ssize_t length = pread(log, text, sizeof(text) - 1, 0);
    text[length > 0 ? length : 0] = '\0';
    for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
        n++;
    return n;
}

/* A name that nobody knows is a server that is away, until somebody does. */
static void test_a_name_nobody_knows(void) {
    struct cache_server server;
    struct rig rig;
    int log = memfd_create("log", MFD_CLOEXEC);
    start_on_tcp(&server);
    names_set("cache.test", NULL);
    log_setup(LOG_INFO, LOG_LOGFMT, log);
    rig_open_by_name(&rig, &server);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_ERROR);
    CU_ASSERT_EQUAL(put(&rig, STORE_ENTRY, 1, bytes_of("value"), 1, MINUTE_MS), STORE_ERROR);
    CU_ASSERT_EQUAL(remove_entry(&rig, 2, 1), STORE_PENDING);
    CU_ASSERT_EQUAL(errors(&rig), 3);
    unsigned before = names_asked();
    for (unsigned turns = 0; names_asked() == before && turns < 50; turns++) /* until the first probe */
        turn(&rig, 100);
    turn(&rig, 100);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_ERROR);
    CU_ASSERT_EQUAL(logged(log, "event=cache_server_down"), 1);
    names_set("cache.test", "127.0.0.1");
    CU_ASSERT_TRUE(comes_back(&rig));
    CU_ASSERT_EQUAL(put(&rig, STORE_ENTRY, 1, bytes_of("value"), 1, MINUTE_MS), STORE_OK);
    CU_ASSERT_STRING_EQUAL(get(&rig, STORE_ENTRY, 1).text, "value");
    CU_ASSERT_EQUAL(logged(log, "event=cache_server_down"), 1);
    CU_ASSERT_EQUAL(logged(log, "event=cache_server_up"), 1);
    CU_ASSERT_EQUAL(names_asked_by_loop(), 0);
    log_setup(LOG_INFO, LOG_LOGFMT, STDERR_FILENO);
    rig_close(&rig);
    cache_server_end(&server);
    close(log);
}

static void test_a_server_that_moves(void) {
    struct cache_server server;
    struct rig rig;
    start_on_tcp(&server);
    names_set("cache.test", "127.0.0.9");
    rig_open_by_name(&rig, &server);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_ERROR); /* nobody listens there */
    names_set("cache.test", "127.0.0.1");
    CU_ASSERT_TRUE(comes_back(&rig));
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_MISSING);
    /* A name server that is away takes no cache server with it. */
    names_set("cache.test", NULL);
    cache_server_restart(&server);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_ERROR);
    CU_ASSERT_TRUE(comes_back(&rig));
    CU_ASSERT_EQUAL(names_asked_by_loop(), 0);
    rig_close(&rig);
    cache_server_end(&server);
}

/* The start waits for a name server, but not for long; the loop and the end do not. */
static void test_silent_name_servers(void) {
    struct rig rig;
    names_silent(true);
    uint64_t began_ms = now_ms();
    rig_open_on(&rig, "a.test:11211,b.test:11211,c.test:11211", 2000);
    uint64_t opened_ms = now_ms();
    CU_ASSERT(opened_ms - began_ms >= RESOLVER_START_MS);
    CU_ASSERT(opened_ms - began_ms < 2 * RESOLVER_START_MS);
    turn(&rig, RESOLVER_START_MS + 100); /* probes are due */
    for (uint64_t n = 0; n < 30; n++)
        CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, n).status, STORE_ERROR);
    rig_close(&rig);
    CU_ASSERT(now_ms() - opened_ms < 3 * RESOLVER_START_MS);
    CU_ASSERT_EQUAL(names_asked_by_loop(), 0);
    names_silent(false);
}

/* Hosts that know different names, or have different addresses for them, look for a key at the same server.
 */
static void test_placement_is_by_name(void) {
    static const char LIST[] = "a.test:11211,b.test:11211,c.test:11211";
    struct rig rigs[3];
    for (unsigned i = 0; i < 3; i++) {
        names_set(i == 1 ? "b.test" : "c.test", i == 0 ? NULL : "127.0.0.1");
        rig_open_on(&rigs[i], LIST, TIMEOUT_MS);
    }
    unsigned of_each[3] = {0};
    for (uint64_t n = 0; n < 300; n++) {
        unsigned server = server_of(&rigs[0], n);
        of_each[server]++;
        for (unsigned i = 1; i < 3; i++)
            CU_ASSERT_EQUAL(server_of(&rigs[i], n), server);
    }
    for (unsigned i = 0; i < 3; i++) {
        CU_ASSERT(of_each[i] > 50);
        rig_close(&rigs[i]);
    }
    CU_ASSERT_EQUAL(names_asked_by_loop(), 0);
}

static const struct unit_case CASES[] = {
    {"too large for the server", test_too_large},
    {"short, long and endless lifetimes", test_lifetimes},
    {"nothing ends early", test_nothing_ends_early},
    {"every server has a copy of a generation", test_every_server_has_a_copy},
    {"a lost copy is restored", test_a_lost_copy_is_restored},
    {"all copies are lost", test_all_copies_are_lost},
    {"a server that fails as copies are settled", test_a_server_that_fails_as_copies_are_settled},
    {"other clients find what is here, and the other way round", test_other_clients_find_what_is_here},
    {"a failure while it is told is one failure", test_a_failure_while_told_is_one_failure},
    {"a purge waits for a server", test_a_purge_is_pending},
    {"a removal waits for a server", test_a_removal_is_pending},
    {"what another worker could not tell", test_pending_of_another_worker},
    {"a pending purge of a greater generation", test_a_pending_purge_of_a_greater_generation},
    {"a name that nobody knows", test_a_name_nobody_knows},
    {"a server that moves", test_a_server_that_moves},
    {"silent name servers", test_silent_name_servers},
    {"placement is by name", test_placement_is_by_name},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "memcached", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
