/* A store whose servers do as the test says, over a real memory store. */
#include "store/fallback.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inferonce/base/little_endian.h"
#include "inferonce/store/memory.h"
#include "store/backend.h"
#include "store/batch.h"
#include "unit.h"

#define MINUTE_MS 60000

/* Servers that hold nothing: every operation ends as is said here. */
struct servers {
    struct store store;
    struct remote_options remote;
    enum store_status status[STORE_GENERATION + 1]; /* of a get, by kind */
    enum store_status write, removal;
    bool degraded;
    bool later; /* answers when the test says so */
    store_done waiting;
    void *waiting_user;
};

static struct servers servers; /* the one that is opened */

static void servers_get(struct store *store, struct store_get *gets, size_t n, store_got got, void *user) {
    (void)store;
    for (size_t i = 0; i < n; i++)
        gets[i] = (struct store_get){
            .kind = gets[i].kind, .key = gets[i].key, .status = servers.status[gets[i].kind]};
    got(user, gets, n);
}

static void servers_write(struct store *store, const struct store_item *item, store_done done, void *user) {
    (void)store;
    (void)item;
    if (!servers.later) {
        done(user, servers.write);
        return;
    }
    servers.waiting = done;
    servers.waiting_user = user;
}

static void servers_remove(struct store *store, enum store_kind kind, const uint8_t *key, uint64_t epoch,
                           uint64_t tombstone_ms, store_done done, void *user) {
    (void)store;
    (void)kind;
    (void)key;
    (void)epoch;
    (void)tombstone_ms;
    done(user, servers.removal);
}

static void servers_figures(struct store *store, struct store_figures *figures) {
    (void)store;
    *figures = (struct store_figures){.degraded = servers.degraded, .n_servers = 1};
}

static void servers_close(struct store *store) {
    (void)store;
}

static const struct store_operations SERVERS = {.name = "servers",
                                                .get_many = servers_get,
                                                .put = servers_write,
                                                .add = servers_write,
                                                .remove = servers_remove,
                                                .figures = servers_figures,
                                                .close = servers_close};

static struct store *servers_open(const struct context *context, const struct remote_options *remote,
                                  struct error *error) {
    (void)context;
    (void)error;
    servers.store.operations = &SERVERS;
    servers.remote = *remote;
    return &servers.store;
}

struct rig {
    struct settings settings;
    struct context context;
    struct clock clock;
    struct shared shared;
    uv_loop_t loop;
    struct turn *turn;
    struct store *store;
};

/* As a worker does, the first and those that take its place. */
static void start_worker(struct rig *rig) {
    struct error error = {""};
    rig->context = (struct context){.settings = &rig->settings,
                                    .shared = &rig->shared,
                                    .clock = &rig->clock,
                                    .stats = &rig->shared.stats[0],
                                    .turn = rig->turn};
    rig->store = fallback_open(&rig->context, servers_open, &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(rig->store);
    rig->store->batches = store_batches_create(rig->store, &rig->context);
    CU_ASSERT_PTR_NOT_NULL_FATAL(rig->store->batches);
}

static void rig_open(struct rig *rig) {
    struct error error = {""};
    memset(rig, 0, sizeof(*rig));
    memset(&servers, 0, sizeof(servers));
    settings_defaults(&rig->settings);
    rig->clock = (struct clock){.fake = true, .monotonic_us = 1000000, .wall_us = 1700000000000000};
    struct memory_layout layout = memory_layout_of(&rig->settings, 1);
    if (!shared_create(&rig->shared, 1, NULL, memory_region_bytes(&layout), memory_region_tag(&layout),
                       &error)) {
        fprintf(stderr, "fallback: cannot set up: %s\n", error.text);
        exit(2);
    }
    memory_region_setup(rig->shared.region, &layout, true, &rig->clock);
    shared_ready(&rig->shared);
    CU_ASSERT_EQUAL_FATAL(uv_loop_init(&rig->loop), 0);
    rig->turn = turn_create(&rig->loop, &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(rig->turn);
    start_worker(rig);
}

static void rig_close(struct rig *rig) {
    store_close(&rig->store);
    turn_destroy(&rig->turn);
    uv_run(&rig->loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(uv_loop_close(&rig->loop), 0);
    shared_destroy(&rig->shared);
}

static void go_away(void) {
    for (unsigned kind = 0; kind <= STORE_GENERATION; kind++)
        servers.status[kind] = STORE_ERROR;
    servers.write = servers.removal = STORE_ERROR;
    servers.degraded = true;
}

static const uint8_t KEY[STORE_KEY_LENGTH] = {9, 8, 7};

static void done(void *user, enum store_status status) {
    *(enum store_status *)user = status;
}

static enum store_status put(struct rig *rig, enum store_kind kind, const char *value, bool adds) {
    enum store_status status = STORE_EXPIRED;
    struct store_item item = {
        .kind = kind, .key = KEY, .value = bytes_of(value), .epoch = 5, .ttl_ms = MINUTE_MS};
    if (kind == STORE_GENERATION)
        item.value.length = STORE_GENERATION_LENGTH; /* zeros behind the text: a small number */
    if (adds)
        store_add(rig->store, &item, done, &status);
    else
        store_put(rig->store, &item, done, &status);
    return status;
}

static void on_looked(struct store_look *look) {
    ++*(unsigned *)look->user;
}

static void look_at(struct rig *rig, struct store_look *look) {
    unsigned calls = 0;
    look->done = on_looked;
    look->user = &calls;
    store_look(rig->store, look);
    turn_end(rig->turn);
    CU_ASSERT_EQUAL(calls, 1);
}

static enum store_status get(struct rig *rig, enum store_kind kind) {
    struct store_look look = {.gets = {{.kind = kind, .key = KEY}}, .n = 1};
    look_at(rig, &look);
    return look.gets[0].status;
}

static void test_servers_are_there(void) {
    struct rig rig;
    rig_open(&rig);
    servers.status[STORE_ENTRY] = STORE_MISSING;
    servers.write = STORE_OK;
    CU_ASSERT_EQUAL(put(&rig, STORE_ENTRY, "value", false), STORE_OK);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY), STORE_MISSING);
    go_away();
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY), STORE_MISSING); /* nothing went into the memory */
    rig_close(&rig);
}

static void test_servers_are_away(void) {
    struct rig rig;
    rig_open(&rig);
    go_away();
    CU_ASSERT_EQUAL(put(&rig, STORE_ENTRY, "value", false), STORE_OK);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY), STORE_OK);
    CU_ASSERT_EQUAL(put(&rig, STORE_LEASE, "mine", true), STORE_OK);
    CU_ASSERT_EQUAL(put(&rig, STORE_LEASE, "yours", true), STORE_EXISTS);
    CU_ASSERT_EQUAL(put(&rig, STORE_GENERATION, "123\0\0\0\0", true), STORE_OK);
    CU_ASSERT_EQUAL(get(&rig, STORE_GENERATION), STORE_OK);
    rig_close(&rig);
}

/* A failure of servers that are there is passed on: what was put elsewhere would not be found. */
static void test_a_failure_alone(void) {
    struct rig rig;
    rig_open(&rig);
    servers.write = STORE_ERROR;
    CU_ASSERT_EQUAL(put(&rig, STORE_LEASE, "mine", true), STORE_ERROR);
    servers.write = STORE_TOO_LARGE;
    servers.degraded = true;
    CU_ASSERT_EQUAL(put(&rig, STORE_ENTRY, "value", false), STORE_TOO_LARGE);
    rig_close(&rig);
}

static const uint8_t OTHER_KEY[STORE_KEY_LENGTH] = {1};

static struct store_look generation_and_entry(const uint8_t *entry) {
    return (struct store_look){
        .gets = {{.kind = STORE_GENERATION, .key = KEY}, {.kind = STORE_ENTRY, .key = entry}}, .n = 2};
}

/* With the generation all of the look comes from the memory: entries of the servers were judged by another.
 */
static void test_no_generation(void) {
    struct rig rig;
    rig_open(&rig);
    go_away();
    put(&rig, STORE_ENTRY, "value", false);
    put(&rig, STORE_GENERATION, "123\0\0\0\0", true);
    servers.status[STORE_ENTRY] = STORE_MISSING;
    struct store_look look = generation_and_entry(KEY);
    look_at(&rig, &look);
    CU_ASSERT_EQUAL(look.gets[0].status, STORE_OK);
    CU_ASSERT_EQUAL(look.gets[1].status, STORE_OK);
    /* One of several servers is away: the generation is known, and what the others say counts. */
    servers.status[STORE_GENERATION] = STORE_MISSING;
    servers.status[STORE_ENTRY] = STORE_ERROR;
    look_at(&rig, &look);
    CU_ASSERT_EQUAL(look.gets[0].status, STORE_MISSING);
    CU_ASSERT_EQUAL(look.gets[1].status, STORE_OK);
    rig_close(&rig);
}

/* Another look of the same turn, which the servers can answer, is not the memory's affair. */
static void test_each_look_for_itself(void) {
    struct rig rig;
    unsigned calls = 0;
    rig_open(&rig);
    go_away();
    put(&rig, STORE_ENTRY, "value", false);
    put(&rig, STORE_GENERATION, "123\0\0\0\0", true);
    servers.status[STORE_ENTRY] = STORE_MISSING;
    struct store_look looks[2] = {generation_and_entry(OTHER_KEY),
                                  {.gets = {{.kind = STORE_ENTRY, .key = KEY}}, .n = 1}};
    for (size_t i = 0; i < 2; i++) {
        looks[i].done = on_looked;
        looks[i].user = &calls;
        store_look(rig.store, &looks[i]);
    }
    turn_end(rig.turn);
    CU_ASSERT_EQUAL(calls, 2);
    CU_ASSERT_EQUAL(looks[0].gets[0].status, STORE_OK);
    CU_ASSERT_EQUAL(looks[0].gets[1].status, STORE_MISSING);
    CU_ASSERT_EQUAL(looks[1].gets[0].status, STORE_MISSING); /* the memory has it */
    rig_close(&rig);
}

static void test_invalidations_reach_both(void) {
    struct rig rig;
    enum store_status status = STORE_EXPIRED;
    rig_open(&rig);
    go_away();
    put(&rig, STORE_ENTRY, "value", false);
    put(&rig, STORE_GENERATION, "123\0\0\0\0", true);
    servers.removal = servers.write = STORE_PENDING;
    store_remove(rig.store, STORE_ENTRY, KEY, 9, MINUTE_MS, done, &status);
    CU_ASSERT_EQUAL(status, STORE_PENDING);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY), STORE_TOMBSTONE);
    char number[STORE_GENERATION_LENGTH];
    store_u64(number, 77);
    struct store_item item = {.kind = STORE_GENERATION, .key = KEY, .value = {number, sizeof(number)}};
    store_put(rig.store, &item, done, &status);
    CU_ASSERT_EQUAL(status, STORE_PENDING);
    CU_ASSERT_EQUAL(get(&rig, STORE_GENERATION), STORE_OK);
    servers.removal = STORE_MISSING;
    store_remove(rig.store, STORE_GENERATION, KEY, 0, 0, done, &status);
    CU_ASSERT_EQUAL(status, STORE_OK); /* there was one in the memory */
    rig_close(&rig);
}

/* An invalidation that the servers can neither be told nor be told later has failed. */
static void test_invalidations_that_fail(void) {
    struct rig rig;
    enum store_status status = STORE_EXPIRED;
    rig_open(&rig);
    go_away();
    CU_ASSERT_EQUAL(put(&rig, STORE_GENERATION, "123\0\0\0\0", false), STORE_ERROR);
    store_remove(rig.store, STORE_ENTRY, KEY, 9, MINUTE_MS, done, &status);
    CU_ASSERT_EQUAL(status, STORE_ERROR);
    rig_close(&rig);
}

static void test_emptied_on_return(void) {
    struct rig rig;
    rig_open(&rig);
    go_away();
    put(&rig, STORE_ENTRY, "value", false);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY), STORE_OK);
    servers.remote.returns(servers.remote.user);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY), STORE_MISSING);
    rig_close(&rig);
}

/* The former worker of the slot would have emptied the memory when the server returned, and may have died
 * before. */
static void test_emptied_at_a_workers_start(void) {
    struct rig rig;
    rig_open(&rig);
    go_away();
    put(&rig, STORE_ENTRY, "value", false);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY), STORE_OK);
    store_close(&rig.store);
    start_worker(&rig);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY), STORE_MISSING);
    rig_close(&rig);
}

/* Servers that answer later, when what was to be written is the caller's no more. */
static void test_an_answer_that_comes_later(void) {
    struct rig rig;
    enum store_status status = STORE_EXPIRED;
    char value[] = "value";
    uint8_t key[STORE_KEY_LENGTH];
    memcpy(key, KEY, sizeof(key));
    rig_open(&rig);
    go_away();
    servers.later = true;
    struct store_item item = {
        .kind = STORE_ENTRY, .key = key, .value = bytes_of(value), .epoch = 5, .ttl_ms = MINUTE_MS};
    store_put(rig.store, &item, done, &status);
    memset(value, 'x', sizeof(value) - 1);
    memset(key, 0, sizeof(key));
    CU_ASSERT_EQUAL(status, STORE_EXPIRED);
    servers.waiting(servers.waiting_user, STORE_ERROR);
    CU_ASSERT_EQUAL(status, STORE_OK);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY), STORE_OK);
    store_put(rig.store, &item, done, &status); /* dropped with the store */
    rig_close(&rig);
}

static const struct unit_case CASES[] = {
    {"the memory is not used while servers are there", test_servers_are_there},
    {"the memory stands in", test_servers_are_away},
    {"a failure of servers that are there", test_a_failure_alone},
    {"a look without its generation", test_no_generation},
    {"each look for itself", test_each_look_for_itself},
    {"invalidations reach both", test_invalidations_reach_both},
    {"invalidations that fail", test_invalidations_that_fail},
    {"the memory is emptied when a server returns", test_emptied_on_return},
    {"the memory is emptied at a worker's start", test_emptied_at_a_workers_start},
    {"an answer that comes later", test_an_answer_that_comes_later},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "fallback", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
