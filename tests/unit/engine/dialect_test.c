#include "inferonce/engine/dialect.h"

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
}

static void test_reserved_parameters(void) {
    const struct dialect *openai = dialect_of(SETTINGS_DIALECT_OPENAI);
    CU_ASSERT_PTR_NULL(dialect_reserved_parameter(openai, (struct bytes){NULL, 0}));
    CU_ASSERT_PTR_NULL(dialect_reserved_parameter(openai, bytes_of("{\"user\":{\"model\":1}}")));
    CU_ASSERT_STRING_EQUAL(dialect_reserved_parameter(openai, bytes_of("{\"a\":1,\"model\":\"x\"}")),
                           "model");
    CU_ASSERT_STRING_EQUAL(dialect_reserved_parameter(openai, bytes_of("{\"input\":1}")), "input");
    const struct dialect *tei = dialect_of(SETTINGS_DIALECT_TEI);
    CU_ASSERT_STRING_EQUAL(dialect_reserved_parameter(tei, bytes_of("{\"inputs\":1}")), "inputs");
    CU_ASSERT_PTR_NULL(
        dialect_reserved_parameter(dialect_of(SETTINGS_DIALECT_KSERVE), bytes_of("{\"inputs\":1}")));
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

#define ITEM(index, number) "{\"object\":\"embedding\",\"embedding\":[" number "], \"index\":" index "}"
#define DATA(items)         "{\"object\":\"list\",\"data\":[" items "],\"usage\":{}}"
#define EMBEDDING(number)   "{\"embedding\":[" number "]}"

static void test_openai(void) {
    check_answer(SETTINGS_DIALECT_OPENAI, 1, DATA(ITEM("0", "1.50, -0")), RESULTS(EMBEDDING("1.50, -0")));
    check_answer(SETTINGS_DIALECT_OPENAI, 3, DATA(ITEM("2", "2") "," ITEM("0", "0") ", " ITEM("1", "1")),
                 RESULTS(EMBEDDING("0"), EMBEDDING("1"), EMBEDDING("2")));
    check_answer(SETTINGS_DIALECT_OPENAI, 1, DATA("{\"index\":0,\"embedding\":\"AAAA\"}"),
                 RESULTS("{\"embedding\":\"AAAA\"}"));
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
    check_answer(SETTINGS_DIALECT_OPENAI, 1, DATA("{\"embedding\":[1]}"), NOTHING);
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
    check_answer(SETTINGS_DIALECT_KSERVE, 2,
                 OUTPUTS(OUTPUT("[2]", "[\"a,b\",\"c\"]") " , " OUTPUT("[2,2]", "[1,2,3,4]")),
                 RESULTS(SLICES(SLICE("[1]", "[\"a,b\"]") "," SLICE("[1,2]", "[1,2]")),
                         SLICES(SLICE("[1]", "[\"c\"]") "," SLICE("[1,2]", "[3,4]"))));
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
    {"tei: counts that differ leave all", test_tei_counts},
    {"openai: by index, in any order", test_openai},
    {"openai: missing, repeated and wrong indexes", test_openai_indexes},
    {"kserve: each text's slice of each output", test_kserve},
    {"kserve: shapes and counts that do not fit leave all", test_kserve_counts},
    {"results that are put together have a cap", test_made_results_have_a_cap},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "dialect", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
