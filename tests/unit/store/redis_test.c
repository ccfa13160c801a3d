/* The particulars of the Redis store: time, servers that misbehave, credentials. The rest is the
 * contract's (tests/contract). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache_server.h"
#include "inferonce/base/little_endian.h"
#include "inferonce/base/shared.h"
#include "names.h"
#include "store/backend.h"
#include "store/redis/redis.h"
#include "store/remote/resolver.h"
#include "unit.h"

#define TIMEOUT_MS  50
#define DEADLINE_MS 10000
#define MINUTE_MS   60000
#define ROUNDS      5 /* the quickest counts: other programs' share of the machine must not fail a test */

struct rig {
    struct settings settings;
    struct clock clock;
    struct stats stats;
    struct pendings pendings;
    uv_loop_t loop;
    struct shared_slot slot;
    struct shared shared;
    struct context context;
    struct store *store;
    unsigned returns;
};

static void returned(void *user) {
    ((struct rig *)user)->returns++;
}

static void rig_open(struct rig *rig, const char *url, uint64_t timeout_ms) {
    struct error error = {""};
    memset(rig, 0, sizeof(*rig));
    settings_defaults(&rig->settings);
    rig->settings.store_timeout_ms = timeout_ms;
    snprintf(rig->settings.redis_url, sizeof(rig->settings.redis_url), "%s", url);
    pendings_setup(&rig->pendings, true);
    uv_loop_init(&rig->loop);
    rig->shared.slots = &rig->slot;
    rig->context = (struct context){.settings = &rig->settings,
                                    .shared = &rig->shared,
                                    .loop = &rig->loop,
                                    .clock = &rig->clock,
                                    .stats = &rig->stats};
    struct remote_options remote = {.pendings = &rig->pendings, .returns = returned, .user = rig};
    rig->store = redis_open(&rig->context, &remote, &error);
    if (!rig->store) {
        fprintf(stderr, "redis: cannot set up: %s\n", error.text);
        exit(2);
    }
}

static void rig_open_on(struct rig *rig, const struct cache_server *server, uint64_t timeout_ms) {
    char url[128];
    snprintf(url, sizeof(url), "unix://%s", server->path);
    rig_open(rig, url, timeout_ms);
}

static void rig_close(struct rig *rig) {
    store_close(&rig->store);
    uv_run(&rig->loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(uv_loop_close(&rig->loop), 0);
}

static uint64_t now_ms(void) {
    const struct clock clock = {.fake = false};
    return clock_monotonic_us(&clock) / 1000;
}

/* ---- operations, each run until it is done ---- */

struct outcome {
    unsigned calls;
    enum store_status status;
    char text[64];
};

static void late(uv_timer_t *timer) {
    *(bool *)timer->data = true;
}

typedef bool (*condition)(struct rig *rig, void *of);

static bool await(struct rig *rig, condition is_met, void *of) {
    bool is_late = false;
    uv_timer_t deadline;
    uv_timer_init(&rig->loop, &deadline);
    deadline.data = &is_late;
    uv_timer_start(&deadline, late, DEADLINE_MS, 0);
    while (!is_met(rig, of) && !is_late)
        uv_run(&rig->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&deadline, NULL);
    uv_run(&rig->loop, UV_RUN_NOWAIT);
    return !is_late;
}

static bool was_called(struct rig *rig, void *of) {
    (void)rig;
    return ((struct outcome *)of)->calls > 0;
}

static bool is_used(struct rig *rig, void *of) {
    struct store_figures figures;
    (void)of;
    store_figures(rig->store, &figures);
    return !figures.degraded;
}

static bool was_asked_after(struct rig *rig, void *of) {
    (void)rig;
    return names_asked() > *(unsigned *)of;
}

static bool is_over(struct rig *rig, void *of) {
    (void)rig;
    return now_ms() >= *(uint64_t *)of;
}

static void done(void *user, enum store_status status) {
    struct outcome *outcome = user;
    outcome->calls++;
    outcome->status = status;
}

static const uint8_t KEY[STORE_KEY_LENGTH] = {1, 2, 3};

static enum store_status put(struct rig *rig, const char *value, uint64_t epoch) {
    struct outcome outcome = {0};
    struct store_item item = {
        .kind = STORE_ENTRY, .key = KEY, .value = bytes_of(value), .epoch = epoch, .ttl_ms = MINUTE_MS};
    store_put(rig->store, &item, done, &outcome);
    CU_ASSERT_TRUE(await(rig, was_called, &outcome));
    return outcome.status;
}

static enum store_status put_generation(struct rig *rig, uint64_t number) {
    struct outcome outcome = {0};
    char value[STORE_GENERATION_LENGTH];
    store_u64(value, number);
    struct store_item item = {.kind = STORE_GENERATION, .key = KEY, .value = {value, sizeof(value)}};
    store_put(rig->store, &item, done, &outcome);
    CU_ASSERT_TRUE(await(rig, was_called, &outcome));
    return outcome.status;
}

static enum store_status remove_entry(struct rig *rig, uint64_t epoch) {
    struct outcome outcome = {0};
    store_remove(rig->store, STORE_ENTRY, KEY, epoch, MINUTE_MS, done, &outcome);
    CU_ASSERT_TRUE(await(rig, was_called, &outcome));
    return outcome.status;
}

static void got(void *user, struct store_get *gets, size_t n) {
    struct outcome *outcome = user;
    (void)n;
    outcome->calls++;
    outcome->status = gets->status;
    if (gets->status == STORE_OK && gets->value.length < sizeof(outcome->text))
        memcpy(outcome->text, gets->value.data, gets->value.length);
}

static struct outcome get(struct rig *rig, enum store_kind kind) {
    struct outcome outcome = {0};
    struct store_get get_ = {.kind = kind, .key = KEY};
    store_get_many(rig->store, &get_, 1, got, &outcome);
    CU_ASSERT_TRUE(await(rig, was_called, &outcome));
    CU_ASSERT_EQUAL(outcome.calls, 1);
    return outcome;
}

/* ---- servers that misbehave ---- */

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

static void test_refused(void) {
    struct cache_server server;
    struct rig rig;
    cache_server_start_redis(&server, NULL);
    cache_server_kill(&server);
    rig_open_on(&rig, &server, TIMEOUT_MS);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY).status, STORE_ERROR);
    cache_server_restart(&server);
    CU_ASSERT_TRUE(await(&rig, is_used, NULL));
    CU_ASSERT_EQUAL(rig.returns, 1);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY).status, STORE_MISSING);
    rig_close(&rig);
    cache_server_end(&server);
}

static void test_wrong_password(void) {
    struct cache_server server;
    struct rig rig;
    char url[160];
    cache_server_start_redis(&server, "right");
    snprintf(url, sizeof(url), "unix://:wrong@%s", server.path);
    rig_open(&rig, url, 2000);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY).status, STORE_ERROR);
    CU_ASSERT_FALSE(is_used(&rig, NULL));
    rig_close(&rig);
    snprintf(url, sizeof(url), "unix://:right@%s", server.path);
    rig_open(&rig, url, 2000);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY).status, STORE_MISSING);
    rig_close(&rig);
    cache_server_end(&server);
}

/* Over TCP, where a URL has one. */
static void test_databases_are_apart(void) {
    struct cache_server server;
    struct rig rig;
    char url[160];
    cache_servers_on_tcp(true);
    cache_server_start_redis(&server, "right");
    cache_servers_on_tcp(false);
    snprintf(url, sizeof(url), "redis://default:right@%s/7", server.address);
    rig_open(&rig, url, 2000);
    CU_ASSERT_EQUAL(put(&rig, "in database 7", 100), STORE_OK);
    CU_ASSERT_STRING_EQUAL(get(&rig, STORE_ENTRY).text, "in database 7");
    rig_close(&rig);
    snprintf(url, sizeof(url), "redis://:right@%s", server.address);
    rig_open(&rig, url, 2000);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY).status, STORE_MISSING);
    rig_close(&rig);
    cache_server_end(&server);
}

static uint64_t n_pending(struct rig *rig) {
    struct store_figures figures;
    store_figures(rig->store, &figures);
    return figures.servers[0].pending;
}

static void test_halted_with_work_pending(void) {
    struct cache_server server;
    struct rig rig;
    cache_server_start_redis(&server, NULL);
    rig_open_on(&rig, &server, TIMEOUT_MS * 10);
    CU_ASSERT_EQUAL(put(&rig, "old", 100), STORE_OK);
    CU_ASSERT_EQUAL(put_generation(&rig, 500), STORE_OK);
    cache_server_halt(&server);
    CU_ASSERT_EQUAL(remove_entry(&rig, 200), STORE_PENDING);
    CU_ASSERT_EQUAL(put_generation(&rig, 600), STORE_PENDING);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY).status, STORE_ERROR);
    CU_ASSERT_EQUAL(n_pending(&rig), 2);
    cache_server_continue(&server);
    CU_ASSERT_TRUE(await(&rig, is_used, NULL));
    CU_ASSERT_FALSE(pending_any(&rig.pendings));
    CU_ASSERT(rig.returns >= 1);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY).status, STORE_TOMBSTONE);
    CU_ASSERT_EQUAL(put(&rig, "was in flight", 199), STORE_REFUSED);
    CU_ASSERT(load_u64(get(&rig, STORE_GENERATION).text) >= 600);
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

/* A name that nobody knows is a server that is away, until somebody does; and then where it has moved to. */
static void test_a_name(void) {
    struct cache_server server;
    struct rig rig;
    char url[160];
    cache_servers_on_tcp(true);
    cache_server_start_redis(&server, NULL);
    cache_servers_on_tcp(false);
    snprintf(url, sizeof(url), "redis://cache.test:%u", server.port);
    names_set("cache.test", NULL);
    rig_open(&rig, url, 2000);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY).status, STORE_ERROR);
    CU_ASSERT_EQUAL(put(&rig, "value", 1), STORE_ERROR);
    CU_ASSERT_EQUAL(remove_entry(&rig, 1), STORE_PENDING);
    CU_ASSERT_EQUAL(rig.stats.value[STAT_store_errors], 3);
    names_set("cache.test", "127.0.0.9"); /* where nobody listens */
    unsigned before = names_asked();
    CU_ASSERT_TRUE(await(&rig, was_asked_after, &before));
    uint64_t soon_ms = now_ms() + 100;
    CU_ASSERT_TRUE(await(&rig, is_over, &soon_ms));
    CU_ASSERT_FALSE(is_used(&rig, NULL));
    names_set("cache.test", "127.0.0.1");
    CU_ASSERT_TRUE(await(&rig, is_used, NULL));
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY).status, STORE_TOMBSTONE);
    CU_ASSERT_EQUAL(names_asked_by_loop(), 0);
    rig_close(&rig);
    cache_server_end(&server);
}

/* The start waits for a name server, but not for long; the loop and the end do not. */
static void test_a_silent_name_server(void) {
    struct rig rig;
    names_silent(true);
    uint64_t began_ms = now_ms();
    rig_open(&rig, "redis://cache.test", 2000);
    uint64_t opened_ms = now_ms();
    CU_ASSERT(opened_ms - began_ms >= RESOLVER_START_MS);
    CU_ASSERT(opened_ms - began_ms < 2 * RESOLVER_START_MS);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY).status, STORE_ERROR);
    rig_close(&rig);
    CU_ASSERT(now_ms() - opened_ms < RESOLVER_START_MS);
    CU_ASSERT_EQUAL(names_asked_by_loop(), 0);
    names_silent(false);
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

/* Others' keys are not read, and ours can be told from them. */
static void test_keys_have_a_prefix(void) {
    struct cache_server server;
    struct rig rig;
    cache_server_start_redis(&server, NULL);
    cache_server_tell(&server, "RPUSH o mine\r\n"); /* a list: whoever reads it as a text gets an error */
    rig_open_on(&rig, &server, 2000);
    CU_ASSERT_EQUAL(put(&rig, "value", 1), STORE_OK);
    cache_server_tell(&server,
                      "RENAMENX inferonce:e01020300000000000000000000000000000000000000000000000000000000"
                      "00 theirs\r\n");
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY).status, STORE_MISSING);
    rig_close(&rig);
    cache_server_end(&server);
}

static const struct unit_case CASES[] = {
    {"silence costs one timeout", test_silence},
    {"garbage is an error", test_garbage},
    {"fewer answers than questions are an error", test_too_little},
    {"an answer that holds none is an error", test_no_answers},
    {"a server that is loading is not used", test_loading},
    {"a connection that ends is an error", test_hang_up},
    {"refused, until it is there", test_refused},
    {"a wrong password", test_wrong_password},
    {"databases are apart", test_databases_are_apart},
    {"what waits for a halted server", test_halted_with_work_pending},
    {"a name", test_a_name},
    {"a silent name server", test_a_silent_name_server},
    {"out of memory", test_out_of_memory},
    {"a replica that nobody promoted", test_a_replica},
    {"too few replicas", test_too_few_replicas},
    {"a command that is forbidden", test_a_command_is_forbidden},
    {"keys have a prefix", test_keys_have_a_prefix},
    {"closed with work under way", test_closed_with_work_under_way},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "redis", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
