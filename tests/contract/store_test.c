/* The contract of store/store.h, for every backend alike. A backend is a row of BACKENDS; one that completes
 * later does so on the rig's loop, which every operation here runs until it is done. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "cache_server.h"
#include "inferonce/store/memory.h"
#include "inferonce/store/store.h"
#include "store/backend.h"
#include "unit.h"

#define WORKERS     2
#define DEADLINE_MS 5000
#define MINUTE_MS   60000

struct rig {
    struct settings settings;
    struct clock clock;
    struct shared shared;
    uv_loop_t loop;
    struct turn *turn;
    struct context context[WORKERS];
    char path[512];               /* of a file, or empty */
    struct store *store[WORKERS]; /* as each worker has it */
    struct cache_server servers[3];
    unsigned n_servers;
};

/* setup     fills settings and shared; the stores are opened afterwards
 * advance   lets `ms` milliseconds pass
 * one       what one worker writes the others read
 * remote    it is on servers: time is the real one, figures are the servers' and come later */
struct backend {
    const char *name;
    void (*setup)(struct rig *rig);
    void (*advance)(struct rig *rig, uint64_t ms);
    void (*teardown)(struct rig *rig);
    bool one;
    bool remote;
};

static const struct backend *backend;

static void need(bool condition, const char *what) {
    if (condition)
        return;
    fprintf(stderr, "store: cannot set up: %s\n", what);
    exit(2);
}

/* ---- memory ---- */

static void memory_map(struct rig *rig) {
    struct error error = {""};
    struct memory_layout layout = memory_layout_of(&rig->settings, WORKERS);
    rig->clock = (struct clock){.fake = true, .monotonic_us = 1000000, .wall_us = 1700000000000000};
    need(shared_create(&rig->shared, WORKERS, rig->path, memory_region_bytes(&layout),
                       memory_region_tag(&layout), &error),
         error.text);
    size_t wiped = memory_region_setup(rig->shared.region, &layout, rig->shared.fresh, &rig->clock);
    need(wiped == 0, "a shard was wiped");
    shared_ready(&rig->shared);
}

static void memory_per_worker(struct rig *rig) {
    rig->settings.cache_scope = CACHE_SCOPE_WORKER;
    memory_map(rig);
}

static void memory_in_file(struct rig *rig) {
    const char *folder = getenv("TMPDIR");
    snprintf(rig->path, sizeof(rig->path), "%s/inferonce-store-test-XXXXXX", folder ? folder : "/tmp");
    int descriptor = mkstemp(rig->path);
    need(descriptor >= 0, "a temporary file");
    close(descriptor);
    memory_map(rig);
}

static void memory_advance(struct rig *rig, uint64_t ms) {
    rig->clock.monotonic_us += ms * 1000;
    rig->clock.wall_us += ms * 1000;
}

static void memory_teardown(struct rig *rig) {
    shared_destroy(&rig->shared);
    if (rig->path[0])
        unlink(rig->path);
}

/* ---- servers ---- */

static void remote_setup(struct rig *rig) {
    rig->settings.store_timeout_ms = 2000; /* a busy machine is not what is tested here */
    memory_map(rig);
    rig->clock.fake = false;
}

static void memcached_setup(struct rig *rig, unsigned n, bool on_tcp) {
    size_t length = 0;
    cache_servers_on_tcp(on_tcp);
    for (unsigned i = 0; i < n; i++) {
        cache_server_start_memcached(&rig->servers[i]);
        length += (size_t)snprintf(rig->settings.memcached_servers + length,
                                   sizeof(rig->settings.memcached_servers) - length, "%s%s", i > 0 ? "," : "",
                                   rig->servers[i].address);
    }
    rig->n_servers = n;
    rig->settings.cache_backend = CACHE_BACKEND_MEMCACHED;
    remote_setup(rig);
}

static void memcached_one(struct rig *rig) {
    memcached_setup(rig, 1, false);
}

static void memcached_three(struct rig *rig) {
    memcached_setup(rig, 3, false);
}

static void memcached_one_on_tcp(struct rig *rig) {
    memcached_setup(rig, 1, true);
}

static void memcached_three_on_tcp(struct rig *rig) {
    memcached_setup(rig, 3, true);
}

static void redis_setup(struct rig *rig, bool on_tcp) {
    cache_servers_on_tcp(on_tcp);
    cache_server_start_redis(&rig->servers[0], "open sesame");
    rig->n_servers = 1;
    rig->settings.cache_backend = CACHE_BACKEND_REDIS;
    remote_setup(rig);
}

static void redis_one(struct rig *rig) {
    redis_setup(rig, false);
    snprintf(rig->settings.redis_url, sizeof(rig->settings.redis_url), "unix://:open%%20sesame@%s",
             rig->servers[0].path);
}

/* With a user, and in a database of its own. */
static void redis_on_tcp(struct rig *rig) {
    redis_setup(rig, true);
    snprintf(rig->settings.redis_url, sizeof(rig->settings.redis_url), "redis://default:open%%20sesame@%s/7",
             rig->servers[0].address);
}

/* Servers have clocks of their own. */
static void remote_advance(struct rig *rig, uint64_t ms) {
    struct timespec pause = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)rig;
    nanosleep(&pause, NULL);
}

static void remote_teardown(struct rig *rig) {
    for (unsigned i = 0; i < rig->n_servers; i++)
        cache_server_end(&rig->servers[i]);
    memory_teardown(rig);
}

static const struct backend BACKENDS[] = {
    {"store: memory, shared", memory_map, memory_advance, memory_teardown, true, false},
    {"store: memory, per worker", memory_per_worker, memory_advance, memory_teardown, false, false},
    {"store: memory, in a file", memory_in_file, memory_advance, memory_teardown, true, false},
    {"store: memcached, one server", memcached_one, remote_advance, remote_teardown, true, true},
    {"store: memcached, three servers", memcached_three, remote_advance, remote_teardown, true, true},
    {"store: Redis", redis_one, remote_advance, remote_teardown, true, true},
    {"store: memcached on TCP, one server", memcached_one_on_tcp, remote_advance, remote_teardown, true,
     true},
    {"store: memcached on TCP, three servers", memcached_three_on_tcp, remote_advance, remote_teardown, true,
     true},
    {"store: Redis on TCP, database 7", redis_on_tcp, remote_advance, remote_teardown, true, true},
};

/* ---- rig ---- */

static void rig_open(struct rig *rig) {
    *rig = (struct rig){.path = ""};
    settings_defaults(&rig->settings);
    need(uv_loop_init(&rig->loop) == 0, "a loop");
    rig->turn = turn_create(&rig->loop, NULL);
    need(rig->turn != NULL, "turns of the loop");
    backend->setup(rig);
    for (unsigned slot = 0; slot < WORKERS; slot++) {
        rig->context[slot] = (struct context){
            &rig->settings, &rig->shared, slot, &rig->loop, &rig->clock, &rig->shared.stats[slot], rig->turn};
        struct error error = {""};
        rig->store[slot] = store_open(&rig->context[slot], &error);
        need(rig->store[slot] != NULL, error.text);
    }
}

static void rig_close(struct rig *rig) {
    for (unsigned slot = 0; slot < WORKERS; slot++) {
        store_close(&rig->store[slot]);
        CU_ASSERT_PTR_NULL(rig->store[slot]);
    }
    turn_destroy(&rig->turn);
    backend->teardown(rig);
    uv_run(&rig->loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(uv_loop_close(&rig->loop), 0);
}

static void timed_out(uv_timer_t *timer) {
    *(bool *)timer->data = true;
}

/* Runs the loop until `calls` is 1; the test fails when it is not in time, or is called again. */
static void await(struct rig *rig, const unsigned *calls) {
    bool late = false;
    uv_timer_t timer;
    uv_timer_init(&rig->loop, &timer);
    timer.data = &late;
    uv_timer_start(&timer, timed_out, DEADLINE_MS, 0);
    while (*calls == 0 && !late)
        uv_run(&rig->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&rig->loop, UV_RUN_NOWAIT);
    CU_ASSERT_EQUAL(*calls, 1);
}

struct outcome {
    unsigned calls;
    enum store_status status;
};

static void completed(void *user, enum store_status status) {
    struct outcome *outcome = user;
    outcome->calls++;
    outcome->status = status;
}

struct key {
    uint8_t bytes[STORE_KEY_LENGTH];
};

/* As uniform as a digest (splitmix64). */
static struct key key_of(uint64_t n) {
    struct key key;
    for (unsigned i = 0; i < 4; i++) {
        uint64_t word = (4 * n + i) * UINT64_C(0x9e3779b97f4a7c15);
        word = (word ^ (word >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        word = (word ^ (word >> 27)) * UINT64_C(0x94d049bb133111eb);
        memcpy(key.bytes + 8 * i, &word, 8);
    }
    return key;
}

static enum store_status put_by(struct rig *rig, unsigned slot, enum store_kind kind, uint64_t n,
                                struct bytes value, uint64_t epoch, uint64_t ttl_ms) {
    struct outcome outcome = {0};
    struct key key = key_of(n);
    struct store_item item = {
        .kind = kind, .key = key.bytes, .value = value, .epoch = epoch, .ttl_ms = ttl_ms};
    store_put(rig->store[slot], &item, completed, &outcome);
    await(rig, &outcome.calls);
    return outcome.status;
}

static enum store_status put(struct rig *rig, uint64_t n, const char *value, uint64_t epoch) {
    return put_by(rig, 0, STORE_ENTRY, n, bytes_of(value), epoch, MINUTE_MS);
}

static enum store_status add(struct rig *rig, enum store_kind kind, uint64_t n, struct bytes value,
                             uint64_t ttl_ms) {
    struct outcome outcome = {0};
    struct key key = key_of(n);
    struct store_item item = {.kind = kind, .key = key.bytes, .value = value, .ttl_ms = ttl_ms};
    store_add(rig->store[0], &item, completed, &outcome);
    await(rig, &outcome.calls);
    return outcome.status;
}

static enum store_status remove_by(struct rig *rig, unsigned slot, enum store_kind kind, uint64_t n,
                                   uint64_t epoch, uint64_t tombstone_ms) {
    struct outcome outcome = {0};
    struct key key = key_of(n);
    store_remove(rig->store[slot], kind, key.bytes, epoch, tombstone_ms, completed, &outcome);
    await(rig, &outcome.calls);
    return outcome.status;
}

static void looked_at(void *user, struct store_get *gets, size_t n) {
    struct outcome *outcome = user;
    (void)gets;
    (void)n;
    outcome->calls++;
}

#define GOT_MAX 300000

struct got {
    unsigned calls;
    enum store_status status;
    uint64_t epoch;
    size_t length;
    char value[GOT_MAX];
};

static void got_one(void *user, struct store_get *gets, size_t n) {
    struct got *got = user;
    got->calls++;
    CU_ASSERT_EQUAL(n, 1);
    got->status = gets[0].status;
    got->epoch = gets[0].epoch;
    got->length = gets[0].value.length;
    CU_ASSERT(got->length <= GOT_MAX);
    if (got->length > 0 && got->length <= GOT_MAX)
        memcpy(got->value, gets[0].value.data, got->length);
}

static struct got got; /* of the last get_by */

static enum store_status get_by(struct rig *rig, unsigned slot, enum store_kind kind, uint64_t n) {
    struct key key = key_of(n);
    struct store_get get = {.kind = kind, .key = key.bytes};
    got = (struct got){0};
    store_get_many(rig->store[slot], &get, 1, got_one, &got);
    await(rig, &got.calls);
    return got.status;
}

static enum store_status get(struct rig *rig, enum store_kind kind, uint64_t n) {
    return get_by(rig, 0, kind, n);
}

static bool got_is(const char *value) {
    return got.status == STORE_OK && bytes_equal((struct bytes){got.value, got.length}, bytes_of(value));
}

/* ---- entries ---- */

static void test_nothing(void) {
    struct rig rig;
    rig_open(&rig);
    for (enum store_kind kind = STORE_ENTRY; kind <= STORE_GENERATION; kind++) {
        CU_ASSERT_EQUAL(get(&rig, kind, 1), STORE_MISSING);
        CU_ASSERT_EQUAL(got.epoch, 0);
        CU_ASSERT_EQUAL(got.length, 0);
        CU_ASSERT_EQUAL(remove_by(&rig, 0, kind, 1, 0, 0), STORE_MISSING);
        CU_ASSERT_EQUAL(get(&rig, kind, 1), STORE_MISSING);
    }
    rig_close(&rig);
}

static void test_put_and_get(void) {
    struct rig rig;
    rig_open(&rig);
    CU_ASSERT_EQUAL(put(&rig, 1, "first", 7), STORE_OK);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1), STORE_OK);
    CU_ASSERT_TRUE(got_is("first"));
    CU_ASSERT_EQUAL(got.epoch, 7);
    CU_ASSERT_EQUAL(put(&rig, 1, "the second, which is longer", 7), STORE_OK);
    get(&rig, STORE_ENTRY, 1);
    CU_ASSERT_TRUE(got_is("the second, which is longer"));
    CU_ASSERT_EQUAL(put(&rig, 1, "3rd", 8), STORE_OK);
    get(&rig, STORE_ENTRY, 1);
    CU_ASSERT_TRUE(got_is("3rd"));
    CU_ASSERT_EQUAL(got.epoch, 8);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 2), STORE_MISSING);
    rig_close(&rig);
}

/* Every byte there is, and many of them. */
static void test_any_bytes(void) {
    static char value[GOT_MAX];
    static const size_t LENGTHS[] = {1, 7, 8, 9, 255, 256, 4096, 65536, GOT_MAX};
    struct rig rig;
    rig_open(&rig);
    for (size_t i = 0; i < sizeof(value); i++)
        value[i] = (char)(i * 7 + i / 256);
    for (size_t i = 0; i < sizeof(LENGTHS) / sizeof(LENGTHS[0]); i++) {
        struct bytes bytes = {value + sizeof(value) - LENGTHS[i], LENGTHS[i]};
        CU_ASSERT_EQUAL(put_by(&rig, 0, STORE_ENTRY, i, bytes, 0, MINUTE_MS), STORE_OK);
        CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, i), STORE_OK);
        CU_ASSERT_TRUE(bytes_equal((struct bytes){got.value, got.length}, bytes));
    }
    rig_close(&rig);
}

static void test_epochs(void) {
    struct rig rig;
    rig_open(&rig);
    CU_ASSERT_EQUAL(put(&rig, 1, "new", 100), STORE_OK);
    CU_ASSERT_EQUAL(put(&rig, 1, "old", 99), STORE_REFUSED);
    get(&rig, STORE_ENTRY, 1);
    CU_ASSERT_TRUE(got_is("new"));
    CU_ASSERT_EQUAL(got.epoch, 100);
    CU_ASSERT_EQUAL(put(&rig, 1, "same", 100), STORE_OK);
    CU_ASSERT_EQUAL(put(&rig, 1, "newer", 101), STORE_OK);
    get(&rig, STORE_ENTRY, 1);
    CU_ASSERT_TRUE(got_is("newer"));
    rig_close(&rig);
}

static void test_entry_expires(void) {
    struct rig rig;
    rig_open(&rig);
    CU_ASSERT_EQUAL(put_by(&rig, 0, STORE_ENTRY, 1, bytes_of("short"), 50, 1000), STORE_OK);
    CU_ASSERT_EQUAL(put_by(&rig, 0, STORE_ENTRY, 2, bytes_of("long"), 50, MINUTE_MS), STORE_OK);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1), STORE_OK);
    backend->advance(&rig, 2000);
    get(&rig, STORE_ENTRY, 1);
    CU_ASSERT(got.status == STORE_EXPIRED || got.status == STORE_MISSING);
    CU_ASSERT_EQUAL(got.length, 0);
    get(&rig, STORE_ENTRY, 1);
    CU_ASSERT(got.status == STORE_MISSING || backend->remote);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 2), STORE_OK);
    CU_ASSERT_EQUAL(put(&rig, 1, "older", 49), STORE_OK);
    get(&rig, STORE_ENTRY, 1);
    CU_ASSERT_TRUE(got_is("older"));
    rig_close(&rig);
}

/* ---- removal ---- */

static void test_remove(void) {
    struct rig rig;
    rig_open(&rig);
    put(&rig, 1, "value", 100);
    put(&rig, 2, "other", 100);
    CU_ASSERT_EQUAL(remove_by(&rig, 0, STORE_ENTRY, 1, 200, 10000), STORE_OK);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1), STORE_TOMBSTONE);
    CU_ASSERT_EQUAL(got.epoch, 200);
    CU_ASSERT_EQUAL(got.length, 0);
    CU_ASSERT_EQUAL(put(&rig, 1, "was in flight", 199), STORE_REFUSED);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1), STORE_TOMBSTONE);
    CU_ASSERT_EQUAL(put(&rig, 1, "began afterwards", 200), STORE_OK);
    get(&rig, STORE_ENTRY, 1);
    CU_ASSERT_TRUE(got_is("began afterwards"));
    CU_ASSERT_EQUAL(put(&rig, 1, "was in flight", 199), STORE_REFUSED);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 2), STORE_OK);
    rig_close(&rig);
}

static void test_remove_nothing(void) {
    struct rig rig;
    rig_open(&rig);
    CU_ASSERT_EQUAL(remove_by(&rig, 0, STORE_ENTRY, 1, 200, 10000), STORE_MISSING);
    CU_ASSERT_EQUAL(put(&rig, 1, "was in flight", 199), STORE_REFUSED);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1), STORE_TOMBSTONE);
    CU_ASSERT_EQUAL(got.epoch, 200);
    CU_ASSERT_EQUAL(remove_by(&rig, 0, STORE_ENTRY, 1, 300, 10000), STORE_MISSING);
    CU_ASSERT_EQUAL(put(&rig, 1, "was in flight", 200), STORE_REFUSED);
    rig_close(&rig);
}

/* Two removals, the second by a clock that is behind: what began between them is refused nevertheless. */
static void test_remove_with_clock_behind(void) {
    struct rig rig;
    rig_open(&rig);
    remove_by(&rig, 0, STORE_ENTRY, 1, 500, 10000);
    CU_ASSERT_EQUAL(put(&rig, 1, "between", 500), STORE_OK);
    CU_ASSERT_EQUAL(remove_by(&rig, 0, STORE_ENTRY, 1, 400, 10000), STORE_OK);
    CU_ASSERT_EQUAL(put(&rig, 1, "between", 500), STORE_REFUSED);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1), STORE_TOMBSTONE);
    CU_ASSERT(got.epoch > 500);
    CU_ASSERT_EQUAL(put(&rig, 1, "afterwards", got.epoch), STORE_OK);
    put(&rig, 2, "of a clock ahead", 500);
    CU_ASSERT_EQUAL(remove_by(&rig, 0, STORE_ENTRY, 2, 400, 10000), STORE_OK);
    CU_ASSERT_EQUAL(put(&rig, 2, "of a clock ahead", 500), STORE_REFUSED);
    remove_by(&rig, 0, STORE_ENTRY, 3, 500, 10000);
    CU_ASSERT_EQUAL(remove_by(&rig, 0, STORE_ENTRY, 3, 400, 10000), STORE_MISSING);
    CU_ASSERT_EQUAL(put(&rig, 3, "between", 500), STORE_REFUSED);
    rig_close(&rig);
}

static void test_tombstone_expires(void) {
    struct rig rig;
    rig_open(&rig);
    remove_by(&rig, 0, STORE_ENTRY, 1, 200, 1000);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1), STORE_TOMBSTONE);
    backend->advance(&rig, backend->remote ? 3200 : 2000); /* memcached counts in seconds */
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1), STORE_MISSING);
    CU_ASSERT_EQUAL(put(&rig, 1, "value", 0), STORE_OK);
    rig_close(&rig);
}

static void test_remove_without_tombstone(void) {
    struct rig rig;
    rig_open(&rig);
    put(&rig, 1, "value", 100);
    CU_ASSERT_EQUAL(remove_by(&rig, 0, STORE_ENTRY, 1, 200, 0), STORE_OK);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1), STORE_MISSING);
    CU_ASSERT_EQUAL(put(&rig, 1, "again", 100), STORE_OK);
    rig_close(&rig);
}

static void test_sweep(void) {
    struct rig rig;
    rig_open(&rig);
    for (uint64_t n = 0; n < 40; n++) {
        struct outcome outcome = {0};
        struct key key = key_of(n);
        struct store_item item = {STORE_ENTRY,      key.bytes, bytes_of("value"),
                                  n < 30 ? 10 : 20, n % 2,     MINUTE_MS};
        store_put(rig.store[n % 4 / 2], &item, completed, &outcome);
        await(&rig, &outcome.calls);
    }
    unsigned cursor = 0;
    uint64_t removed = 0;
    while (store_sweep(rig.store[0], 1, 20, &cursor, &removed))
        CU_ASSERT(removed <= 15);
    CU_ASSERT(removed == 15 || removed == UINT64_MAX);
    for (uint64_t n = 0; n < 40; n++)
        if (n % 2 == 0 || n >= 30)
            CU_ASSERT_EQUAL(get_by(&rig, n % 4 / 2, STORE_ENTRY, n), STORE_OK);
    rig_close(&rig);
}

/* ---- leases and outcomes ---- */

static void test_add(void) {
    static const enum store_kind KINDS[] = {STORE_LEASE, STORE_OUTCOME};
    struct rig rig;
    rig_open(&rig);
    for (unsigned i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(add(&rig, KINDS[i], 1, bytes_of("mine"), MINUTE_MS), STORE_OK);
        CU_ASSERT_EQUAL(add(&rig, KINDS[i], 1, bytes_of("yours"), MINUTE_MS), STORE_EXISTS);
        CU_ASSERT_EQUAL(get(&rig, KINDS[i], 1), STORE_OK);
        CU_ASSERT_TRUE(got_is("mine"));
        CU_ASSERT_EQUAL(got.epoch, 0);
        CU_ASSERT_EQUAL(put_by(&rig, 0, KINDS[i], 1, bytes_of("replaced"), 0, MINUTE_MS), STORE_OK);
        get(&rig, KINDS[i], 1);
        CU_ASSERT_TRUE(got_is("replaced"));
        CU_ASSERT_EQUAL(remove_by(&rig, 0, KINDS[i], 1, 0, 0), STORE_OK);
        CU_ASSERT_EQUAL(remove_by(&rig, 0, KINDS[i], 1, 0, 0), STORE_MISSING);
        CU_ASSERT_EQUAL(add(&rig, KINDS[i], 1, bytes_of("yours"), MINUTE_MS), STORE_OK);
        get(&rig, KINDS[i], 1);
        CU_ASSERT_TRUE(got_is("yours"));
    }
    rig_close(&rig);
}

static void test_lease_expires(void) {
    struct rig rig;
    rig_open(&rig);
    CU_ASSERT_EQUAL(add(&rig, STORE_LEASE, 1, bytes_of("mine"), 1000), STORE_OK);
    CU_ASSERT_EQUAL(put_by(&rig, 0, STORE_OUTCOME, 2, bytes_of("failed"), 0, 1000), STORE_OK);
    backend->advance(&rig, backend->remote ? 3200 : 2000); /* memcached counts in seconds */
    CU_ASSERT_EQUAL(get(&rig, STORE_LEASE, 1), STORE_MISSING);
    CU_ASSERT_EQUAL(get(&rig, STORE_OUTCOME, 2), STORE_MISSING);
    CU_ASSERT_EQUAL(add(&rig, STORE_LEASE, 1, bytes_of("yours"), 1000), STORE_OK);
    rig_close(&rig);
}

static void test_longest_small_value(void) {
    struct rig rig;
    char value[STORE_SMALL_MAX + 1] = "";
    memset(value, 'x', STORE_SMALL_MAX);
    rig_open(&rig);
    CU_ASSERT_EQUAL(add(&rig, STORE_LEASE, 1, bytes_of(value), MINUTE_MS), STORE_OK);
    get(&rig, STORE_LEASE, 1);
    CU_ASSERT_TRUE(got_is(value));
    rig_close(&rig);
}

/* 8 bytes, little-endian. */
static struct bytes number(uint64_t n) {
    static char value[STORE_GENERATION_LENGTH];
    for (unsigned i = 0; i < sizeof(value); i++)
        value[i] = (char)(n >> (8 * i));
    return (struct bytes){value, sizeof(value)};
}

static bool got_number(uint64_t n) {
    return got.status == STORE_OK && bytes_equal((struct bytes){got.value, got.length}, number(n));
}

/* One key, four kinds: four items. */
static void test_kinds_are_apart(void) {
    struct rig rig;
    rig_open(&rig);
    CU_ASSERT_EQUAL(put(&rig, 1, "entry", 3), STORE_OK);
    CU_ASSERT_EQUAL(add(&rig, STORE_LEASE, 1, bytes_of("lease"), MINUTE_MS), STORE_OK);
    CU_ASSERT_EQUAL(add(&rig, STORE_OUTCOME, 1, bytes_of("outcome"), MINUTE_MS), STORE_OK);
    CU_ASSERT_EQUAL(add(&rig, STORE_GENERATION, 1, number(UINT64_C(1) << 51), 0), STORE_OK);
    CU_ASSERT_EQUAL(remove_by(&rig, 0, STORE_ENTRY, 1, 4, 1000), STORE_OK);
    CU_ASSERT_EQUAL(get(&rig, STORE_LEASE, 1), STORE_OK);
    CU_ASSERT_TRUE(got_is("lease"));
    CU_ASSERT_EQUAL(remove_by(&rig, 0, STORE_LEASE, 1, 0, 0), STORE_OK);
    CU_ASSERT_EQUAL(get(&rig, STORE_OUTCOME, 1), STORE_OK);
    CU_ASSERT_TRUE(got_is("outcome"));
    CU_ASSERT_EQUAL(get(&rig, STORE_GENERATION, 1), STORE_OK);
    CU_ASSERT_TRUE(got_number(UINT64_C(1) << 51));
    rig_close(&rig);
}

/* ---- generations ---- */

static void test_generation(void) {
    struct rig rig;
    rig_open(&rig);
    CU_ASSERT_EQUAL(add(&rig, STORE_GENERATION, 1, number(1000), 0), STORE_OK);
    CU_ASSERT_EQUAL(add(&rig, STORE_GENERATION, 1, number(2000), 0), STORE_EXISTS);
    get(&rig, STORE_GENERATION, 1);
    CU_ASSERT_TRUE(got_number(1000));
    /* 256 is less than 1000, though its second byte alone, and its bytes as text, are not. */
    CU_ASSERT_EQUAL(put_by(&rig, 0, STORE_GENERATION, 1, number(256), 0, 0), STORE_OK);
    get(&rig, STORE_GENERATION, 1);
    CU_ASSERT_TRUE(got_number(1001));
    CU_ASSERT_EQUAL(put_by(&rig, 0, STORE_GENERATION, 1, number(1001), 0, 0), STORE_OK);
    get(&rig, STORE_GENERATION, 1);
    CU_ASSERT_TRUE(got_number(1002));
    CU_ASSERT_EQUAL(put_by(&rig, 0, STORE_GENERATION, 1, number(UINT64_C(1) << 40), 0, 0), STORE_OK);
    get(&rig, STORE_GENERATION, 1);
    CU_ASSERT_TRUE(got_number(UINT64_C(1) << 40));
    CU_ASSERT_EQUAL(put_by(&rig, 0, STORE_GENERATION, 2, number(5), 0, 0), STORE_OK);
    get(&rig, STORE_GENERATION, 2);
    CU_ASSERT_TRUE(got_number(5));
    backend->advance(&rig, 2000);
    CU_ASSERT_EQUAL(get(&rig, STORE_GENERATION, 1), STORE_OK);
    CU_ASSERT_EQUAL(remove_by(&rig, 0, STORE_GENERATION, 1, 0, 0), STORE_OK);
    CU_ASSERT_EQUAL(get(&rig, STORE_GENERATION, 1), STORE_MISSING);
    rig_close(&rig);
}

static void test_generation_of_all_workers(void) {
    struct rig rig;
    rig_open(&rig);
    CU_ASSERT_EQUAL(put_by(&rig, 0, STORE_GENERATION, 1, number(1000), 0, 0), STORE_OK);
    CU_ASSERT_EQUAL(get_by(&rig, 1, STORE_GENERATION, 1), STORE_OK);
    CU_ASSERT_TRUE(got_number(1000));
    rig_close(&rig);
}

/* ---- batches, workers, figures ---- */

#define BATCH 100

struct batch {
    unsigned calls;
    struct store_get *gets;
};

/* For each n: an entry if n % 3 == 0, a lease if it is 1, nothing if it is 2. */
static void got_batch(void *user, struct store_get *gets, size_t n) {
    struct batch *batch = user;
    batch->calls++;
    CU_ASSERT_PTR_EQUAL(gets, batch->gets);
    CU_ASSERT_EQUAL(n, BATCH);
    for (size_t i = 0; i < n; i++) {
        char value[32];
        snprintf(value, sizeof(value), "value %zu", i);
        CU_ASSERT_EQUAL(gets[i].status, i % 3 == 2 ? STORE_MISSING : STORE_OK);
        CU_ASSERT_EQUAL(gets[i].epoch, i % 3 == 0 ? i : 0);
        CU_ASSERT_TRUE(bytes_equal(gets[i].value, i % 3 == 2 ? bytes_of(NULL) : bytes_of(value)));
    }
}

static void test_batch(void) {
    struct rig rig;
    rig_open(&rig);
    struct key keys[BATCH];
    struct store_get gets[BATCH];
    for (size_t i = 0; i < BATCH; i++) {
        char value[32];
        snprintf(value, sizeof(value), "value %zu", i);
        keys[i] = key_of(i);
        gets[i] = (struct store_get){.kind = i % 3 == 1 ? STORE_LEASE : STORE_ENTRY, .key = keys[i].bytes};
        if (i % 3 == 0)
            CU_ASSERT_EQUAL(put(&rig, i, value, i), STORE_OK);
        if (i % 3 == 1)
            CU_ASSERT_EQUAL(add(&rig, STORE_LEASE, i, bytes_of(value), MINUTE_MS), STORE_OK);
    }
    struct batch batch = {.gets = gets};
    store_get_many(rig.store[0], gets, BATCH, got_batch, &batch);
    await(&rig, &batch.calls);
    rig_close(&rig);
}

static void test_workers(void) {
    struct rig rig;
    rig_open(&rig);
    CU_ASSERT_EQUAL(put(&rig, 1, "value", 100), STORE_OK);
    CU_ASSERT_EQUAL(get_by(&rig, 1, STORE_ENTRY, 1), backend->one ? STORE_OK : STORE_MISSING);
    CU_ASSERT_EQUAL(remove_by(&rig, 1, STORE_ENTRY, 1, 200, 10000), STORE_OK);
    for (unsigned slot = 0; slot < WORKERS; slot++) {
        CU_ASSERT_EQUAL(get_by(&rig, slot, STORE_ENTRY, 1), STORE_TOMBSTONE);
        CU_ASSERT_EQUAL(put_by(&rig, slot, STORE_ENTRY, 1, bytes_of("late"), 199, MINUTE_MS), STORE_REFUSED);
    }
    rig_close(&rig);
}

/* The figures of servers, once they report at least `least` items. */
static void await_figures(struct rig *rig, uint64_t least, struct store_figures *figures) {
    uint64_t deadline_ms = uv_now(&rig->loop) + DEADLINE_MS;
    store_figures(rig->store[0], figures);
    while (backend->remote && uv_now(&rig->loop) < deadline_ms &&
           (figures->size == UINT64_MAX || figures->size < least)) {
        struct key key = key_of(0);
        struct store_get get_ = {.kind = STORE_OUTCOME, .key = key.bytes};
        struct outcome looked = {0};
        store_get_many(rig->store[0], &get_, 1, looked_at, &looked);
        await(rig, &looked.calls);
        uv_run(&rig->loop, UV_RUN_NOWAIT);
        store_figures(rig->store[0], figures);
    }
}

static void test_figures(void) {
    struct rig rig;
    struct store_figures figures;
    rig_open(&rig);
    for (uint64_t n = 0; n < 10; n++)
        put(&rig, n, "value", 0);
    put(&rig, 9, "again", 0);
    add(&rig, STORE_LEASE, 20, bytes_of("lease"), MINUTE_MS);
    add(&rig, STORE_GENERATION, 21, number(1), 0);
    remove_by(&rig, 0, STORE_ENTRY, 0, 1, 10000);
    uint64_t size = backend->remote ? 11 + 2 * (uint64_t)rig.n_servers : 9;
    await_figures(&rig, size, &figures);
    /* Servers count their items, whatever they are: entries, tombstone, lease; on each a
     * generation and the time of the last purge. */
    CU_ASSERT_EQUAL(figures.size, size);
    CU_ASSERT_EQUAL(figures.n_servers, rig.n_servers);
    CU_ASSERT(figures.max_size == rig.settings.cache_max_size || figures.max_size == UINT64_MAX);
    CU_ASSERT(figures.memory_bytes >= 9 * strlen("value"));
    CU_ASSERT_FALSE(figures.degraded);
    CU_ASSERT_EQUAL(shared_stat(&rig.shared, STAT_store_errors), 0);
    rig_close(&rig);
}

static void test_nobody_asks(void) {
    struct rig rig;
    rig_open(&rig);
    struct key key = key_of(1);
    struct store_item item = {STORE_ENTRY, key.bytes, bytes_of("value"), 0, 0, MINUTE_MS};
    store_put(rig.store[0], &item, NULL, NULL);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1), STORE_OK);
    item.kind = STORE_LEASE;
    store_add(rig.store[0], &item, NULL, NULL);
    CU_ASSERT_EQUAL(get(&rig, STORE_LEASE, 1), STORE_OK);
    store_remove(rig.store[0], STORE_ENTRY, key.bytes, 5, 1000, NULL, NULL);
    /* A removal that nobody waits for may take several trips to a server; a look may overtake it. */
    for (unsigned looks = 0; get(&rig, STORE_ENTRY, 1) != STORE_TOMBSTONE && looks < 100; looks++)
        CU_ASSERT_EQUAL(got.status, STORE_OK);
    CU_ASSERT_EQUAL(got.status, STORE_TOMBSTONE);
    rig_close(&rig);
}

static const struct unit_case CASES[] = {
    {"an empty store has nothing", test_nothing},
    {"what was put is got, the last one", test_put_and_get},
    {"any bytes, many bytes", test_any_bytes},
    {"a lower epoch is refused", test_epochs},
    {"an entry whose time is over is as if removed", test_entry_expires},
    {"a removed entry stays removed", test_remove},
    {"removing what is not there refuses what was in flight", test_remove_nothing},
    {"a removal holds though a clock is behind", test_remove_with_clock_behind},
    {"a tombstone lasts as long as was asked", test_tombstone_expires},
    {"a removal without a tombstone", test_remove_without_tombstone},
    {"a sweep removes nothing that can be seen", test_sweep},
    {"one of two adds succeeds", test_add},
    {"leases and outcomes expire", test_lease_expires},
    {"the longest small value", test_longest_small_value},
    {"kinds have their own items", test_kinds_are_apart},
    {"every put raises a generation", test_generation},
    {"a generation is every worker's", test_generation_of_all_workers},
    {"a batch is answered in its order, once", test_batch},
    {"a removal reaches every worker", test_workers},
    {"figures count entries", test_figures},
    {"operations whose outcome nobody asks for", test_nobody_asks},
};

int main(int argc, char *argv[]) {
    int failed = 0;
    for (size_t i = 0; i < sizeof(BACKENDS) / sizeof(BACKENDS[0]); i++) {
        backend = &BACKENDS[i];
        failed |= unit_main(argc, argv, backend->name, CASES, sizeof(CASES) / sizeof(CASES[0]));
    }
    return failed;
}
