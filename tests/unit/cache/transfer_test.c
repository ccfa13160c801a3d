/* Entries on their way: what is shown, and what is taken. */
#include "inferonce/cache/transfer.h"

#include "late.h"
#include "world.h"

#define SECOND_US UINT64_C(1000000)

/* ---- export ---- */

static struct export *export;
static unsigned found, pauses;
static bool more;
static char found_namespaces[512];

static void on_found(void *user, const struct entry *entry) {
    CU_ASSERT_PTR_EQUAL(user, &world);
    found++;
    size_t length = strlen(found_namespaces);
    snprintf(found_namespaces + length, sizeof(found_namespaces) - length, "%.*s ",
             (int)entry->cache_namespace.length, entry->cache_namespace.data);
}

static void on_paused(void *user, enum export_status status) {
    CU_ASSERT_PTR_EQUAL(user, &world);
    pauses++;
    CU_ASSERT_NOT_EQUAL(status, EXPORT_FAILED);
    more = status == EXPORT_MORE;
}

static void begin_export(const char *cache_namespace) {
    const struct export_options options = {.context = &world.workers[0].context,
                                           .store = world.workers[0].store,
                                           .cache_namespace = bytes_of(cache_namespace),
                                           .found = on_found,
                                           .paused = on_paused,
                                           .user = &world};
    found = pauses = 0;
    more = true;
    found_namespaces[0] = '\0';
    export = export_begin(&options);
    CU_ASSERT_PTR_NOT_NULL_FATAL(export);
}

static void step(void) {
    unsigned before = pauses;
    export_go_on(export);
    for (unsigned turns = 0; pauses == before && turns < 100; turns++)
        world_turn();
    CU_ASSERT_EQUAL(pauses, before + 1);
}

static void step_to_the_end(void) {
    while (more)
        step();
    export_end(&export);
    CU_ASSERT_PTR_NULL(export);
}

static void store_text(const char *cache_namespace, const char *text) {
    world_ask_in(0, cache_namespace, text, NULL);
    world_turn();
    world_model_answers(0, "A");
}

static void test_namespaces(void) {
    world_setup(NULL);
    for (unsigned i = 0; i < 12; i++) {
        static char texts[12][8];
        snprintf(texts[i], sizeof(texts[i]), "t%u", i);
        store_text(i % 3 == 0 ? "a" : i % 3 == 1 ? "b" : "c", texts[i]);
    }
    begin_export(NULL);
    step_to_the_end();
    CU_ASSERT_EQUAL(found, 12);
    begin_export("b");
    step_to_the_end();
    CU_ASSERT_STRING_EQUAL(found_namespaces, "b b b b ");
    begin_export("d");
    step_to_the_end();
    CU_ASSERT_EQUAL(found, 0);
    world_teardown();
}

static void ignore(void *user, enum cache_admin_status status, const struct entry *entry, uint64_t count) {
    (void)user;
    (void)status;
    (void)entry;
    (void)count;
}

/* An entry that requests cannot see is not shown: of another generation, or past its time. */
static void test_what_is_not_seen(void) {
    world_setup(NULL);
    store_text("a", "1");
    store_text("b", "2");
    /* The room of what was purged is given back in later turns, so it is still there. */
    cache_purge(world.workers[0].cache, bytes_of("a"), ignore, NULL);
    begin_export(NULL);
    step_to_the_end();
    CU_ASSERT_STRING_EQUAL(found_namespaces, "b ");
    world_wait_ms(world.settings.cache_ttl_ms + 1);
    begin_export(NULL);
    step_to_the_end();
    CU_ASSERT_EQUAL(found, 0);
    world_teardown();
}

/* ---- import ---- */

static struct import import;
static unsigned done;
static enum import_result result;

static void on_done(struct import *import_, enum import_result result_) {
    CU_ASSERT_PTR_EQUAL(import_, &import);
    done++;
    result = result_;
}

static struct entry entry_of(const char *cache_namespace, uint64_t created_us) {
    struct entry entry = {.key = {{7, 1}},
                          .created_us = created_us,
                          .fresh_until_us = created_us + 600 * SECOND_US,
                          .inference_us = 5 * SECOND_US,
                          .generation = 99,
                          .cache_namespace = bytes_of(cache_namespace),
                          .body = bytes_of("1")};
    entry.stale_while_revalidate_until_us = entry.stale_if_error_until_us = entry.fresh_until_us;
    return entry;
}

static enum import_result take(struct entry entry) {
    unsigned before = done;
    import_begin(&import, &world.workers[0].context, world.workers[0].store, &entry, on_done);
    for (unsigned turns = 0; done == before && turns < 100; turns++)
        world_turn();
    CU_ASSERT_EQUAL(done, before + 1);
    return result;
}

static uint64_t now(void) {
    return world.clock.wall_us;
}

static void test_results(void) {
    world_setup(NULL);
    CU_ASSERT_EQUAL(take(entry_of("ns", now() - SECOND_US)), IMPORT_STORED);
    CU_ASSERT_EQUAL(take(entry_of("ns", now() - SECOND_US)), IMPORT_KEPT);
    CU_ASSERT_EQUAL(take(entry_of("ns", now() - 2 * SECOND_US)), IMPORT_KEPT);
    CU_ASSERT_EQUAL(take(entry_of("ns", now())), IMPORT_STORED);
    CU_ASSERT_EQUAL(take(entry_of("other", now() - 601 * SECOND_US)), IMPORT_EXPIRED);
    CU_ASSERT_EQUAL(world_counted(STAT_stores), 2);
    world_teardown();
}

/* It is the beginning of the inference that counts: what was purged while it ran is what it may have seen. */
static void test_purged(void) {
    world_setup(NULL);
    cache_purge(world.workers[0].cache, bytes_of("ns"), ignore, NULL);
    for (unsigned turns = 0; turns < 100; turns++)
        world_turn();
    uint64_t purged_us = now();
    CU_ASSERT_EQUAL(take(entry_of("ns", purged_us - SECOND_US)), IMPORT_PURGED);
    world_wait_ms(60000);
    CU_ASSERT_EQUAL(take(entry_of("ns", purged_us + 4 * SECOND_US)), IMPORT_PURGED);
    CU_ASSERT_EQUAL(take(entry_of("ns", purged_us + 6 * SECOND_US)), IMPORT_STORED);
    CU_ASSERT_EQUAL(take(entry_of("other", purged_us - SECOND_US)), IMPORT_STORED); /* the key's newest */
    world_teardown();
}

static void test_removed(void) {
    world_setup(NULL);
    struct entry entry = entry_of("ns", now());
    CU_ASSERT_EQUAL(take(entry), IMPORT_STORED);
    cache_remove(world.workers[0].cache, &entry.key, bytes_of("ns"), ignore, NULL);
    world_turn();
    CU_ASSERT_EQUAL(take(entry), IMPORT_PURGED);
    world_wait_ms(300000); /* the tombstone is gone */
    CU_ASSERT_EQUAL(take(entry), IMPORT_PURGED);
    CU_ASSERT_EQUAL(take(entry_of("ns", now())), IMPORT_STORED);
    world_teardown();
}

static void test_store_fails(void) {
    struct entry entry;
    world_setup(NULL);
    entry = entry_of("ns", now());
    CU_ASSERT_EQUAL(take(entry), IMPORT_STORED);
    late_begin(&world.workers[0]);
    entry.created_us++;
    import_begin(&import, &world.workers[0].context, world.workers[0].store, &entry, on_done);
    done = 0;
    world_turn();
    late_refuse(STORE_ERROR);
    CU_ASSERT_EQUAL(done, 1);
    CU_ASSERT_EQUAL(result, IMPORT_FAILED);
    import_begin(&import, &world.workers[0].context, world.workers[0].store, &entry, on_done);
    world_turn();
    late_answer();
    CU_ASSERT_EQUAL(late_verb(), LATE_PUT);
    CU_ASSERT_EQUAL(done, 1);
    late_refuse(STORE_ERROR);
    CU_ASSERT_EQUAL(done, 2);
    CU_ASSERT_EQUAL(result, IMPORT_FAILED);
    late_end();
    world_teardown();
}

static void test_forgotten(void) {
    world_setup(NULL);
    struct entry entry = entry_of("ns", now());
    memset(&import, 0, sizeof(import));
    import_forget(&import);
    done = 0;
    import_begin(&import, &world.workers[0].context, world.workers[0].store, &entry, on_done);
    import_forget(&import);
    world_turn();
    CU_ASSERT_EQUAL(done, 0);
    world_teardown();
}

static const struct unit_case CASES[] = {
    {"namespaces in turn", test_namespaces},
    {"entries that requests cannot see are not shown", test_what_is_not_seen},
    {"stored, kept, expired", test_results},
    {"inferred before a purge", test_purged},
    {"inferred before a removal", test_removed},
    {"a store that fails", test_store_fails},
    {"an import that is given up", test_forgotten},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "transfer", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
