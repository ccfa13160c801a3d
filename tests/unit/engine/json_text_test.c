#include "engine/upstream/json_text.h"

#include <stdlib.h>

#include "../../fuzz/json_text_fuzz.c"
#include "random_json.h"
#include "unit.h"

static bool is_valid(struct bytes text) {
    return json_text_check(text, 0) == JSON_TEXT_VALID;
}

static bool is(struct bytes bytes, const char *text) {
    return bytes_equal(bytes, bytes_of(text));
}

static void test_valid(void) {
    static const char *const VALID[] = {"null",
                                        " [1 , 2]\n",
                                        "{}",
                                        "\"\"",
                                        "-0.0e-10",
                                        "{\"a\":{\"a\":1}}",
                                        "\"\\u0000\"",
                                        "123456789012345678901234567890",
                                        "1e999",
                                        "\"\xf0\x9f\x98\x80\"",
                                        "[\"a\\\"]\", \"[{\"]"};
    static const char *const INVALID[] = {"",       " ",   "[1,]",     "{\"a\":1,\"a\":2}", "nul", "01",
                                          "[1] 2",  "'a'", "\"\xff\"", "\"\\ud800\"",       "[",   "{\"a\"}",
                                          "\"\n\"", "NaN", "// a\n1"};
    for (size_t i = 0; i < sizeof(VALID) / sizeof(VALID[0]); i++)
        CU_ASSERT(is_valid(bytes_of(VALID[i])));
    for (size_t i = 0; i < sizeof(INVALID) / sizeof(INVALID[0]); i++)
        CU_ASSERT_FALSE(is_valid(bytes_of(INVALID[i])));
    CU_ASSERT_FALSE(is_valid((struct bytes){"1\0", 2}));
    CU_ASSERT_FALSE(is_valid((struct bytes){"1\0 2", 4}));
}

/* `n` times `text` between the brackets. */
static struct bytes repeated(const char *text, size_t n) {
    size_t length = strlen(text);
    char *all = malloc(n * length + 2);
    CU_ASSERT_PTR_NOT_NULL_FATAL(all);
    all[0] = '[';
    for (size_t i = 0; i < n; i++)
        memcpy(all + 1 + i * length, text, length);
    all[n * length + 1] = ']';
    return (struct bytes){all, n * length + 2};
}

static void test_token_limit(void) {
    /* n items have n - 1 commas between them, and the brackets: n + 1 tokens. */
    struct bytes within = repeated("1,", JSON_TEXT_TOKENS_MAX - 1);
    struct bytes beyond = repeated("1,", JSON_TEXT_TOKENS_MAX);
    struct bytes in_string = repeated("\",,,,,,,,,,,,,,,,\",", JSON_TEXT_TOKENS_MAX / 16);
    within.length--, beyond.length--, in_string.length--;
    /* The bracket in place of what would be a trailing comma. */
    ((char *)(uintptr_t)within.data)[within.length - 1] = ']';
    ((char *)(uintptr_t)beyond.data)[beyond.length - 1] = ']';
    ((char *)(uintptr_t)in_string.data)[in_string.length - 1] = ']';
    CU_ASSERT(is_valid(within));
    CU_ASSERT_FALSE(is_valid(beyond));
    CU_ASSERT_EQUAL(json_text_check(beyond, 1), JSON_TEXT_VALID);
    CU_ASSERT(is_valid(in_string));
    free((void *)(uintptr_t)within.data);
    free((void *)(uintptr_t)beyond.data);
    free((void *)(uintptr_t)in_string.data);
}

static void test_deep(void) {
    char text[8192];
    memset(text, '[', 4096);
    memset(text + 4096, ']', 4096);
    CU_ASSERT_FALSE(is_valid((struct bytes){text, sizeof(text)}));
    CU_ASSERT(is_valid((struct bytes){text + 4096 - 2000, 4000}));
    struct json_walk walk;
    struct bytes item;
    CU_ASSERT(json_walk_array((struct bytes){text, sizeof(text)}, &walk));
    CU_ASSERT(json_next_item(&walk, &item));
    CU_ASSERT_EQUAL(item.length, sizeof(text) - 2);
}

static void test_array(void) {
    struct bytes text = bytes_of(" [ 1 ,\"a,]\\\"\",[2,[3]] , {\"x\":\"}]\"} ,null ]");
    static const char *const ITEMS[] = {"1", "\"a,]\\\"\"", "[2,[3]]", "{\"x\":\"}]\"}", "null"};
    struct json_walk walk;
    struct bytes item;
    size_t n;
    CU_ASSERT_FATAL(json_walk_array(text, &walk));
    for (size_t i = 0; i < 5; i++) {
        CU_ASSERT(json_next_item(&walk, &item));
        CU_ASSERT(is(item, ITEMS[i]));
    }
    CU_ASSERT_FALSE(json_next_item(&walk, &item));
    CU_ASSERT_FALSE(json_next_item(&walk, &item));
    CU_ASSERT(json_count(text, &n) && n == 5);
    CU_ASSERT(json_count(bytes_of("[ ]"), &n) && n == 0);
    CU_ASSERT_FALSE(json_count(bytes_of("{\"a\":1}"), &n));
    CU_ASSERT_FALSE(json_walk_array(bytes_of("\"[1]\""), &walk));
}

static void test_object(void) {
    struct bytes text = bytes_of("{ \"a\" : 1 , \"b:\" :\"x\", \"\":[] ,\"c\":{\"a\":2}}");
    struct bytes name, value;
    struct json_walk walk;
    CU_ASSERT(json_find(text, "a", &value) && is(value, "1"));
    CU_ASSERT(json_find(text, "b:", &value) && is(value, "\"x\""));
    CU_ASSERT(json_find(text, "", &value) && is(value, "[]"));
    CU_ASSERT(json_find(text, "c", &value) && is(value, "{\"a\":2}"));
    CU_ASSERT_FALSE(json_find(text, "x", &value));
    CU_ASSERT_FALSE(json_find(bytes_of("[\"a\",1]"), "a", &value));
    CU_ASSERT(json_walk_object(bytes_of("{}"), &walk));
    CU_ASSERT_FALSE(json_next_member(&walk, &name, &value));
}

static void test_kinds(void) {
    CU_ASSERT(json_text_is_string(bytes_of("\"1\"")));
    CU_ASSERT_FALSE(json_text_is_string(bytes_of("1")));
    CU_ASSERT(json_text_is_number(bytes_of("-1")));
    CU_ASSERT(json_text_is_number(bytes_of("0")));
    CU_ASSERT_FALSE(json_text_is_number(bytes_of("null")));
    CU_ASSERT_FALSE(json_text_is_number(bytes_of("\"1\"")));
    CU_ASSERT(json_text_is_boolean(bytes_of("true")) && json_text_is_boolean(bytes_of("false")));
    CU_ASSERT_FALSE(json_text_is_boolean(bytes_of("1")) || json_text_is_boolean(bytes_of("null")));
    CU_ASSERT(json_text_is_null(bytes_of("null")));
    CU_ASSERT_FALSE(json_text_is_null(bytes_of("\"null\"")));
    CU_ASSERT(is(json_text_trim(bytes_of("\r\n\t 1 2 ")), "1 2"));
}

static void test_numbers(void) {
    static const struct {
        const char *text;
        size_t n; /* 0: no array of numbers alone */
    } ROWS[] = {
        {"[1]", 1},       {"[ 1 , -2.50e+3,0E0\n]", 3},
        {"[]", 0},        {"[ ]", 0},
        {"[null]", 0},    {"[1,null]", 0},
        {"[\"1\"]", 0},   {"[true]", 0},
        {"[[1]]", 0},     {"[{}]", 0},
        {"1", 0},         {"\"[1]\"", 0},
        {"{\"a\":1}", 0}, {"", 0},
        {"[", 0},         {"[1", 0},
        {"[1,[2]]", 0},   {"null", 0},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        size_t n = 0;
        CU_ASSERT_EQUAL(json_text_is_numbers(bytes_of(ROWS[i].text), &n), ROWS[i].n > 0);
        CU_ASSERT(ROWS[i].n == 0 || n == ROWS[i].n);
    }
}

/* Every beginning of a text, in memory that ends there: a sanitizer sees a step outside. */
static void test_walks_stay_inside(void) {
    static const char TEXT[] = "[{\"a\\\"\":[1,\"\\\\\"],\"b\":{}},\"x\\";
    for (size_t length = 0; length < sizeof(TEXT); length++) {
        char *copy = malloc(length + 1);
        CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
        char *cut = realloc(copy, length > 0 ? length : 1);
        memcpy(cut, TEXT, length);
        struct bytes text = {cut, length};
        struct json_walk walk;
        struct bytes item, value;
        size_t items = 0;
        for (bool is_array = json_walk_array(text, &walk); is_array && json_next_item(&walk, &item); items++)
            CU_ASSERT(!json_find(item, "b", &value) || value.length > 0);
        CU_ASSERT(items <= length);
        CU_ASSERT_FALSE(is_valid(text));
        free(cut);
    }
}

static void test_random(void) {
    char text[RANDOM_JSON_MAX];
    for (int run = 0; run < 60000; run++) {
        size_t length = random_json(text);
        LLVMFuzzerTestOneInput((const uint8_t *)text, length);
    }
}

static void test_no_memory(void) {
#if !defined(__SANITIZE_ADDRESS__)
    unit_allocations_fail(1, false);
    enum json_text_status status = json_text_check(bytes_of("[1]"), 0);
    unit_allocations_heal();
    CU_ASSERT_EQUAL(status, JSON_TEXT_NO_MEMORY);
#endif
}

static const struct unit_case CASES[] = {
    {"one strict JSON value is valid, nothing else", test_valid},
    {"tokens are counted, but not inside of strings", test_token_limit},
    {"depth is limited, and costs a walk nothing", test_deep},
    {"items of an array", test_array},
    {"members of an object", test_object},
    {"kinds of values", test_kinds},
    {"arrays of numbers alone", test_numbers},
    {"random texts", test_random},
    {"no memory is not bad JSON", test_no_memory},
    {"walks stay inside of texts that are cut off", test_walks_stay_inside},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "json_text", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
