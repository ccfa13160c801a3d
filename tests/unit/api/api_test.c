#include "inferonce/api/api.h"

#include "unit.h"

static void test_namespace_names(void) {
    static const struct {
        const char *name;
        bool valid;
    } ROWS[] = {
        {"", false},
        {"a", true},
        {"Z9._-", true},
        {"azAZ09", true},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", true},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
        {"a b", false},
        {"a/b", false},
        {"a:b", false},
        {"a@b", false},
        {"a[b", false},
        {"a`b", false},
        {"a{b", false},
        {"\xc3\xa9", false},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++)
        CU_ASSERT_EQUAL(api_namespace_is_valid(bytes_of(ROWS[i].name)), ROWS[i].valid);
    CU_ASSERT_FALSE(api_namespace_is_valid((struct bytes){"a\0b", 3}));
}

static void test_generation_keys(void) {
    static const char *const NAMES[] = {"default", "other", "defaul", "default2"};
    struct settings settings;
    settings_defaults(&settings);
    struct error error = {""};
    uv_loop_t loop;
    CU_ASSERT_EQUAL_FATAL(uv_loop_init(&loop), 0);
    struct turn *turn = turn_create(&loop, &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(turn);
    const struct context context = {.settings = &settings, .loop = &loop, .turn = turn};
    struct api api = {.context = &context};
    CU_ASSERT_FATAL(api_setup(&api, &error));
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        struct key key, expected;
        api_generation_key(&api, bytes_of(NAMES[i]), &key);
        key_of_generation(bytes_of(NAMES[i]), &expected);
        CU_ASSERT(key_equal(&key, &expected));
    }
    api_teardown(&api);
    turn_destroy(&turn);
    uv_run(&loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(uv_loop_close(&loop), 0);
}

static const struct unit_case CASES[] = {
    {"names of namespaces", test_namespace_names},
    {"generation keys", test_generation_keys},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "api", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
