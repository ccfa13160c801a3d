#include "inferonce/api/canonical.h"

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
    CU_ASSERT_EQUAL(status == CANONICAL_BAD_JSON, canonical.detail != NULL);
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

static void test_not_json(void) {
    static const char *const BAD[] = {"",
                                      " ",
                                      "{",
                                      "}",
                                      "[",
                                      "]",
                                      "\"",
                                      "\"a",
                                      "{\"a\"",
                                      "{\"a\":",
                                      "{\"a\":1",
                                      "{\"a\":1,",
                                      "[1",
                                      "[1,",
                                      "[1,]",
                                      "[,1]",
                                      "[1 2]",
                                      "{\"a\":1,}",
                                      "{,}",
                                      "{a:1}",
                                      "{1:2}",
                                      "{\"a\" 1}",
                                      "{\"a\":}",
                                      "{\"a\"::1}",
                                      "[:]",
                                      "{\"a\":1}{}",
                                      "1 2",
                                      "1,",
                                      "nul",
                                      "nulll",
                                      "True",
                                      "tru",
                                      "falsee",
                                      "NaN",
                                      "Infinity",
                                      "-Infinity",
                                      "-",
                                      "+1",
                                      "01",
                                      "-01",
                                      "1.",
                                      ".5",
                                      "1e",
                                      "1e+",
                                      "1.e1",
                                      "0x1",
                                      "1_0",
                                      "--1",
                                      "'a'",
                                      "\"\\x\"",
                                      "\"\\\"",
                                      "\"\\u12\"",
                                      "\"\\u12g4\"",
                                      "\"\\u 123\"",
                                      "\"\\u-123\"",
                                      "\"\n\"",
                                      "\"\x1f\"",
                                      "\"\t\"",
                                      "// c\n1",
                                      "/* */1",
                                      "\xEF\xBB\xBF{}",
                                      "\v1",
                                      "\f1",
                                      "\u00A0 1",
                                      "[1}",
                                      "{\"a\":1]"};
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
        CU_ASSERT_TRUE(is_bad(bytes_of(BAD[i])));
    CU_ASSERT_TRUE(is_bad((struct bytes){"[\0]", 3}));
    CU_ASSERT_TRUE(is_bad((struct bytes){"\"\0\"", 3}));
    CU_ASSERT_TRUE(is_bad((struct bytes){"{}\0", 3}));
    CU_ASSERT_TRUE(is_bad((struct bytes){NULL, 0}));
}

static void test_not_unicode(void) {
    static const char *const BAD[] = {
        "\"\xC0\x80\"",   "\"\xED\xA0\x80\"",   "\"\xF4\x90\x80\x80\"", "\"\x80\"",           "\"\xC3\"",
        "\"\\ud800\"",    "\"\\udc00\"",        "\"\\udc00\\udc00\"",   "\"\\ud800\\ud800\"", "\"\\ud800x\"",
        "\"\\ud800\\n\"", "\"\\udc00\\ud800\"", "\"\\ud800\\u0041\"",   "{\"\\ud800\":1}"};
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
        CU_ASSERT_TRUE(is_bad(bytes_of(BAD[i])));
}

static void test_duplicates(void) {
    CU_ASSERT_TRUE(is_bad(bytes_of("{\"a\":1,\"a\":1}")));
    CU_ASSERT_TRUE(is_bad(bytes_of("{\"a\":1,\"b\":2,\"\\u0061\":1}")));
    CU_ASSERT_TRUE(is_bad(bytes_of("[{\"x\":{\"a\":1,\"c\":0,\"b\":2,\"a\":3}}]")));
    CU_ASSERT_TRUE(is_bad(bytes_of("{\"\":1,\"\":1}")));
    CU_ASSERT_TRUE(is_bad(bytes_of("{\"\\n\":1,\"\\u000A\":1}")));
    CU_ASSERT_TRUE(becomes("{\"a\":{\"a\":1},\"b\":[{\"a\":1},{\"a\":1}]}",
                           "{\"a\":{\"a\":1},\"b\":[{\"a\":1},{\"a\":1}]}"));
}

static void test_depth(void) {
    CU_ASSERT_TRUE(becomes("[[[[1]]]]", "[[[[1]]]]"));
    CU_ASSERT_TRUE(is_bad(bytes_of("[[[[[1]]]]]")));
    CU_ASSERT_TRUE(becomes("{\"a\":[{\"a\":[]}]}", "{\"a\":[{\"a\":[]}]}"));
    CU_ASSERT_TRUE(is_bad(bytes_of("{\"a\":[{\"a\":[{}]}]}")));
    CU_ASSERT_TRUE(becomes("[[],[],[],[],[]]", "[[],[],[],[],[]]")); /* beside each other is not within */
}

/* [0,0,...,0] with n items has n + 1 tokens. */
static void test_tokens(void) {
    char json[200] = "[";
    for (int i = 0; i < TOKENS_MAX - 1; i++)
        strcat(json, i ? ",0" : "0");
    strcat(json, "]");
    CU_ASSERT_TRUE(becomes(json, json));
    json[strlen(json) - 1] = '\0';
    strcat(json, ",0]");
    CU_ASSERT_TRUE(is_bad(bytes_of(json)));
    /* What is within strings are no tokens. */
    memset(json, '[', 100);
    json[0] = json[99] = '"';
    json[100] = '\0';
    CU_ASSERT_TRUE(becomes(json, json));
    /* [{},{},...,{}] with n items has 3 n + 1. */
    for (int n = (TOKENS_MAX - 1) / 3; n <= (TOKENS_MAX - 1) / 3 + 1; n++) {
        strcpy(json, "[");
        for (int i = 0; i < n; i++)
            strcat(json, i ? ",{}" : "{}");
        strcat(json, "]");
        CU_ASSERT_TRUE(3 * n + 1 <= TOKENS_MAX ? becomes(json, json) : is_bad(bytes_of(json)));
    }
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
        at = canonical_value_end(at + 8, out.data + out.length);
        CU_ASSERT_EQUAL(*at, i < n - 1 ? ',' : '}');
        at++;
    }
    canonical_fini(&canonical);
    buffer_fini(&json);
    buffer_fini(&out);
}

static void test_plain_end(void) {
    for (size_t at = 0; at < 20; at++)
        for (int c = 0; c < 256; c++) {
            char text[20];
            memset(text, 'a', sizeof(text));
            text[at] = (char)c;
            bool plain = c >= ' ' && c != '"' && c != '\\';
            CU_ASSERT_PTR_EQUAL(canonical_plain_end(text, text + 20), text + (plain ? 20 : at));
        }
}

static void test_value_end_and_unescape(void) {
    char json[] = "[\"a]\\\"\\\\\",{\"b\":[1,{}]},-1.5e3,true,\"\"]";
    const size_t expected[] = {8, 12, 6, 4, 2};
    const char *end = json + strlen(json);
    char *at = json;
    for (size_t i = 0; i < 5; i++) {
        char *item = at + 1;
        at = canonical_value_end(item, end);
        CU_ASSERT_EQUAL(at - item, (long)expected[i]);
    }
    CU_ASSERT_EQUAL(*at, ']');
    CU_ASSERT_PTR_EQUAL(canonical_value_end(json, end), end);

    char text[] = "a\\\"b\\\\\\n\\t\\u0000\\u001f\u00e9";
    size_t length = canonical_unescape(text, strlen(text));
    CU_ASSERT_TRUE(bytes_equal((struct bytes){text, length}, (struct bytes){"a\"b\\\n\t\0\x1f\u00e9", 10}));
    char plain[] = "plain";
    CU_ASSERT_EQUAL(canonical_unescape(plain, 5), 5);
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
    {"what is not JSON", test_not_json},
    {"what is not Unicode", test_not_unicode},
    {"duplicates at every depth", test_duplicates},
    {"depth", test_depth},
    {"tokens", test_tokens},
    {"many members", test_many_members},
    {"where a plain stretch ends", test_plain_end},
    {"reading what was written", test_value_end_and_unescape},
    {"no memory", test_no_memory},
    {"the output's cap", test_cap},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "canonical", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
