#include "cache/admin.h"

#include "late.h"
#include "store/backend.h"
#include "world.h"

/* Purges behind a store that answers late or fails, several at once, and clocks that go back. What they do to
 * requests is in cache_workers_test.c. */

static struct admin *admin;

struct told {
    unsigned calls;
    enum cache_admin_status status;
    uint64_t count;
    bool entry;
};

static void done(void *user, enum cache_admin_status status, const struct entry *entry, uint64_t count) {
    struct told *told = user;
    told->calls++;
    told->status = status;
    told->count = count;
    told->entry = entry != NULL;
}

/* On worker 0's store, beside its cache. */
static void begin(void) {
    struct error error = {""};
    world_setup(NULL);
    admin = admin_create(&world.workers[0].context, world.workers[0].store, &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(admin);
}

static void end(void) {
    admin_destroy(&admin);
    CU_ASSERT_PTR_NULL(admin);
    world_teardown();
}

static const struct asked *store_text(const char *cache_namespace, const char *text) {
    struct asked *asked = world_ask_in(0, cache_namespace, text, NULL);
    world_turn();
    world_model_answers(0, "A");
    CU_ASSERT_EQUAL(asked->result, CACHE_MISS);
    CU_ASSERT(asked->status.stored);
    return asked;
}

static bool is_stored(const char *cache_namespace, const char *text) {
    struct asked *asked = world_ask_in(0, cache_namespace, text, "only-if-cached");
    world_turn();
    CU_ASSERT_EQUAL(asked->answers, 1);
    return asked->result == CACHE_HIT;
}

/* Asks, and lets the turn end in which the store is asked. */
static void ask(void (*ask_)(struct admin *, const struct key *, struct bytes, cache_admin_done, void *),
                const struct key *key, struct bytes cache_namespace, struct told *told) {
    ask_(admin, key, cache_namespace, done, told);
    turn_end(world.workers[0].turn);
}

/* Until each of `n` was told, and no longer than a sweep can take. */
static void wait_for(const struct told *told, size_t n) {
    for (unsigned turns = 0; turns < 10000; turns++) {
        size_t over = 0;
        for (size_t i = 0; i < n; i++)
            over += told[i].calls > 0;
        if (over == n)
            return;
        world_turn();
    }
    CU_FAIL_FATAL("a purge did not end");
}

/* ---- several at once ---- */

static void test_several_namespaces(void) {
    static const char *const NAMES[] = {"one", "two", "three"};
    struct told told[3] = {{0}};
    begin();
    for (size_t i = 0; i < 3; i++)
        for (size_t n = 0; n <= i; n++) {
            char text[8];
            snprintf(text, sizeof(text), "t%zu", n);
            world_ask_in(0, NAMES[i], text, NULL);
            world_turn();
            world_model_answers(0, "A");
        }
    world_wait_ms(1);
    for (size_t i = 0; i < 3; i++)
        admin_purge(admin, bytes_of(NAMES[i]), done, &told[i]);
    wait_for(told, 3);
    for (size_t i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(told[i].calls, 1);
        CU_ASSERT_EQUAL(told[i].status, CACHE_ADMIN_OK);
        CU_ASSERT_EQUAL(told[i].count, i + 1);
    }
    CU_ASSERT_EQUAL(world_counted(STAT_purges), 3);
    end();
}

/* Two purges of one namespace each remove the entries they find; no entry is counted twice. */
static void test_twice_at_once(void) {
    struct told told[2] = {{0}};
    begin();
    store_text("ns", "a");
    store_text("ns", "b");
    world_wait_ms(1);
    admin_purge(admin, bytes_of("ns"), done, &told[0]);
    admin_purge(admin, bytes_of("ns"), done, &told[1]);
    wait_for(told, 2);
    CU_ASSERT_EQUAL(told[0].count + told[1].count, 2);
    CU_ASSERT_FALSE(is_stored("ns", "a"));
    world_turn();
    CU_ASSERT_FALSE(uv_loop_alive(&world.loop)); /* nothing keeps the loop awake any more */
    end();
}

/* One that waits for the store does not hold up those that sweep, whichever came first. */
static void test_sweeps_past_another(void) {
    struct told told[3] = {{0}};
    begin();
    late_begin(&world.workers[0]);
    for (size_t i = 0; i < 3; i++)
        admin_purge(admin, bytes_of("ns"), done, &told[i]);
    late_answer_at(1);
    wait_for(&told[1], 1);
    CU_ASSERT_EQUAL(told[0].calls + told[2].calls, 0);
    late_answer_all();
    wait_for(told, 3);
    late_end();
    end();
}

static void test_key(void) {
    struct told told[2] = {{0}};
    begin();
    struct key key = store_text("ns", "a")->request.key;
    ask(admin_remove, &key, bytes_of("ns"), &told[0]);
    CU_ASSERT_EQUAL(told[0].status, CACHE_ADMIN_OK);
    CU_ASSERT_EQUAL(told[0].count, 1);
    ask(admin_remove, &key, bytes_of("ns"), &told[1]);
    CU_ASSERT_EQUAL(told[1].status, CACHE_ADMIN_MISSING);
    CU_ASSERT_EQUAL(told[1].count, 0);
    CU_ASSERT_EQUAL(world_counted(STAT_purges), 2); /* the second forbids what may be on its way */
    end();
}

/* The wall clock went back behind the generation that is there, by less than what makes an entry distrusted:
 * the purge holds all the same. */
static void test_clock_goes_back(void) {
    struct told told[2] = {{0}};
    begin();
    const struct asked *asked = store_text("ns", "a");
    struct key key = asked->request.key;
    world.clock.wall_us -= 500000;
    admin_purge(admin, bytes_of("ns"), done, &told[0]);
    wait_for(told, 1);
    CU_ASSERT_EQUAL(told[0].status, CACHE_ADMIN_OK);
    CU_ASSERT_FALSE(is_stored("ns", "a"));
    store_text("ns", "a");
    CU_ASSERT(is_stored("ns", "a"));
    world.clock.wall_us -= 500000;
    ask(admin_remove, &key, bytes_of("ns"), &told[1]);
    world_turn();
    CU_ASSERT_EQUAL(told[1].calls, 1);
    CU_ASSERT_FALSE(is_stored("ns", "a"));
    end();
}

/* ---- a late store ---- */

static void test_namespace_with_late_store(void) {
    struct told told = {0};
    begin();
    late_begin(&world.workers[0]);
    admin_purge(admin, bytes_of("ns"), done, &told);
    CU_ASSERT_EQUAL(late_verb(), LATE_PUT);
    CU_ASSERT_EQUAL(late_kind(), STORE_GENERATION);
    world_turn();
    CU_ASSERT_EQUAL(told.calls, 0); /* not before the store has acknowledged it */
    late_answer();
    wait_for(&told, 1);
    CU_ASSERT_EQUAL(told.status, CACHE_ADMIN_OK);
    late_end();
    end();
}

static void test_store_fails(void) {
    struct told told[5] = {{0}};
    struct key key = {{1}};
    begin();
    late_begin(&world.workers[0]);
    admin_purge(admin, bytes_of("ns"), done, &told[0]);
    late_refuse(STORE_ERROR);
    ask(admin_remove, &key, bytes_of("ns"), &told[1]);
    late_refuse(STORE_ERROR);
    ask(admin_remove, &key, bytes_of("ns"), &told[2]);
    late_answer();
    CU_ASSERT_EQUAL(late_verb(), LATE_PUT); /* the number of removals */
    late_answer();
    CU_ASSERT_EQUAL(late_verb(), LATE_REMOVE); /* no entry is there, but one may be on its way */
    late_refuse(STORE_ERROR);
    ask(admin_remove, &key, bytes_of("ns"), &told[4]);
    late_answer();
    late_refuse(STORE_ERROR);
    CU_ASSERT_EQUAL(late_verb(), LATE_REMOVE);
    late_answer();
    ask(admin_inspect, &key, bytes_of("ns"), &told[3]);
    late_refuse(STORE_ERROR);
    for (size_t i = 0; i < 5; i++) {
        CU_ASSERT_EQUAL(told[i].calls, 1);
        CU_ASSERT_EQUAL(told[i].status, CACHE_ADMIN_ERROR);
        CU_ASSERT_FALSE(told[i].entry);
    }
    late_end();
    end();
}

/* Half of what has to be known is not enough to remove by, or to say that there is none. */
static void test_half_an_answer(void) {
    static const enum store_kind KINDS[] = {STORE_GENERATION, STORE_ENTRY};
    for (size_t i = 0; i < 2; i++) {
        struct told told[2] = {{0}};
        begin();
        struct key key = store_text("ns", "a")->request.key;
        late_begin(&world.workers[0]);
        ask(admin_remove, &key, bytes_of("ns"), &told[0]);
        late_answer_without(KINDS[i]);
        ask(admin_inspect, &key, bytes_of("ns"), &told[1]);
        late_answer_without(KINDS[i]);
        CU_ASSERT_EQUAL(told[0].status, CACHE_ADMIN_ERROR);
        CU_ASSERT_EQUAL(told[1].status, CACHE_ADMIN_ERROR);
        CU_ASSERT_EQUAL(late.n, 0);
        late_end();
        CU_ASSERT(is_stored("ns", "a"));
        end();
    }
}

/* The key of another namespace is neither removed nor marked. */
static void test_key_of_another_namespace(void) {
    struct told told = {0};
    begin();
    struct key key = store_text("ns", "a")->request.key;
    late_begin(&world.workers[0]);
    ask(admin_remove, &key, bytes_of("other"), &told);
    late_answer();
    CU_ASSERT_EQUAL(told.status, CACHE_ADMIN_MISSING);
    CU_ASSERT_EQUAL(late.n, 0);
    late_end();
    CU_ASSERT(is_stored("ns", "a"));
    CU_ASSERT_EQUAL(world_counted(STAT_purges), 0);
    end();
}

static void test_look(void) {
    struct told told[3] = {{0}};
    begin();
    struct key key = store_text("ns", "a")->request.key;
    ask(admin_inspect, &key, bytes_of("ns"), &told[0]);
    CU_ASSERT_EQUAL(told[0].status, CACHE_ADMIN_OK);
    CU_ASSERT(told[0].entry);
    world_wait_ms(1);
    admin_purge(admin, bytes_of("ns"), done, &told[1]);
    ask(admin_inspect, &key, bytes_of("ns"), &told[2]); /* its room is not given back yet */
    CU_ASSERT_EQUAL(told[2].status, CACHE_ADMIN_MISSING);
    CU_ASSERT_FALSE(told[2].entry);
    wait_for(told, 2);
    CU_ASSERT_EQUAL(world_counted(STAT_purges), 1);
    end();
}

/* ---- whoever asked has left ---- */

static void test_forget(void) {
    struct told told[3] = {{0}};
    begin();
    struct key key = store_text("ns", "a")->request.key;
    store_text("other", "a");
    world_wait_ms(1);
    late_begin(&world.workers[0]);
    ask(admin_remove, &key, bytes_of("ns"), &told[0]);
    admin_purge(admin, bytes_of("other"), done, &told[1]);
    ask(admin_inspect, &key, bytes_of("other"), &told[2]);
    admin_forget(admin, &told[0]);
    admin_forget(admin, &told[1]);
    late_answer_all();
    world_turn();
    CU_ASSERT_EQUAL(told[0].calls + told[1].calls, 0);
    CU_ASSERT_EQUAL(told[2].calls, 1); /* another's */
    late_end();
    CU_ASSERT_FALSE(is_stored("ns", "a")); /* what was begun is done */
    CU_ASSERT_FALSE(is_stored("other", "a"));
    end();
}

static void test_end_of_all(void) {
    struct told told[3] = {{0}};
    struct key key = {{1}};
    begin();
    late_begin(&world.workers[0]);
    admin_purge(admin, bytes_of("ns"), done, &told[0]);
    late_answer();
    admin_purge(admin, bytes_of("ns"), done, &told[1]);
    ask(admin_remove, &key, bytes_of("ns"), &told[2]);
    late_end();
    end();
    CU_ASSERT_EQUAL(told[0].calls + told[1].calls + told[2].calls, 0);
}

static void test_no_memory(void) {
    struct told told[2] = {{0}};
    struct key key = {{1}};
    begin();
    unit_allocations_count_start();
    unit_allocations_fail(1, false);
    admin_purge(admin, bytes_of("ns"), done, &told[0]);
    ask(admin_remove, &key, bytes_of("ns"), &told[1]);
    unit_allocations_heal();
    if (unit_allocations_count() > 0) /* no sanitizer has the allocator */
        for (size_t i = 0; i < 2; i++) {
            CU_ASSERT_EQUAL(told[i].calls, 1);
            CU_ASSERT_EQUAL(told[i].status, CACHE_ADMIN_ERROR);
        }
    wait_for(told, 2);
    end();
}

static void test_no_memory_to_begin(void) {
    begin();
    struct error error = {""};
    unit_allocations_count_start();
    unit_allocations_fail(1, true);
    struct admin *others = admin_create(&world.workers[0].context, world.workers[0].store, &error);
    unit_allocations_heal();
    /* None is counted, and none fails, where a sanitizer has the allocator. */
    CU_ASSERT_EQUAL(others == NULL, unit_allocations_count() > 0);
    CU_ASSERT_EQUAL(others == NULL, error.text[0] != '\0');
    admin_destroy(&others);
    end();
}

static const struct unit_case CASES[] = {
    {"several namespaces at once", test_several_namespaces},
    {"one namespace, twice at once", test_twice_at_once},
    {"one sweeps past another", test_sweeps_past_another},
    {"a key", test_key},
    {"the clock goes back", test_clock_goes_back},
    {"a late store", test_namespace_with_late_store},
    {"the store fails", test_store_fails},
    {"half an answer", test_half_an_answer},
    {"a key of another namespace", test_key_of_another_namespace},
    {"looking", test_look},
    {"whoever asked has left", test_forget},
    {"the end of all", test_end_of_all},
    {"no memory", test_no_memory},
    {"no memory to begin with", test_no_memory_to_begin},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "admin", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
