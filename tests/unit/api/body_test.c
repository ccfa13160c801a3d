#include "api/body.h"

#include <stdio.h>

#include "../../fuzz/body_fuzz.c"
#include "random_json.h"
#include "unit.h"

#define MAX_BATCH 3

static struct body body; /* one for all cases, as a worker has it */

static enum body_status predict(const char *json) {
    return body_read(&body, BODY_PREDICT, bytes_of(json), MAX_BATCH);
}

static enum body_status purge(const char *json) {
    return body_read(&body, BODY_PURGE, bytes_of(json), MAX_BATCH);
}

static bool is(struct bytes bytes, const char *expected) {
    return bytes_equal(bytes, bytes_of(expected));
}

static void test_one_text(void) {
    static const char *const SAME[] = {
        "{\"text\":\"I love this!\"}", " {\n\t\"text\" : \"I love this!\" }\r\n",
        "{\"text\":\"I \\u006cove this!\"}", "{\"\\u0074ext\":\"I love this!\"}",
        "{\"text\":\"I love\\u0020this!\"}"};
    for (size_t i = 0; i < sizeof(SAME) / sizeof(SAME[0]); i++) {
        CU_ASSERT_EQUAL(predict(SAME[i]), BODY_OK);
        CU_ASSERT_TRUE(is(body.text, "I love this!"));
        CU_ASSERT_PTR_NULL(body.texts);
        CU_ASSERT_EQUAL(body.parameters.length, 0);
    }
    CU_ASSERT_EQUAL(predict("{\"text\":\"a\\n\\\"\\u00e9\\ud83d\\ude00\\/\"}"), BODY_OK);
    CU_ASSERT_TRUE(is(body.text, "a\n\"\u00e9\U0001F600/"));
    CU_ASSERT_EQUAL(predict("{\"text\":\"a\\u0000b\"}"), BODY_OK);
    CU_ASSERT_TRUE(bytes_equal(body.text, (struct bytes){"a\0b", 3}));
    CU_ASSERT_EQUAL(predict("{\"text\":\" \"}"),
                    BODY_OK); /* empty after normalisation, which is not judged here */
}

static void test_plain_text_is_read_in_place(void) {
    const char *json = "{\"text\":\"caf\u00e9, as it is\"}";
    unit_allocations_count_start();
    CU_ASSERT_EQUAL(predict(json), BODY_OK);
    CU_ASSERT_EQUAL(unit_allocations_count(), 0);
    CU_ASSERT_PTR_EQUAL(body.text.data, json + 9);
}

/* Bodies that the path for plain texts must leave to the other path: the same text, with and without a member
 * that sends it there. */
static void test_both_paths_agree(void) {
    static const char *const TEXTS[] = {"a",        "",           "a b",          "\\\"", "a\\", "\x7f",
                                        "\u00e9",   "\xC3",       "\xED\xA0\x80", "\x01", "\t",  "a\"b",
                                        "12345678", "1234567\\n", "\\u0041",      "'/<>"};
    for (size_t i = 0; i < sizeof(TEXTS) / sizeof(TEXTS[0]); i++) {
        char plain[100], other[100], kept[100] = "";
        snprintf(plain, sizeof(plain), "{\"text\":\"%s\"}", TEXTS[i]);
        snprintf(other, sizeof(other), "{\"text\":\"%s\",\"p\":1}", TEXTS[i]);
        enum body_status status = predict(plain);
        size_t length = body.text.length;
        if (status == BODY_OK)
            memcpy(kept, body.text.data, length);
        CU_ASSERT_EQUAL(predict(other), status);
        CU_ASSERT_TRUE(status != BODY_OK || bytes_equal(body.text, (struct bytes){kept, length}));
    }
}

static void test_texts(void) {
    CU_ASSERT_EQUAL(predict("{\"texts\":[\"b\",\"\\u0061\\n\",\"b\"]}"), BODY_OK);
    CU_ASSERT_PTR_NULL(body.text.data);
    CU_ASSERT_EQUAL_FATAL(body.n_texts, 3);
    CU_ASSERT_TRUE(is(body.texts[0], "b") && is(body.texts[1], "a\n") && is(body.texts[2], "b"));
    CU_ASSERT_EQUAL(predict("{\"texts\":[\"one\"]}"), BODY_OK);
    CU_ASSERT_EQUAL(body.n_texts, 1);
}

static void test_large_batch(void) {
    struct buffer json;
    buffer_init(&json, 1 << 20);
    const unsigned n = 1000;
    for (unsigned i = 0; i < n; i++)
        buffer_append_format(&json, "%s\"%u\"", i ? "," : "{\"texts\":[", i);
    buffer_append_text(&json, "],\"p\":[1]}");
    CU_ASSERT_EQUAL(body_read(&body, BODY_PREDICT, buffer_bytes(&json), n), BODY_OK);
    CU_ASSERT_EQUAL_FATAL(body.n_texts, n);
    for (unsigned i = 0; i < n; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%u", i);
        CU_ASSERT_TRUE(is(body.texts[i], text));
    }
    CU_ASSERT_TRUE(is(body.parameters, "{\"p\":[1]}"));
    CU_ASSERT_EQUAL(body_read(&body, BODY_PREDICT, buffer_bytes(&json), n - 1), BODY_BAD_SHAPE);
    buffer_fini(&json);
}

static void test_parameters(void) {
    static const char *const SAME[] = {
        "{\"text\":\"x\",\"k\":3,\"o\":{\"a\":\"q\",\"b\":[1.0,2]}}",
        "{\"o\":{\"b\":[1.0,2],\"a\":\"q\"},\"k\":3,\"text\":\"x\"}",
        " {\"k\" : 3,\n\"text\":\"x\" ,\"o\":{\"b\":[ 1.0 ,2],\"\\u0061\":\"\\u0071\"}} "};
    for (size_t i = 0; i < sizeof(SAME) / sizeof(SAME[0]); i++) {
        CU_ASSERT_EQUAL(predict(SAME[i]), BODY_OK);
        CU_ASSERT_TRUE(is(body.text, "x"));
        CU_ASSERT_TRUE(is(body.parameters, "{\"k\":3,\"o\":{\"a\":\"q\",\"b\":[1.0,2]}}"));
    }
    CU_ASSERT_EQUAL(predict("{\"text\":\"x\",\"n\":1}"), BODY_OK);
    CU_ASSERT_TRUE(is(body.parameters, "{\"n\":1}"));
    CU_ASSERT_EQUAL(predict("{\"text\":\"x\",\"n\":1.0}"), BODY_OK);
    CU_ASSERT_TRUE(is(body.parameters, "{\"n\":1.0}"));
    CU_ASSERT_EQUAL(predict("{\"text\":\"x\",\"zz\":\"\\u000a\",\"keys\":[],\"namespace\":null}"), BODY_OK);
    CU_ASSERT_TRUE(is(body.parameters, "{\"keys\":[],\"namespace\":null,\"zz\":\"\\n\"}"));
    /* Escapes in the text are undone in place; what is around it is not to suffer. */
    CU_ASSERT_EQUAL(predict("{\"text\":\"\\\"\\\\\\n\",\"a\":\"\\\"\",\"u\":\"\\\\\"}"), BODY_OK);
    CU_ASSERT_TRUE(is(body.text, "\"\\\n"));
    CU_ASSERT_TRUE(is(body.parameters, "{\"a\":\"\\\"\",\"u\":\"\\\\\"}"));
}

static void test_bad_json(void) {
    static const char *const BAD[] = {"",
                                      "{",
                                      "{\"text\":\"a\"",
                                      "{\"text\":\"a\"}x",
                                      "{\"text\":\"a\",}",
                                      "{\"text\":\"a\",\"text\":\"a\"}",
                                      "{\"text\":\"a\",\"p\":{\"q\":1,\"q\":2}}",
                                      "{\"text\":\"\\ud800\"}",
                                      "{\"text\":\"\xFF\"}",
                                      "{\"text\":1,\"p\":}",
                                      "[1",
                                      "text=a",
                                      "{\"text\":\"a\nb\"}"};
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        CU_ASSERT_EQUAL(predict(BAD[i]), BODY_BAD_JSON);
        CU_ASSERT_PTR_NOT_NULL(body.detail);
        CU_ASSERT_STRING_EQUAL(body.pointer, "");
        CU_ASSERT_PTR_NULL(body.text.data);
        CU_ASSERT_EQUAL(purge(BAD[i]), BODY_BAD_JSON);
    }
}

static void test_limits(void) {
    struct buffer json;
    buffer_init(&json, 1 << 20);
    for (int depth = BODY_DEPTH_MAX; depth <= BODY_DEPTH_MAX + 1; depth++) { /* the object is one of them */
        buffer_reset(&json, SIZE_MAX);
        buffer_append_text(&json, "{\"text\":\"a\",\"p\":");
        for (int i = 1; i < depth; i++)
            buffer_append_char(&json, '[');
        for (int i = 1; i < depth; i++)
            buffer_append_char(&json, ']');
        buffer_append_char(&json, '}');
        CU_ASSERT_EQUAL(body_read(&body, BODY_PREDICT, buffer_bytes(&json), 1),
                        depth <= BODY_DEPTH_MAX ? BODY_OK : BODY_BAD_JSON);
    }
    buffer_reset(&json, SIZE_MAX);
    buffer_append_text(&json, "{\"text\":\"a\",\"p\":[{}");
    for (int i = 0; i < 300000; i++)
        buffer_append_text(&json, ",{}");
    buffer_append_text(&json, "]}");
    CU_ASSERT_EQUAL(body_read(&body, BODY_PREDICT, buffer_bytes(&json), 1), BODY_BAD_JSON);
    buffer_fini(&json);
}

struct bad_shape {
    const char *json;
    const char *pointer;
};

static void check_bad_shapes(const struct bad_shape *cases, size_t n, bool is_purge) {
    for (size_t i = 0; i < n; i++) {
        enum body_status status = is_purge ? purge(cases[i].json) : predict(cases[i].json);
        CU_ASSERT_EQUAL(status, BODY_BAD_SHAPE);
        CU_ASSERT_PTR_NOT_NULL(body.detail);
        CU_ASSERT_STRING_EQUAL(body.pointer, cases[i].pointer);
        CU_ASSERT_PTR_NULL(body.text.data);
        CU_ASSERT_PTR_NULL(body.texts);
        CU_ASSERT_EQUAL(body.parameters.length, 0);
    }
}

static void test_bad_predict_shapes(void) {
    static const struct bad_shape CASES[] = {
        {"5", ""},
        {"\"text\"", ""},
        {"null", ""},
        {"[]", ""},
        {"[{\"text\":\"a\"}]", ""},
        {"{}", ""},
        {"{\"Text\":\"a\"}", ""},
        {"{\"keys\":[\"a\"]}", ""},
        {"{\"text\":\"a\",\"texts\":[\"a\"]}", ""},
        {"{\"text\":\"\"}", "#/text"},
        {"{\"text\":5}", "#/text"},
        {"{\"text\":null}", "#/text"},
        {"{\"text\":[\"a\"],\"p\":1}", "#/text"},
        {"{\"texts\":\"a\"}", "#/texts"},
        {"{\"texts\":{}}", "#/texts"},
        {"{\"texts\":[]}", "#/texts"},
        {"{\"texts\":[\"a\",\"b\",\"c\",\"d\"]}", "#/texts"},
        {"{\"texts\":[\"\"]}", "#/texts/0"},
        {"{\"texts\":[\"a\",\"b\",1]}", "#/texts/2"},
        {"{\"texts\":[\"a\",[\"b\"]]}", "#/texts/1"},
        {"{\"texts\":[{}]}", "#/texts/0"},
    };
    check_bad_shapes(CASES, sizeof(CASES) / sizeof(CASES[0]), false);
}

static void test_purge(void) {
    CU_ASSERT_EQUAL(purge("{\"text\":\"a\",\"p\":1}"), BODY_OK);
    CU_ASSERT_TRUE(is(body.text, "a") && is(body.parameters, "{\"p\":1}"));
    CU_ASSERT_EQUAL(purge("{\"texts\":[\"a\",\"\"]}"), BODY_OK);
    CU_ASSERT_EQUAL(body.n_texts, 2);
    CU_ASSERT_EQUAL(purge("{\"text\":\"\"}"), BODY_OK);
    CU_ASSERT_TRUE(body.text.data && body.text.length == 0);
    CU_ASSERT_EQUAL(purge("{\"keys\":[\"ab\\u0063\",\"\"]}"), BODY_OK);
    CU_ASSERT_PTR_NULL(body.texts);
    CU_ASSERT_EQUAL_FATAL(body.n_keys, 2);
    CU_ASSERT_TRUE(is(body.keys[0], "abc") && body.keys[1].length == 0);
    CU_ASSERT_EQUAL(purge("{\"namespace\":\"blue\"}"), BODY_OK);
    CU_ASSERT_TRUE(is(body.cache_namespace, "blue"));
    CU_ASSERT_PTR_NULL(body.keys);
}

/* A predict request as it was, whatever its parameters are called. */
static void test_purge_by_request(void) {
    CU_ASSERT_EQUAL(predict("{\"namespace\":\"b\",\"keys\":[1],\"text\":\"a\",\"request\":{}}"), BODY_OK);
    struct bytes parameters = body.parameters;
    CU_ASSERT_TRUE(is(parameters, "{\"keys\":[1],\"namespace\":\"b\",\"request\":{}}"));
    CU_ASSERT_EQUAL(
        purge("{\"request\":{\"namespace\":\"b\",\"keys\":[1],\"text\":\"\\u0061\",\"request\":{}}}"),
        BODY_OK);
    CU_ASSERT_TRUE(is(body.text, "a"));
    CU_ASSERT_TRUE(is(body.parameters, "{\"keys\":[1],\"namespace\":\"b\",\"request\":{}}"));
    CU_ASSERT_TRUE(!body.keys && !body.cache_namespace.data && body.pointer[0] == '\0');
    CU_ASSERT_EQUAL(purge("{ \"request\" : {\"texts\":[\"b\",\"\"]} }"), BODY_OK);
    CU_ASSERT_EQUAL_FATAL(body.n_texts, 2);
    CU_ASSERT_TRUE(is(body.texts[0], "b") && body.texts[1].length == 0);
    CU_ASSERT_EQUAL(body.parameters.length, 0);
}

static void test_bad_purge_shapes(void) {
    static const struct bad_shape CASES[] = {
        {"[]", ""},
        {"{}", ""},
        {"{\"p\":1}", ""},
        {"{\"text\":\"a\",\"keys\":[\"a\"]}", ""},
        {"{\"text\":\"a\",\"namespace\":\"a\"}", ""},
        {"{\"keys\":[\"a\"],\"p\":1}", ""},
        {"{\"namespace\":\"a\",\"p\":1}", ""},
        {"{\"namespace\":1}", "#/namespace"},
        {"{\"keys\":\"a\"}", "#/keys"},
        {"{\"keys\":[]}", "#/keys"},
        {"{\"keys\":[1]}", "#/keys/0"},
        {"{\"keys\":[\"a\",\"b\",\"c\",\"d\"]}", "#/keys"},
        {"{\"request\":{\"text\":\"a\"},\"p\":1}", ""},
        {"{\"request\":{\"text\":\"a\"},\"text\":\"a\"}", ""},
        {"{\"request\":\"a\"}", "#/request"},
        {"{\"request\":[]}", "#/request"},
        {"{\"request\":{}}", "#/request"},
        {"{\"request\":{\"keys\":[\"a\"]}}", "#/request"},
        {"{\"request\":{\"request\":{\"text\":\"a\"}}}", "#/request"},
        {"{\"request\":{\"text\":1}}", "#/request/text"},
        {"{\"request\":{\"texts\":[\"a\",1]}}", "#/request/texts/1"},
    };
    check_bad_shapes(CASES, sizeof(CASES) / sizeof(CASES[0]), true);
}

static void test_reset(void) {
    CU_ASSERT_EQUAL(predict("{\"texts\":[\"a\"],\"p\":1}"), BODY_OK);
    body_reset(&body);
    CU_ASSERT_TRUE(!body.texts && body.n_texts == 0 && body.parameters.length == 0 && !body.detail);
    CU_ASSERT_EQUAL(predict("{\"text\":7}"), BODY_BAD_SHAPE);
    CU_ASSERT_EQUAL(predict("{\"text\":\"a\"}"), BODY_OK);
    CU_ASSERT_TRUE(!body.detail && body.pointer[0] == '\0');
}

static void test_no_memory(void) {
    enum body_status status = BODY_NO_MEMORY;
    for (unsigned n = 1; n < 20 && status == BODY_NO_MEMORY; n++) {
        struct body fresh;
        body_init(&fresh);
        unit_allocations_fail(n, true);
        status =
            body_read(&fresh, BODY_PREDICT, bytes_of("{\"texts\":[\"a\",\"b\"],\"q\":1,\"p\":2}"), MAX_BATCH);
        unit_allocations_heal();
        CU_ASSERT_TRUE(status == BODY_NO_MEMORY || status == BODY_OK);
        CU_ASSERT_EQUAL(fresh.texts != NULL, status == BODY_OK);
        body_fini(&fresh);
    }
    CU_ASSERT_EQUAL(status, BODY_OK);
}

static void test_random(void) {
    char json[RANDOM_JSON_MAX];
    for (int run = 0; run < 60000; run++) {
        size_t length = random_json(json);
        LLVMFuzzerTestOneInput((const uint8_t *)json, length);
    }
}

static const struct unit_case CASES[] = {
    {"one text", test_one_text},
    {"a plain text is read in place", test_plain_text_is_read_in_place},
    {"both paths agree", test_both_paths_agree},
    {"several texts", test_texts},
    {"a large batch", test_large_batch},
    {"parameters in canonical form", test_parameters},
    {"bad JSON", test_bad_json},
    {"depth and tokens", test_limits},
    {"bad shapes of predict", test_bad_predict_shapes},
    {"purge", test_purge},
    {"purge by request", test_purge_by_request},
    {"bad shapes of purge", test_bad_purge_shapes},
    {"reset", test_reset},
    {"no memory", test_no_memory},
    {"random bodies", test_random},
};

int main(int argc, char *argv[]) {
    body_init(&body);
    int result = unit_main(argc, argv, "body", CASES, sizeof(CASES) / sizeof(CASES[0]));
    body_fini(&body);
    return result;
}
