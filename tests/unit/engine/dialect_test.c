#include "engine/upstream/dialect.h"

#include "unit.h"

#define TEXTS_MOST 4

struct asked {
    const struct dialect *dialect;
    struct bytes texts[TEXTS_MOST];
    struct dialect_question question;
    struct buffer made;
    struct dialect_result results[TEXTS_MOST];
    struct bytes answer;
};

static void ask(struct asked *asked, enum settings_dialect name, size_t n, const char *parameters) {
    static const char *const TEXTS[TEXTS_MOST] = {"one", "tw\"o\"\n", "\xc3\xa9t\xc3\xa9", "four"};
    *asked = (struct asked){.dialect = dialect_of(name)};
    for (size_t i = 0; i < n; i++)
        asked->texts[i] = bytes_of(TEXTS[i]);
    asked->question = (struct dialect_question){.texts = asked->texts,
                                                .n = n,
                                                .parameters = bytes_of(parameters),
                                                .model_name = bytes_of("the \"model\""),
                                                .id = bytes_of("0123456789abcdef")};
    buffer_init(&asked->made, 1 << 20);
}

static void check_body(enum settings_dialect name, size_t n, const char *parameters, const char *expected) {
    struct asked asked;
    struct buffer body;
    ask(&asked, name, n, parameters);
    buffer_init(&body, 1 << 20);
    asked.dialect->encode(&asked.question, &body);
    CU_ASSERT_FALSE(body.failed);
    CU_ASSERT(bytes_equal(buffer_bytes(&body), bytes_of(expected)));
    buffer_fini(&body);
}

/* `expected`: n results, NULL where there is none. */
static void check_answer(enum settings_dialect name, size_t n, const char *answer,
                         const char *const *expected) {
    struct asked asked;
    ask(&asked, name, n, NULL);
    struct bytes bytes = bytes_of(answer);
    CU_ASSERT(dialect_decode(asked.dialect, &asked.question, bytes, &asked.made, asked.results));
    for (size_t i = 0; i < n; i++) {
        CU_ASSERT_EQUAL(asked.results[i].good, expected[i] != NULL);
        if (!asked.results[i].good || !expected[i])
            continue;
        struct bytes found = dialect_result_bytes(&asked.results[i], bytes, &asked.made);
        CU_ASSERT(bytes_equal(found, bytes_of(expected[i])));
    }
    buffer_fini(&asked.made);
}

#define RESULTS(...) ((const char *const[]){__VA_ARGS__})
#define NOTHING      RESULTS(NULL, NULL, NULL, NULL)

static void test_bodies(void) {
    static const char PARAMETERS[] = "{\"a\":1,\"b\":[2.50]}";
    check_body(SETTINGS_DIALECT_PLAIN, 1, NULL, "{\"text\":\"one\"}");
    check_body(SETTINGS_DIALECT_PLAIN, 1, PARAMETERS, "{\"text\":\"one\",\"a\":1,\"b\":[2.50]}");
    check_body(SETTINGS_DIALECT_TEI, 1, NULL, "{\"inputs\":\"one\"}");
    check_body(SETTINGS_DIALECT_TEI, 3, NULL,
               "{\"inputs\":[[\"one\"],[\"tw\\\"o\\\"\\n\"],[\"\xc3\xa9t\xc3\xa9\"]]}");
    check_body(SETTINGS_DIALECT_TEI, 2, "{\"truncate\":true}",
               "{\"inputs\":[[\"one\"],[\"tw\\\"o\\\"\\n\"]],\"truncate\":true}");
    check_body(
        SETTINGS_DIALECT_KSERVE, 2, PARAMETERS,
        "{\"id\":\"0123456789abcdef\",\"parameters\":{\"a\":1,\"b\":[2.50]},\"inputs\":[{\"name\":\"text\","
        "\"shape\":[2],\"datatype\":\"BYTES\",\"data\":[\"one\",\"tw\\\"o\\\"\\n\"]}]}");
    check_body(
        SETTINGS_DIALECT_KSERVE, 1, NULL,
        "{\"id\":\"0123456789abcdef\",\"inputs\":[{\"name\":\"text\",\"shape\":[1],\"datatype\":\"BYTES\","
        "\"data\":[\"one\"]}]}");
    check_body(SETTINGS_DIALECT_OPENAI, 1, NULL, "{\"input\":\"one\",\"model\":\"the \\\"model\\\"\"}");
    check_body(SETTINGS_DIALECT_OPENAI, 2, "{\"dimensions\":8}",
               "{\"input\":[\"one\",\"tw\\\"o\\\"\\n\"],\"model\":\"the \\\"model\\\"\",\"dimensions\":8}");
    check_body(SETTINGS_DIALECT_TEI_EMBED, 2, "{\"normalize\":true}",
               "{\"inputs\":[\"one\",\"tw\\\"o\\\"\\n\"],\"normalize\":true}");
    check_body(SETTINGS_DIALECT_TEI_RERANK, 2, "{\"query\":\"q\"}",
               "{\"texts\":[\"one\",\"tw\\\"o\\\"\\n\"],\"query\":\"q\"}");
    check_body(SETTINGS_DIALECT_KSERVE1, 1, NULL, "{\"instances\":[\"one\"]}");
    check_body(SETTINGS_DIALECT_KSERVE1, 2, PARAMETERS,
               "{\"instances\":[\"one\",\"tw\\\"o\\\"\\n\"],\"a\":1,\"b\":[2.50]}");
}

/* UPSTREAM_INPUT_NAME and UPSTREAM_KSERVE_SHAPE. */
static void check_named_body(enum settings_dialect name, size_t n, bool column, const char *expected) {
    struct asked asked;
    struct buffer body;
    ask(&asked, name, n, "{\"a\":1}");
    asked.question.input_name = bytes_of("my.text");
    asked.question.column = column;
    buffer_init(&body, 1 << 20);
    asked.dialect->encode(&asked.question, &body);
    CU_ASSERT(bytes_equal(buffer_bytes(&body), bytes_of(expected)));
    buffer_fini(&body);
}

static void test_bodies_with_another_name(void) {
    check_named_body(SETTINGS_DIALECT_PLAIN, 1, false, "{\"my.text\":\"one\",\"a\":1}");
    check_named_body(SETTINGS_DIALECT_TEI, 1, false, "{\"my.text\":\"one\",\"a\":1}");
    check_named_body(SETTINGS_DIALECT_TEI_EMBED, 1, false, "{\"my.text\":[\"one\"],\"a\":1}");
    check_named_body(SETTINGS_DIALECT_TEI_RERANK, 1, false, "{\"my.text\":[\"one\"],\"a\":1}");
    check_named_body(SETTINGS_DIALECT_OPENAI, 1, false,
                     "{\"my.text\":\"one\",\"model\":\"the \\\"model\\\"\",\"a\":1}");
    check_named_body(SETTINGS_DIALECT_KSERVE1, 2, false,
                     "{\"instances\":[{\"my.text\":\"one\"},{\"my.text\":\"tw\\\"o\\\"\\n\"}],\"a\":1}");
    check_named_body(
        SETTINGS_DIALECT_KSERVE, 2, true,
        "{\"id\":\"0123456789abcdef\",\"parameters\":{\"a\":1},\"inputs\":[{\"name\":\"my.text\","
        "\"shape\":[2,1],\"datatype\":\"BYTES\",\"data\":[\"one\",\"tw\\\"o\\\"\\n\"]}]}");
}

static const char *reserved(enum settings_dialect name, const char *input_name, const char *parameters) {
    const char *found = dialect_reserved_parameter(dialect_of(name), input_name, bytes_of(parameters));
    return found ? found : "none";
}

static void test_reserved_parameters(void) {
    CU_ASSERT_STRING_EQUAL(reserved(SETTINGS_DIALECT_OPENAI, "", NULL), "none");
    CU_ASSERT_STRING_EQUAL(reserved(SETTINGS_DIALECT_OPENAI, "", "{\"user\":{\"model\":1}}"), "none");
    CU_ASSERT_STRING_EQUAL(reserved(SETTINGS_DIALECT_OPENAI, "", "{\"a\":1,\"model\":\"x\"}"), "model");
    CU_ASSERT_STRING_EQUAL(reserved(SETTINGS_DIALECT_OPENAI, "", "{\"input\":1}"), "input");
    CU_ASSERT_STRING_EQUAL(reserved(SETTINGS_DIALECT_TEI, "", "{\"inputs\":1}"), "inputs");
    CU_ASSERT_STRING_EQUAL(reserved(SETTINGS_DIALECT_TEI_EMBED, "", "{\"inputs\":1}"), "inputs");
    CU_ASSERT_STRING_EQUAL(reserved(SETTINGS_DIALECT_TEI_RERANK, "", "{\"texts\":1}"), "texts");
    CU_ASSERT_STRING_EQUAL(reserved(SETTINGS_DIALECT_TEI_RERANK, "", "{\"query\":\"q\"}"), "none");
    CU_ASSERT_STRING_EQUAL(reserved(SETTINGS_DIALECT_KSERVE, "", "{\"inputs\":1,\"text\":1}"), "none");
    CU_ASSERT_STRING_EQUAL(reserved(SETTINGS_DIALECT_KSERVE1, "", "{\"instances\":1}"), "instances");
    CU_ASSERT_STRING_EQUAL(reserved(SETTINGS_DIALECT_PLAIN, "prompt", "{\"prompt\":1}"), "prompt");
    CU_ASSERT_STRING_EQUAL(reserved(SETTINGS_DIALECT_OPENAI, "prompt", "{\"input\":1}"), "none");
}

static void test_plain(void) {
    check_answer(SETTINGS_DIALECT_PLAIN, 1, " {\"a\": 1.50}\n", RESULTS("{\"a\": 1.50}"));
    check_answer(SETTINGS_DIALECT_PLAIN, 1, "null", RESULTS("null"));
    check_answer(SETTINGS_DIALECT_PLAIN, 1, "<html>", NOTHING);
    check_answer(SETTINGS_DIALECT_PLAIN, 1, "", NOTHING);
}

#define SCORES(x) "[{\"label\":\"" x "\", \"score\":0.50},{\"score\":1e-3,\"label\":\"b\"}]"

static void test_tei(void) {
    check_answer(SETTINGS_DIALECT_TEI, 1, SCORES("x"), RESULTS(SCORES("x")));
    check_answer(SETTINGS_DIALECT_TEI, 2, "[" SCORES("x") " , " SCORES("y") "]",
                 RESULTS(SCORES("x"), SCORES("y")));
    /* One that is not what it should be costs the others nothing. */
    check_answer(SETTINGS_DIALECT_TEI, 3, "[" SCORES("x") ",{\"error\":\"x\"}," SCORES("y") "]",
                 RESULTS(SCORES("x"), NULL, SCORES("y")));
    check_answer(SETTINGS_DIALECT_TEI, 3, "[" SCORES("x") ",[]," SCORES("y") "]",
                 RESULTS(SCORES("x"), NULL, SCORES("y")));
}

static void test_tei_counts(void) {
    check_answer(SETTINGS_DIALECT_TEI, 2, "[" SCORES("x") "]", NOTHING);
    check_answer(SETTINGS_DIALECT_TEI, 2, "[" SCORES("x") "," SCORES("y") "," SCORES("z") "]", NOTHING);
    check_answer(SETTINGS_DIALECT_TEI, 2, SCORES("x"), NOTHING); /* two labels are not two texts */
    check_answer(SETTINGS_DIALECT_TEI, 2, "[]", NOTHING);
    check_answer(SETTINGS_DIALECT_TEI, 1, "[" SCORES("x") "]", NOTHING);
    check_answer(SETTINGS_DIALECT_TEI, 1, "[]", NOTHING);
    check_answer(SETTINGS_DIALECT_TEI, 1, "{}", NOTHING);
    check_answer(SETTINGS_DIALECT_TEI, 1, "[{\"label\":1,\"score\":1}]", NOTHING);
    check_answer(SETTINGS_DIALECT_TEI, 1, "[{\"label\":\"a\",\"score\":\"1\"}]", NOTHING);
    check_answer(SETTINGS_DIALECT_TEI, 1, "[{\"label\":\"a\"}]", NOTHING);
}

/* Answers that would be kept, and are no results. */
static void test_tei_no_results(void) {
    static const char *const WRONG[] = {
        "null",
        "[null]",
        "[[]]",
        "\"\"",
        "[1]",
        "[{}]",
        "[{\"score\":1}]",
        "[{\"label\":null,\"score\":1}]",
        "[{\"label\":\"a\",\"score\":null}]",
        "[{\"label\":\"a\",\"score\":true}]",
        "[{\"label\":\"a\",\"score\":NaN}]",
        "[{\"label\":\"a\",\"score\":1},null]",
        "[{\"label\":\"a\",\"score\":1},{\"label\":\"b\"}]",
    };
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
        char two[256];
        check_answer(SETTINGS_DIALECT_TEI, 1, WRONG[i], NOTHING);
        if (strstr(WRONG[i], "NaN"))
            continue;
        snprintf(two, sizeof(two), "[%s,%s]", SCORES("x"), WRONG[i]);
        check_answer(SETTINGS_DIALECT_TEI, 2, two, RESULTS(SCORES("x"), NULL));
    }
}

static void test_tei_embed(void) {
    check_answer(SETTINGS_DIALECT_TEI_EMBED, 1, "[[1.50, -0]]", RESULTS("[1.50, -0]"));
    check_answer(SETTINGS_DIALECT_TEI_EMBED, 2, " [ [1,2] , [3,4e1]] ", RESULTS("[1,2]", "[3,4e1]"));
    /* One that is not what it should be costs the others nothing. */
    static const char *const WRONG[] = {"null", "[]",      "[null]", "[\"0.1\"]", "[true]",
                                        "[{}]", "[[0.1]]", "\"\"",   "0.1",       "{\"embedding\":[0.1]}"};
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
        char answer[256];
        snprintf(answer, sizeof(answer), "[[0],%s,[2]]", WRONG[i]);
        check_answer(SETTINGS_DIALECT_TEI_EMBED, 3, answer, RESULTS("[0]", NULL, "[2]"));
    }
    check_answer(SETTINGS_DIALECT_TEI_EMBED, 3, "[[1,2],[3],[4,5]]", NOTHING); /* of which model? */
    check_answer(SETTINGS_DIALECT_TEI_EMBED, 2, "[[1]]", NOTHING);
    check_answer(SETTINGS_DIALECT_TEI_EMBED, 2, "[[1],[2],[3]]", NOTHING);
    check_answer(SETTINGS_DIALECT_TEI_EMBED, 1, "[0.1]", NOTHING);
    check_answer(SETTINGS_DIALECT_TEI_EMBED, 1, "{}", NOTHING);
}

static void test_tei_rerank(void) {
    check_answer(SETTINGS_DIALECT_TEI_RERANK, 2,
                 "[{\"index\":1,\"score\":0.90,\"text\":\"x\"},{\"index\":0,\"score\":1e-3}]",
                 RESULTS("{\"score\":1e-3}", "{\"score\":0.90}"));
    check_answer(SETTINGS_DIALECT_TEI_RERANK, 2, "[{\"index\":1,\"score\":0.9},{\"index\":0}]",
                 RESULTS(NULL, "{\"score\":0.9}"));
    check_answer(SETTINGS_DIALECT_TEI_RERANK, 2, "[{\"index\":1,\"score\":0.9},{\"index\":0,\"score\":null}]",
                 RESULTS(NULL, "{\"score\":0.9}"));
    static const char *const WRONG[] = {
        "[{\"index\":1,\"score\":0.9}]",
        "[{\"index\":1,\"score\":0.9},{\"index\":2,\"score\":0.8}]", /* from 1 */
        "[{\"index\":1,\"score\":0.9},{\"score\":0.8}]",
        "[{\"index\":1,\"score\":0.9},{\"index\":1,\"score\":0.8}]",
        "[{\"index\":0,\"score\":0.9},{\"index\":1,\"score\":0.8},{\"index\":2,\"score\":0.7}]",
        "[null,null]",
        "{}",
    };
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++)
        check_answer(SETTINGS_DIALECT_TEI_RERANK, 2, WRONG[i], NOTHING);
}

static void test_kserve1(void) {
    check_answer(SETTINGS_DIALECT_KSERVE1, 1, "{\"predictions\":[ {\"a\":1.50}]}", RESULTS("{\"a\":1.50}"));
    check_answer(SETTINGS_DIALECT_KSERVE1, 3, "{\"predictions\":[0, [1],\"x\"],\"model\":\"m\"}",
                 RESULTS("0", "[1]", "\"x\""));
    check_answer(SETTINGS_DIALECT_KSERVE1, 2, "{\"predictions\":[0,null]}", RESULTS("0", NULL));
    static const char *const WRONG[] = {"{\"predictions\":[0]}",    "{\"predictions\":[0,1,2]}",
                                        "{\"predictions\":[]}",     "{\"predictions\":null}",
                                        "{\"predictions\":{}}",     "{\"predictions\":[0,NaN]}",
                                        "{\"error\":\"no model\"}", "[0,1]"};
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++)
        check_answer(SETTINGS_DIALECT_KSERVE1, 2, WRONG[i], NOTHING);
}

#define ITEM(index, number) "{\"object\":\"embedding\",\"embedding\":[" number "], \"index\":" index "}"
#define DATA(items)         "{\"object\":\"list\",\"data\":[" items "],\"usage\":{}}"
#define EMBEDDING(number)   "{\"embedding\":[" number "]}"

static void test_openai(void) {
    check_answer(SETTINGS_DIALECT_OPENAI, 1, DATA(ITEM("0", "1.50, -0")), RESULTS(EMBEDDING("1.50, -0")));
    check_answer(SETTINGS_DIALECT_OPENAI, 3, DATA(ITEM("2", "2") "," ITEM("0", "0") ", " ITEM("1", "1")),
                 RESULTS(EMBEDDING("0"), EMBEDDING("1"), EMBEDDING("2")));
}

/* encoding_format=base64: little-endian floats. */
static void test_openai_base64(void) {
    static const char *const GOOD[] = {"AAAAAA==", "AAAAAAAAAAA=", "AAAAAAAAAAAAAAAA", "+\\/9z0w=="};
    static const char *const WRONG[] = {
        "",          "AAAA",     "AAAAAAA=", "AAAAAA",   "AAAAAA=",       "A===", "====", "AAAAAA==AAAA",
        "AAAA AA==", "AAAA_-==", "0.1",      "+/9z09AZ", "AAA\\u0041AA=="};
    for (size_t i = 0; i < sizeof(GOOD) / sizeof(GOOD[0]); i++) {
        char answer[128], result[128];
        snprintf(answer, sizeof(answer), "{\"data\":[{\"embedding\":\"%s\",\"index\":0}]}", GOOD[i]);
        snprintf(result, sizeof(result), "{\"embedding\":\"%s\"}", GOOD[i]);
        check_answer(SETTINGS_DIALECT_OPENAI, 1, answer, RESULTS(result));
    }
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
        char answer[128];
        snprintf(answer, sizeof(answer), "{\"data\":[{\"embedding\":\"%s\",\"index\":0}]}", WRONG[i]);
        check_answer(SETTINGS_DIALECT_OPENAI, 1, answer, NOTHING);
    }
}

/* Answers that would be kept, and are no embeddings. */
static void test_openai_no_results(void) {
    static const char *const WRONG[] = {
        "null", "[]",   "[ ]", "[null]",     "[\"0.1\"]",  "[true]", "[{}]",     "[[0.1]]",           "\"\"",
        "0.1",  "true", "{}",  "[0.1,null]", "[0.1,\"\"]", "[1,[]]", "\"text\"", "{\"values\":[0.1]}"};
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
        char answer[256];
        snprintf(answer, sizeof(answer), "{\"data\":[{\"embedding\":%s,\"index\":0}]}", WRONG[i]);
        check_answer(SETTINGS_DIALECT_OPENAI, 1, answer, NOTHING);
        snprintf(answer, sizeof(answer), "{\"data\":[%s,{\"embedding\":%s,\"index\":1}]}", ITEM("0", "0.5"),
                 WRONG[i]);
        check_answer(SETTINGS_DIALECT_OPENAI, 2, answer, RESULTS(EMBEDDING("0.5"), NULL));
    }
    check_answer(SETTINGS_DIALECT_OPENAI, 1, DATA(ITEM("0", "NaN")), NOTHING);
    check_answer(SETTINGS_DIALECT_OPENAI, 3, DATA(ITEM("0", "1,2") "," ITEM("1", "3") "," ITEM("2", "4,5")),
                 NOTHING);
    check_answer(SETTINGS_DIALECT_OPENAI, 2,
                 DATA(ITEM("0", "1,2") ",{\"index\":1,\"embedding\":\"AAAAAA==\"}"), NOTHING);
}

/* Numbered from 1 each would be the text's before. */
static void test_openai_from_one(void) {
    check_answer(SETTINGS_DIALECT_OPENAI, 3, DATA(ITEM("1", "0") "," ITEM("2", "1") "," ITEM("3", "2")),
                 NOTHING);
    check_answer(SETTINGS_DIALECT_OPENAI, 3, DATA(ITEM("1", "0") "," ITEM("2", "1")), NOTHING);
    check_answer(SETTINGS_DIALECT_OPENAI, 3, DATA(ITEM("3", "2") "," ITEM("1", "0")), NOTHING);
    check_answer(SETTINGS_DIALECT_OPENAI, 1, DATA(ITEM("1", "0")), NOTHING);
}

#define UNNUMBERED(number) "{\"object\":\"embedding\",\"embedding\":[" number "]}"

/* Gemini's endpoint leaves out an index of 0. */
static void test_openai_index_left_out(void) {
    check_answer(SETTINGS_DIALECT_OPENAI, 1, DATA(UNNUMBERED("5")), RESULTS(EMBEDDING("5")));
    check_answer(SETTINGS_DIALECT_OPENAI, 3, DATA(UNNUMBERED("5") "," ITEM("1", "6") "," ITEM("2", "7")),
                 RESULTS(EMBEDDING("5"), EMBEDDING("6"), EMBEDDING("7")));
    check_answer(SETTINGS_DIALECT_OPENAI, 3, DATA(ITEM("2", "7") "," UNNUMBERED("5") "," ITEM("1", "6")),
                 RESULTS(EMBEDDING("5"), EMBEDDING("6"), EMBEDDING("7")));
    /* More than one place is left, or not the first. */
    check_answer(SETTINGS_DIALECT_OPENAI, 3, DATA(UNNUMBERED("5") "," ITEM("1", "6")), NOTHING);
    check_answer(SETTINGS_DIALECT_OPENAI, 2, DATA(UNNUMBERED("5") "," UNNUMBERED("6")), NOTHING);
    check_answer(SETTINGS_DIALECT_OPENAI, 2, DATA(ITEM("0", "5") "," UNNUMBERED("6")),
                 RESULTS(EMBEDDING("5"), NULL));
    check_answer(SETTINGS_DIALECT_OPENAI, 2, DATA(UNNUMBERED("5") "," UNNUMBERED("5") "," ITEM("1", "6")),
                 NOTHING);
    check_answer(SETTINGS_DIALECT_OPENAI, 1, DATA("{\"embedding\":[]}"), NOTHING);
    check_answer(SETTINGS_DIALECT_OPENAI, 1, DATA("null"), NOTHING);
    check_answer(SETTINGS_DIALECT_OPENAI, 2, DATA(UNNUMBERED("5") "," ITEM("1", "6,7")), NOTHING);
}

static void test_openai_indexes(void) {
    check_answer(SETTINGS_DIALECT_OPENAI, 3, DATA(ITEM("0", "0") "," ITEM("2", "2")),
                 RESULTS(EMBEDDING("0"), NULL, EMBEDDING("2")));
    check_answer(SETTINGS_DIALECT_OPENAI, 3, DATA(ITEM("0", "0") "," ITEM("0", "1") "," ITEM("2", "2")),
                 RESULTS(NULL, NULL, EMBEDDING("2")));
    check_answer(SETTINGS_DIALECT_OPENAI, 2, DATA(ITEM("0", "0") "," ITEM("0", "1") "," ITEM("0", "2")),
                 NOTHING);
    check_answer(SETTINGS_DIALECT_OPENAI, 2, DATA("{\"index\":0}," ITEM("0", "0") "," ITEM("1", "1")),
                 RESULTS(NULL, EMBEDDING("1")));
    check_answer(SETTINGS_DIALECT_OPENAI, 1, DATA(ITEM("0", "0") "," ITEM("1", "1")),
                 RESULTS(EMBEDDING("0")));
    static const char *const INDEXES[] = {"1", "-1", "0.0", "0e0", "\"0\"", "null", "99999999999999999999"};
    for (size_t i = 0; i < sizeof(INDEXES) / sizeof(INDEXES[0]); i++) {
        char answer[256];
        snprintf(answer, sizeof(answer), "{\"data\":[{\"embedding\":[1],\"index\":%s}]}", INDEXES[i]);
        check_answer(SETTINGS_DIALECT_OPENAI, 1, answer, NOTHING);
    }
    check_answer(SETTINGS_DIALECT_OPENAI, 1, DATA("{\"index\":0,\"embedding\":null}"), NOTHING);
    check_answer(SETTINGS_DIALECT_OPENAI, 1, "{\"data\":{}}", NOTHING);
    check_answer(SETTINGS_DIALECT_OPENAI, 1, "[" ITEM("0", "0") "]", NOTHING);
}

#define OUTPUT(shape, data) "{\"name\":\"x\", \"shape\":" shape ",\"datatype\":\"FP32\",\"data\":" data "}"
#define OUTPUTS(outputs)    "{\"id\":\"0123456789abcdef\",\"model_name\":\"m\",\"outputs\":[" outputs "]}"
#define SLICE(shape, data)  "{\"name\":\"x\",\"shape\":" shape ",\"datatype\":\"FP32\",\"data\":" data "}"
#define SLICES(slices)      "{\"outputs\":[" slices "]}"

static void test_kserve(void) {
    check_answer(SETTINGS_DIALECT_KSERVE, 1, OUTPUTS(OUTPUT("[1]", "[1.50]")),
                 RESULTS(SLICES(SLICE("[1]", "[1.50]"))));
    check_answer(SETTINGS_DIALECT_KSERVE, 2, OUTPUTS(OUTPUT("[2]", "[1.50, 2]")),
                 RESULTS(SLICES(SLICE("[1]", "[1.50]")), SLICES(SLICE("[1]", "[2]"))));
    /* Row-major, flat. */
    check_answer(SETTINGS_DIALECT_KSERVE, 2, OUTPUTS(OUTPUT("[2,1,3]", "[1,2,3,4,5,6]")),
                 RESULTS(SLICES(SLICE("[1,1,3]", "[1,2,3]")), SLICES(SLICE("[1,1,3]", "[4,5,6]"))));
    check_answer(SETTINGS_DIALECT_KSERVE, 2, OUTPUTS(OUTPUT("[2,2]", "[[1,2],[3,4]]")),
                 RESULTS(SLICES(SLICE("[1,2]", "[[1,2]]")), SLICES(SLICE("[1,2]", "[[3,4]]"))));
#define STRINGS(shape, data) "{\"name\":\"y\",\"datatype\":\"BYTES\",\"shape\":" shape ",\"data\":" data "}"
    check_answer(SETTINGS_DIALECT_KSERVE, 2,
                 OUTPUTS(STRINGS("[2]", "[\"a,b\",\"c\"]") " , " OUTPUT("[2,2]", "[1,2,3,4]")),
                 RESULTS(SLICES(STRINGS("[1]", "[\"a,b\"]") "," SLICE("[1,2]", "[1,2]")),
                         SLICES(STRINGS("[1]", "[\"c\"]") "," SLICE("[1,2]", "[3,4]"))));
    check_answer(SETTINGS_DIALECT_KSERVE, 1, "{\"outputs\":[{\"shape\":[1],\"data\":[1]}]}",
                 RESULTS("{\"outputs\":[{\"shape\":[1],\"data\":[1]}]}"));
}

static void test_kserve_counts(void) {
    static const char *const WRONG[] = {
        OUTPUTS(OUTPUT("[1]", "[1]")),
        OUTPUTS(OUTPUT("[3]", "[1,2,3]")),
        OUTPUTS(OUTPUT("[2]", "[1]")),
        OUTPUTS(OUTPUT("[2]", "[1,2,3]")),
        OUTPUTS(OUTPUT("[2]", "[1,2,3,4]")),
        OUTPUTS(OUTPUT("[2,2]", "[1,2]")),
        OUTPUTS(OUTPUT("[2,0]", "[]")),
        OUTPUTS(OUTPUT("[2,-1]", "[1,2]")),
        OUTPUTS(OUTPUT("[2,18446744073709551615,2]", "[1,2]")),
        OUTPUTS(OUTPUT("[2,4294967296,4294967296]", "[1,2]")),
        OUTPUTS(OUTPUT("[]", "[1,2]")),
        OUTPUTS(OUTPUT("2", "[1,2]")),
        OUTPUTS(OUTPUT("[2]", "\"ab\"")),
        OUTPUTS(OUTPUT("[2]", "[1,2]") "," OUTPUT("[1]", "[1]")),
        OUTPUTS("{\"name\":\"x\",\"shape\":[2],\"parameters\":{\"binary_data_size\":8}}"),
        OUTPUTS("1"),
        OUTPUTS(""),
        "{\"outputs\":{}}",
        "{\"error\":\"no\"}",
        "{\"id\":\"another\",\"outputs\":[" OUTPUT("[2]", "[1,2]") "]}",
        "{\"id\":123456789012345678,\"outputs\":[" OUTPUT("[2]", "[1,2]") "]}",
    };
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++)
        check_answer(SETTINGS_DIALECT_KSERVE, 2, WRONG[i], NOTHING);
}

#define TYPED(datatype, shape, data) \
    OUTPUTS("{\"datatype\":" datatype ",\"shape\":" shape ",\"data\":" data "}")

static void test_kserve_types(void) {
    static const char *const GOOD[] = {
        TYPED("\"FP32\"", "[2]", "[1,2.5e-3]"),
        TYPED("\"INT64\"", "[2]", "[1,-2]"),
        TYPED("\"UINT8\"", "[2]", "[1,2]"),
        TYPED("\"BF16\"", "[2]", "[1,2]"),
        TYPED("\"BOOL\"", "[2]", "[true,false]"),
        TYPED("\"BYTES\"", "[2]", "[\"\",\"b\"]"),
        TYPED("\"NEW\"", "[2]", "[1,\"b\"]"),
        TYPED("\"BYTES\"", "[2,1]", "[[\"a\"],[\"b\"]]"),
        TYPED("\"FP32\"", "[2,1,1]", "[[[1]],[[2]]]"),
    };
    static const char *const WRONG[] = {
        TYPED("\"FP32\"", "[2]", "[1,null]"),
        TYPED("\"FP32\"", "[2]", "[1,\"2\"]"),
        TYPED("\"FP32\"", "[2]", "[1,NaN]"),
        TYPED("\"FP32\"", "[2]", "[1,true]"),
        TYPED("\"FP32\"", "[2]", "[1,[]]"),
        TYPED("\"FP32\"", "[2]", "[1,{}]"),
        TYPED("\"FP32\"", "[2]", "[[1],[2]]"),
        TYPED("\"INT64\"", "[2]", "[\"a\",\"b\"]"),
        TYPED("\"BOOL\"", "[2]", "[1,0]"),
        TYPED("\"BYTES\"", "[2]", "[1,2]"),
        TYPED("\"BYTES\"", "[2]", "[\"a\",null]"),
        TYPED("\"NEW\"", "[2]", "[1,null]"),
        TYPED("\"NEW\"", "[2]", "[1,{}]"),
        TYPED("3", "[2]", "[1,2]"),
        TYPED("null", "[2]", "[1,2]"),
        TYPED("\"FP32\"", "[2,2]", "[[1,2],[3]]"),
        TYPED("\"FP32\"", "[2,2]", "[[1,2],[3,null]]"),
        TYPED("\"FP32\"", "[2,2]", "[[1,2],3,4]"),
        TYPED("\"FP32\"", "[2,2]", "[[1,2],[3,4],[5,6]]"),
        TYPED("\"FP32\"", "[2,2]", "[[[1],[2]],[[3],[4]]]"),
        TYPED("\"FP32\"", "[2,1,1]", "[[1],[2]]"),
        TYPED("\"FP32\"", "[2]", "null"),
        TYPED("\"FP32\"", "[2]", "[]"),
        TYPED("\"FP32\"", "[2,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "[1,2]"),
    };
    for (size_t i = 0; i < sizeof(GOOD) / sizeof(GOOD[0]); i++) {
        struct asked asked;
        ask(&asked, SETTINGS_DIALECT_KSERVE, 2, NULL);
        CU_ASSERT(
            dialect_decode(asked.dialect, &asked.question, bytes_of(GOOD[i]), &asked.made, asked.results));
        CU_ASSERT(asked.results[0].good && asked.results[1].good);
        buffer_fini(&asked.made);
    }
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++)
        check_answer(SETTINGS_DIALECT_KSERVE, 2, WRONG[i], NOTHING);
}

/* As many as a call may have, of the dimensions that large models have. */
static void test_many_large_embeddings(void) {
    enum { TEXTS = 256, NUMBERS = 4096 };
    static struct dialect_result results[TEXTS];
    struct asked asked;
    struct buffer answer;
    ask(&asked, SETTINGS_DIALECT_OPENAI, 1, NULL);
    asked.question.n = TEXTS;
    asked.made.cap = SIZE_MAX;
    buffer_init(&answer, SIZE_MAX);
    for (unsigned i = 0; i < TEXTS; i++) {
        buffer_append_format(&answer, "%s{\"object\":\"embedding\",\"index\":%u,\"embedding\":[0",
                             i == 0 ? "{\"data\":[" : ",", i);
        for (unsigned k = 1; k < NUMBERS; k++)
            buffer_append_bytes(&answer, LITERAL(",1"));
        buffer_append_bytes(&answer, LITERAL("]}"));
    }
    buffer_append_bytes(&answer, LITERAL("],\"usage\":{}}"));
    CU_ASSERT(dialect_decode(asked.dialect, &asked.question, buffer_bytes(&answer), &asked.made, results));
    for (unsigned i = 0; i < TEXTS; i++)
        CU_ASSERT(results[i].good);
    buffer_fini(&answer);
    buffer_fini(&asked.made);
}

static void test_made_results_have_a_cap(void) {
    struct asked asked;
    ask(&asked, SETTINGS_DIALECT_OPENAI, 2, NULL);
    asked.made.cap = 20; /* for `{"embedding":[0]}`, which has 17, and no second one */
    struct bytes answer = bytes_of(DATA(ITEM("0", "0") "," ITEM("1", "1")));
    CU_ASSERT(dialect_decode(asked.dialect, &asked.question, answer, &asked.made, asked.results));
    CU_ASSERT(asked.results[0].good);
    CU_ASSERT_FALSE(asked.results[1].good);
    CU_ASSERT(
        bytes_equal(dialect_result_bytes(&asked.results[0], answer, &asked.made), bytes_of(EMBEDDING("0"))));
    buffer_fini(&asked.made);
}

static const struct unit_case CASES[] = {
    {"bodies", test_bodies},
    {"reserved parameters", test_reserved_parameters},
    {"plain: any JSON value", test_plain},
    {"tei: lists of scores, by position", test_tei},
    {"bodies with the text under another name", test_bodies_with_another_name},
    {"tei: counts that differ leave all", test_tei_counts},
    {"tei: what is no list of scores", test_tei_no_results},
    {"tei-embed: vectors of one length, by position", test_tei_embed},
    {"tei-rerank: scores, by index", test_tei_rerank},
    {"kserve1: predictions, by position", test_kserve1},
    {"openai: by index, in any order", test_openai},
    {"openai: missing, repeated and wrong indexes", test_openai_indexes},
    {"openai: embeddings in base64", test_openai_base64},
    {"openai: what is no embedding", test_openai_no_results},
    {"openai: indexes from 1", test_openai_from_one},
    {"openai: an index that is left out", test_openai_index_left_out},
    {"kserve: items are of the datatype, nested as the shape says", test_kserve_types},
    {"kserve: each text's slice of each output", test_kserve},
    {"kserve: shapes and counts that do not fit leave all", test_kserve_counts},
    {"256 embeddings of 4096 numbers", test_many_large_embeddings},
    {"results that are put together have a cap", test_made_results_have_a_cap},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "dialect", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
