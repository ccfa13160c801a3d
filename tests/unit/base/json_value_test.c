#include "inferonce/base/json_value.h"

#include <stdlib.h>
#include <string.h>

#include "unit.h"

static void test_ends(void) {
    static const struct {
        const char *value, *behind;
    } ROWS[] = {{"1", ""},
                {"-1.5e3", ",2"},
                {"true", "}"},
                {"null", " ]"},
                {"\"a]\\\"\\\\\"", ":1"},
                {"\"\"", ""},
                {"[]", "]"},
                {"[1, {\"a\":[\"}]\", \"\\\"]\"]} , []]", " ,1"},
                {"{\"b\":[1,{}]}", ",-1"},
                {"{\"Y_y\\u007f and more than eight\":1}", "}"},
                {"", ","},
                {"", "]"},
                {"", ""}};
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        char text[64] = "";
        strcat(strcat(text, ROWS[i].value), ROWS[i].behind);
        CU_ASSERT_EQUAL(json_value_end(text, text + strlen(text)) - text, (long)strlen(ROWS[i].value));
    }
}

/* Every beginning of texts, good and bad, in memory that ends there: a sanitizer sees a step outside. */
static void test_stays_inside(void) {
    static const char *const TEXTS[] = {"[{\"a\\\"\":[1,\"\\\\\"],\"b\":{}},\"x\\", "[[[[[[[[[[\"\n\\",
                                        "{]y_Y\x7f}\"\\\"", "[\"\\u"};
    for (size_t i = 0; i < sizeof(TEXTS) / sizeof(TEXTS[0]); i++)
        for (size_t length = 0; length <= strlen(TEXTS[i]); length++) {
            char *copy = malloc(length > 0 ? length : 1);
            CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
            memcpy(copy, TEXTS[i], length);
            const char *end = json_value_end(copy, copy + length);
            CU_ASSERT_TRUE(end >= copy && end <= copy + length);
            free(copy);
        }
}

static const struct unit_case CASES[] = {
    {"where values end", test_ends},
    {"never outside of the text", test_stays_inside},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "json_value", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
