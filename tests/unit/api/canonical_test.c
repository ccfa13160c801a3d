#include "api/canonical.h"

#include <stdio.h>
#include <stdlib.h>

#include "unit.h"

#define DEPTH_MAX  4
#define TOKENS_MAX 40

static enum canonical_status canonical_of(struct bytes json, struct buffer *out) {
    struct canonical canonical;
    canonical_init(&canonical, DEPTH_MAX, TOKENS_MAX);
    buffer_init(out, json.length);
    enum canonical_status status = canonical_append(&canonical, json, out);
    CU_ASSERT_EQUAL(status == CANONICAL_BAD_JSON, (canonical.reader.detail != NULL));
    CU_ASSERT_TRUE(status == CANONICAL_OK || out->length == 0);
    canonical_fini(&canonical);
    return status;
}

static bool becomes(const char *json, const char *expected) {
    struct buffer out;
    bool same = canonical_of(bytes_of(json), &out) == CANONICAL_OK &&
                bytes_equal(buffer_bytes(&out), bytes_of(expected));
    if (!same)
        printf("%s became %.*s, not %s\n", json, (int)out.length, out.data ? out.data : "", expected);
    buffer_fini(&out);
    return same;
}

static bool is_bad(struct bytes json) {
    struct buffer out;
    bool bad = canonical_of(json, &out) == CANONICAL_BAD_JSON;
    if (!bad)
        printf("taken as good: %.*s\n", (int)json.length, json.length ? json.data : "");
    buffer_fini(&out);
    return bad;
}

static void test_white_space_goes(void) {
    CU_ASSERT_TRUE(becomes(" \t\r\n{ \"a\" : [ 1 , true ] , \"b\" : { } } \n", "{\"a\":[1,true],\"b\":{}}"));
    CU_ASSERT_TRUE(becomes("[ ]", "[]"));
    CU_ASSERT_TRUE(becomes(" null ", "null"));
    CU_ASSERT_TRUE(becomes("\" a \"", "\" a \""));
}

static void test_members_are_sorted(void) {
    CU_ASSERT_TRUE(becomes("{\"b\":1,\"a\":2}", "{\"a\":2,\"b\":1}"));
    CU_ASSERT_TRUE(becomes("{\"ab\":1,\"a\":2,\"\":3,\"B\":4}", "{\"\":3,\"B\":4,\"a\":2,\"ab\":1}"));
    CU_ASSERT_TRUE(becomes("{\"z\":[{\"d\":{\"y\":1,\"x\":2},\"c\":3}],\"a\":{\"q\":1,\"p\":[]}}",
                           "{\"a\":{\"p\":[],\"q\":1},\"z\":[{\"c\":3,\"d\":{\"x\":2,\"y\":1}}]}"));
    CU_ASSERT_TRUE(becomes("[\"b\",\"a\"]", "[\"b\",\"a\"]")); /* items keep their order */
}

/* By the bytes that names are of, not by those of their escapes: a tab is below a blank, which is below a
 * quote, '0' and a backslash; UTF-8 is above all of ASCII. */
static void test_order_is_of_unescaped_names(void) {
    CU_ASSERT_TRUE(becomes("{\"\\u00e9\":1,\"\\\\\":2,\"0\":3,\"\\\"\":4,\" \":5,\"\\t\":6,\"\\u0000\":7}",
                           "{\"\\u0000\":7,\"\\t\":6,\" \":5,\"\\\"\":4,\"0\":3,\"\\\\\":2,\"\u00e9\":1}"));
    CU_ASSERT_TRUE(becomes("{\"a\\u001f\":1,\"a\":2,\"a\\n\":3}", "{\"a\":2,\"a\\n\":3,\"a\\u001f\":1}"));
}

static void test_escapes_are_the_fewest(void) {
    CU_ASSERT_TRUE(becomes("\"\\u0061\\/\\u002F\"", "\"a//\""));
    CU_ASSERT_TRUE(
        becomes("\"\\u0022\\u005C\\u000a\\u0008\\u000C\\u000d\\u0009\"", "\"\\\"\\\\\\n\\b\\f\\r\\t\""));
    CU_ASSERT_TRUE(becomes("\"\\u001F\\u0000\\u000B\"", "\"\\u001f\\u0000\\u000b\""));
    CU_ASSERT_TRUE(becomes("\"\\u007f\\u00e9\\u20AC\"", "\"\x7f\u00e9\u20ac\""));
    CU_ASSERT_TRUE(
        becomes("\"\\ud83d\\uDE00\\uD800\\uDC00\\udbff\\udfff\"", "\"\U0001F600\U00010000\U0010FFFF\""));
    CU_ASSERT_TRUE(becomes("{\"\\u0062\":1,\"\\u0061\":2}", "{\"a\":2,\"b\":1}"));
}

static void test_numbers_stay_as_written(void) {
    static const char *const NUMBERS[] = {"0",
                                          "-0",
                                          "1",
                                          "1.0",
                                          "1e0",
                                          "1E0",
                                          "1e+0",
                                          "10",
                                          "0.10",
                                          "-12.5e-3",
                                          "0e00",
                                          "1e9999",
                                          "123456789012345678901234567890"};
    for (size_t i = 0; i < sizeof(NUMBERS) / sizeof(NUMBERS[0]); i++)
        CU_ASSERT_TRUE(becomes(NUMBERS[i], NUMBERS[i]));
}

/* The reader decides which texts are JSON (tests/unit/base/json_reader_test.c). */
static void test_bad(void) {
    CU_ASSERT_TRUE(is_bad(bytes_of("[1,]")));
    CU_ASSERT_TRUE(is_bad(bytes_of("{\"b\":1,\"a\":2,\"\\u0062\":3}")));
    CU_ASSERT_TRUE(is_bad(bytes_of("[[[[[1]]]]]")));
    CU_ASSERT_TRUE(is_bad((struct bytes){NULL, 0}));
}

static void test_many_members(void) {
    struct canonical canonical;
    struct buffer json, out;
    canonical_init(&canonical, 2, 1 << 20);
    buffer_init(&json, 1 << 20);
    buffer_init(&out, 1 << 20);
    const int n = 5000;
    for (int i = 0; i < n; i++)
        buffer_append_format(&json, "%c\"%05d\":%d", i ? ',' : '{', (i * 3457) % n,
                             i); /* 3457 is prime to 5000 */
    buffer_append_char(&json, '}');
    CU_ASSERT_EQUAL(canonical_append(&canonical, buffer_bytes(&json), &out), CANONICAL_OK);
    CU_ASSERT_EQUAL(out.length, json.length);
    char *at = out.data + 1;
    for (int i = 0; i < n; i++) {
        char name[16];
        snprintf(name, sizeof(name), "\"%05d\":", i);
        CU_ASSERT_EQUAL(memcmp(at, name, 8), 0);
        at = strpbrk(at + 8, ",}") + 1;
    }
    canonical_fini(&canonical);
    buffer_fini(&json);
    buffer_fini(&out);
}

static void test_no_memory(void) {
    struct bytes json = bytes_of("[{\"b\":{\"z\":1,\"y\":2},\"a\":1}]");
    enum canonical_status status = CANONICAL_NO_MEMORY;
    unsigned failures = 0;
    for (unsigned n = 1; n < 20 && status == CANONICAL_NO_MEMORY; n++) {
        struct canonical canonical;
        struct buffer out;
        canonical_init(&canonical, DEPTH_MAX, TOKENS_MAX);
        buffer_init(&out, 100);
        unit_allocations_fail(n, true);
        status = canonical_append(&canonical, json, &out);
        unit_allocations_heal();
        failures += status == CANONICAL_NO_MEMORY;
        CU_ASSERT_TRUE(status != CANONICAL_BAD_JSON);
        canonical_fini(&canonical);
        buffer_fini(&out);
    }
    CU_ASSERT_EQUAL(status, CANONICAL_OK);
#if !defined(__SANITIZE_ADDRESS__)
    CU_ASSERT_TRUE(failures >= 3 ||
                   failures == 0); /* output, members, sorting; none under a sanitizer's allocator */
#endif
}

static void test_cap(void) {
    struct canonical canonical;
    struct buffer out;
    canonical_init(&canonical, DEPTH_MAX, TOKENS_MAX);
    buffer_init(&out, 3);
    CU_ASSERT_EQUAL(canonical_append(&canonical, bytes_of("[12]"), &out), CANONICAL_NO_MEMORY);
    canonical_fini(&canonical);
    buffer_fini(&out);
}

static const struct unit_case CASES[] = {
    {"white space goes", test_white_space_goes},
    {"members are sorted at every depth", test_members_are_sorted},
    {"the order is that of the names without escapes", test_order_is_of_unescaped_names},
    {"escapes are the fewest", test_escapes_are_the_fewest},
    {"numbers stay as written", test_numbers_stay_as_written},
    {"what is bad is told", test_bad},
    {"many members", test_many_members},
    {"no memory", test_no_memory},
    {"the output's cap", test_cap},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "canonical", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
