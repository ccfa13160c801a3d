#include "inferonce/base/json_reader.h"

#include <stdio.h>
#include <stdlib.h>

#include "unit.h"

#define DEPTH_MAX  4
#define TOKENS_MAX 40

static enum json_token read_all(struct json_reader *reader, struct bytes json) {
    enum json_token token;
    json_reader_begin(reader, json);
    while ((token = json_next(reader)) < JSON_TOKEN_END)
        ;
    json_reader_end(reader);
    return token;
}

static bool ends_with(enum json_token expected, struct bytes json) {
    struct json_reader reader;
    json_reader_init(&reader, DEPTH_MAX, TOKENS_MAX);
    enum json_token token = read_all(&reader, json);
    CU_ASSERT_EQUAL(token == JSON_TOKEN_BAD, reader.detail != NULL);
    if (token != expected)
        printf("ends with %d: %.*s\n", (int)token, (int)json.length, json.length ? json.data : "");
    json_reader_fini(&reader);
    return token == expected;
}

static bool is_good(struct bytes json) {
    return ends_with(JSON_TOKEN_END, json);
}

static bool is_bad(struct bytes json) {
    return ends_with(JSON_TOKEN_BAD, json);
}

static void test_tokens_in_turn(void) {
    static const struct {
        enum json_token token;
        const char *text;
        bool escaped;
    } EXPECTED[] = {{JSON_TOKEN_OBJECT, "{", false},       {JSON_TOKEN_NAME, "\"b\"", false},
                    {JSON_TOKEN_ARRAY, "[", false},        {JSON_TOKEN_PLAIN, "-1.50e+3", false},
                    {JSON_TOKEN_STRING, "\"x\\n\"", true}, {JSON_TOKEN_ARRAY, "[", false},
                    {JSON_TOKEN_ARRAY_END, "]", false},    {JSON_TOKEN_PLAIN, "null", false},
                    {JSON_TOKEN_ARRAY_END, "]", false},    {JSON_TOKEN_NAME, "\"\\u0061\"", true},
                    {JSON_TOKEN_OBJECT, "{", false},       {JSON_TOKEN_OBJECT_END, "}", false},
                    {JSON_TOKEN_OBJECT_END, "}", false},   {JSON_TOKEN_END, NULL, false}};
    struct json_reader reader;
    json_reader_init(&reader, DEPTH_MAX, TOKENS_MAX);
    json_reader_begin(&reader,
                      bytes_of(" { \"b\" : [ -1.50e+3 ,\"x\\n\",[ ],null]\n,\"\\u0061\":{\t} }\r\n"));
    for (size_t i = 0; i < sizeof(EXPECTED) / sizeof(EXPECTED[0]); i++) {
        CU_ASSERT_EQUAL(json_next(&reader), EXPECTED[i].token);
        CU_ASSERT_TRUE(!EXPECTED[i].text || bytes_equal(reader.text, bytes_of(EXPECTED[i].text)));
        if (EXPECTED[i].token == JSON_TOKEN_NAME || EXPECTED[i].token == JSON_TOKEN_STRING)
            CU_ASSERT_EQUAL(reader.escaped, EXPECTED[i].escaped);
    }
    json_reader_end(&reader);
    json_reader_fini(&reader);
}

static void skip_to(struct json_reader *reader, enum json_token token) {
    enum json_token next;
    while ((next = json_next(reader)) != token)
        CU_ASSERT_FATAL(next < JSON_TOKEN_END);
}

static void test_members(void) {
    struct json_reader reader;
    json_reader_init(&reader, DEPTH_MAX, TOKENS_MAX);
    json_reader_begin(&reader,
                      bytes_of("[{\"c\":{\"z\":0,\"\\u0079\":0},\"a\":1,\"b\":[{}]},{\"a\":1,\"b\":2}]"));
    skip_to(&reader, JSON_TOKEN_OBJECT_END);
    CU_ASSERT_EQUAL_FATAL(reader.n_members, 2);
    CU_ASSERT_TRUE(!reader.in_order && bytes_equal(reader.members[0].name, bytes_of("\\u0079")));
    skip_to(&reader, JSON_TOKEN_OBJECT_END);
    CU_ASSERT_TRUE(reader.in_order && reader.n_members == 0);
    skip_to(&reader, JSON_TOKEN_OBJECT_END);
    CU_ASSERT_EQUAL_FATAL(reader.n_members, 3);
    CU_ASSERT_FALSE(reader.in_order);
    for (size_t i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(reader.members[i].name.data[0], "abc"[i]);
        CU_ASSERT_EQUAL(reader.members[i].place, (i + 1) % 3);
    }
    skip_to(&reader, JSON_TOKEN_OBJECT_END);
    CU_ASSERT_TRUE(reader.in_order && reader.n_members == 2);
    skip_to(&reader, JSON_TOKEN_END);
    json_reader_end(&reader);
    json_reader_fini(&reader);
}

static void test_numbers(void) {
    static const char *const NUMBERS[] = {"0",
                                          "-0",
                                          "1",
                                          "1.0",
                                          "1e0",
                                          "1E+0",
                                          "0.10",
                                          "-12.5e-3",
                                          "0e00",
                                          "1e9999",
                                          "123456789012345678901234567890"};
    for (size_t i = 0; i < sizeof(NUMBERS) / sizeof(NUMBERS[0]); i++)
        CU_ASSERT_TRUE(is_good(bytes_of(NUMBERS[i])));
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
    CU_ASSERT_TRUE(is_good(bytes_of("{\"a\":{\"a\":1},\"b\":[{\"a\":1},{\"a\":1}]}")));
}

static void test_depth(void) {
    CU_ASSERT_TRUE(is_good(bytes_of("[[[[1]]]]")));
    CU_ASSERT_TRUE(is_bad(bytes_of("[[[[[1]]]]]")));
    CU_ASSERT_TRUE(is_good(bytes_of("{\"a\":[{\"a\":[]}]}")));
    CU_ASSERT_TRUE(is_bad(bytes_of("{\"a\":[{\"a\":[{}]}]}")));
    CU_ASSERT_TRUE(is_good(bytes_of("[[],[],[],[],[]]"))); /* beside each other is not within */
}

/* [0,0,...,0] with n items has n + 1 tokens. */
static void test_tokens(void) {
    char json[200] = "[";
    for (int i = 0; i < TOKENS_MAX - 1; i++)
        strcat(json, i ? ",0" : "0");
    strcat(json, "]");
    CU_ASSERT_TRUE(is_good(bytes_of(json)));
    json[strlen(json) - 1] = '\0';
    strcat(json, ",0]");
    CU_ASSERT_TRUE(is_bad(bytes_of(json)));
    /* Characters within strings are no tokens. */
    memset(json, '[', 100);
    json[0] = json[99] = '"';
    json[100] = '\0';
    CU_ASSERT_TRUE(is_good(bytes_of(json)));
    /* [{},{},...,{}] with n items has 3 n + 1. */
    for (int n = (TOKENS_MAX - 1) / 3; n <= (TOKENS_MAX - 1) / 3 + 1; n++) {
        strcpy(json, "[");
        for (int i = 0; i < n; i++)
            strcat(json, i ? ",{}" : "{}");
        strcat(json, "]");
        CU_ASSERT_TRUE(3 * n + 1 <= TOKENS_MAX ? is_good(bytes_of(json)) : is_bad(bytes_of(json)));
    }
}

/* Names that are equal for long, and written so that each has to be compared to its end: a reader that
 * compares every pair takes minutes. */
static void test_many_members(void) {
    struct json_reader reader;
    struct buffer json;
    json_reader_init(&reader, 1, SIZE_MAX);
    buffer_init(&json, 1 << 24);
    const unsigned n = 200000;
    for (unsigned i = 0; i < n; i++)
        buffer_append_format(&json, "%c\"a name that begins as all do %06u\":0", i ? ',' : '{',
                             (i * 3457) % n);
    buffer_append_text(&json, "}");
    CU_ASSERT_EQUAL(read_all(&reader, buffer_bytes(&json)), JSON_TOKEN_END);
    json.length--;
    buffer_append_text(&json, ",\"a name that begins as all do 000123\":0}");
    CU_ASSERT_EQUAL(read_all(&reader, buffer_bytes(&json)), JSON_TOKEN_BAD);
    json_reader_fini(&reader);
    buffer_fini(&json);
}

/* A bad text stays bad; the next text starts anew. */
static void test_after_a_fault(void) {
    struct json_reader reader;
    json_reader_init(&reader, DEPTH_MAX, TOKENS_MAX);
    json_reader_begin(&reader, bytes_of("[1 2]"));
    skip_to(&reader, JSON_TOKEN_PLAIN);
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(json_next(&reader), JSON_TOKEN_BAD);
    json_reader_end(&reader);
    CU_ASSERT_EQUAL(read_all(&reader, bytes_of("{\"a\":[]}")), JSON_TOKEN_END);
    CU_ASSERT_PTR_NULL(reader.detail);
    json_reader_fini(&reader);
}

static void test_no_memory(void) {
    struct bytes json = bytes_of("[{\"a\":1},2]");
    struct json_reader reader;
    json_reader_init(&reader, DEPTH_MAX, TOKENS_MAX);
#if !defined(__SANITIZE_ADDRESS__)
    unit_allocations_fail(1, true);
    enum json_token token = read_all(&reader, json);
    unit_allocations_heal();
    CU_ASSERT_EQUAL(token, JSON_TOKEN_NO_MEMORY);
#endif
    CU_ASSERT_EQUAL(read_all(&reader, json), JSON_TOKEN_END);
    unit_allocations_count_start();
    CU_ASSERT_EQUAL(read_all(&reader, json), JSON_TOKEN_END);
    CU_ASSERT_EQUAL(unit_allocations_count(), 0);
    json_reader_fini(&reader);
}

static const struct unit_case CASES[] = {
    {"tokens in turn", test_tokens_in_turn},
    {"members are sorted by name", test_members},
    {"numbers have no range", test_numbers},
    {"what is not JSON", test_not_json},
    {"what is not Unicode", test_not_unicode},
    {"duplicates at every depth", test_duplicates},
    {"depth", test_depth},
    {"structural characters are counted", test_tokens},
    {"many members", test_many_members},
    {"after a fault", test_after_a_fault},
    {"no memory", test_no_memory},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "json_reader", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
