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

static const struct unit_case CASES[] = {
    {"names of namespaces", test_namespace_names},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "api", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
