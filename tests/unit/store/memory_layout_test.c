/* The layout of the memory store: the region, its tag, parts of workers. */
#include "memory_rig.h"

/* ---- layout ---- */

static void test_layout_tag(void) {
    struct memory_layout layout = {1000, 1 << 20, 4096, 100, 1};
    uint64_t tag = memory_region_tag(&layout);
    CU_ASSERT_EQUAL(memory_region_tag(&layout), tag);
    struct memory_layout others[5];
    for (unsigned i = 0; i < 5; i++)
        others[i] = layout;
    others[0].max_size++;
    others[1].memory_bytes++;
    others[2].entry_max_bytes++;
    others[3].leases_max++;
    others[4].parts++;
    for (unsigned i = 0; i < 5; i++)
        CU_ASSERT_NOT_EQUAL(memory_region_tag(&others[i]), tag);
}

static void test_region_of_defaults(void) {
    struct settings settings;
    settings_defaults(&settings);
    struct memory_layout layout = memory_layout_of(&settings, 4);
    size_t bytes = memory_region_bytes(&layout);
    CU_ASSERT_EQUAL(layout.max_size, (UINT64_C(64) << 20) / 300);
    CU_ASSERT_EQUAL(layout.parts, 1);
    CU_ASSERT(bytes > UINT64_C(64) << 20);
    CU_ASSERT(bytes < UINT64_C(72) << 20);
}

/* A restart with more workers or longer queues keeps what is in the file. */
static void test_layout_is_the_same_for_other_workers(void) {
    struct settings settings;
    settings_defaults(&settings);
    struct memory_layout layout = memory_layout_of(&settings, 4);
    uint64_t tag = memory_region_tag(&layout);
    settings.inference_concurrency = 1000;
    settings.inference_queue = 100000;
    layout = memory_layout_of(&settings, 16);
    CU_ASSERT_EQUAL(memory_region_tag(&layout), tag);
    settings.cache_max_size++;
    layout = memory_layout_of(&settings, 16);
    CU_ASSERT_NOT_EQUAL(memory_region_tag(&layout), tag);
}

static void test_foreign_region(void) {
    static _Alignas(4096) char region[4096];
    struct memory_rig rig;
    memory_rig_init(&rig);
    struct shared shared = {.region = region, .region_bytes = sizeof(region)};
    struct context context = {.settings = &rig.settings, .shared = &shared, .clock = &rig.clock};
    struct error error = {""};
    CU_ASSERT_PTR_NULL(store_open(&context, &error));
    CU_ASSERT_NOT_EQUAL(error.text[0], 0);
    memory_rig_open(&rig, 1);
    rig.shared.region_bytes--;
    context.shared = &rig.shared;
    CU_ASSERT_PTR_NULL(store_open(&context, &error));
    rig.shared.region_bytes++;
    memory_rig_close(&rig);
}

/* ---- scope ---- */

static void test_parts(void) {
    struct memory_rig rig;
    memory_rig_init(&rig);
    rig.settings.cache_scope = CACHE_SCOPE_WORKER;
    rig.settings.cache_max_size = 10;
    memory_rig_open(&rig, 4);
    for (unsigned slot = 0; slot < 4; slot++)
        for (uint64_t number = 0; number < 20; number++)
            test_put_entry(memory_rig_store(&rig, slot), number);
    CU_ASSERT_EQUAL(test_size(memory_rig_store(&rig, 3)), 10); /* 3 + 3 + 2 + 2 */
    CU_ASSERT_EQUAL(test_count_entries(memory_rig_store(&rig, 0), 20), 3);
    CU_ASSERT_EQUAL(test_count_entries(memory_rig_store(&rig, 3), 20), 2);
    CU_ASSERT_EQUAL(test_remove(memory_rig_store(&rig, 1), STORE_ENTRY, test_key(19), 5, 1000), STORE_OK);
    for (unsigned slot = 0; slot < 4; slot++)
        CU_ASSERT_EQUAL(test_get_entry(memory_rig_store(&rig, slot), 19), STORE_TOMBSTONE);
    CU_ASSERT_EQUAL(test_size(memory_rig_store(&rig, 0)), 6);
    CU_ASSERT_EQUAL(test_add(memory_rig_store(&rig, 0), STORE_LEASE, test_key(1), bytes_of("a"), 1000),
                    STORE_OK);
    CU_ASSERT_EQUAL(test_add(memory_rig_store(&rig, 1), STORE_LEASE, test_key(1), bytes_of("b"), 1000),
                    STORE_OK);
    CU_ASSERT_EQUAL(test_put_generation(memory_rig_store(&rig, 0), 1, 1), STORE_OK);
    CU_ASSERT_EQUAL(test_get(memory_rig_store(&rig, 2), STORE_GENERATION, test_key(1)), STORE_OK);
    CU_ASSERT_EQUAL(test_size(memory_rig_store(&rig, 6)), 6); /* a slot of another pool */
    memory_rig_close(&rig);
}

static void test_fewer_entries_than_workers(void) {
    struct memory_rig rig;
    memory_rig_init(&rig);
    rig.settings.cache_scope = CACHE_SCOPE_WORKER;
    rig.settings.cache_max_size = 1;
    memory_rig_open(&rig, 4);
    for (unsigned slot = 0; slot < 4; slot++)
        CU_ASSERT_EQUAL(test_put_entry(memory_rig_store(&rig, slot), slot), STORE_OK);
    CU_ASSERT_EQUAL(test_size(memory_rig_store(&rig, 0)), 1);
    memory_rig_close(&rig);
}

static const struct unit_case CASES[] = {
    {"the tag changes with all of the layout", test_layout_tag},
    {"the defaults take their memory and little more", test_region_of_defaults},
    {"other workers and queues: the same layout", test_layout_is_the_same_for_other_workers},
    {"a region that is none is an error", test_foreign_region},
    {"parts are the workers' own, removals and generations everyone's", test_parts},
    {"fewer entries than workers", test_fewer_entries_than_workers},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "memory_layout", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
