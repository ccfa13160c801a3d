#include "engine/upstream/model_error.h"

#include <stdlib.h>

#include "inferonce/base/utf8.h"
#include "unit.h"

static struct model_error error;

static const char *read(const char *answer, const char *sent) {
    const struct bytes texts[] = {bytes_of("another text"), bytes_of(sent)};
    model_error_read(&error, bytes_of(answer), texts, 2);
    return error.message;
}

/* Errors as servers send them. */
static void test_shapes(void) {
    static const struct {
        const char *answer, *message;
    } ROWS[] = {
        {"{\"error\":{\"message\":\"too long\",\"type\":\"x\",\"code\":null}}",
         "too long"},                                                           /* OpenAI, llama.cpp */
        {"{\"error\":\"too long\",\"error_type\":\"Validation\"}", "too long"}, /* TEI, Ollama, KServe */
        {"{\"object\":\"error\",\"message\":\"too long\",\"code\":400}", "too long"}, /* vLLM, TorchServe */
        {"{\"detail\":\"too long\"}", "too long"},
        {"{\"detail\":[{\"loc\":[\"body\",\"text\"],\"msg\":\"too long\",\"input\":\"x\"}]}",
         "too long"},                                                                         /* FastAPI */
        {"{\"type\":\"about:blank\",\"title\":\"Bad\",\"detail\":\"too long\"}", "too long"}, /* RFC 9457 */
        {"{\"title\":\"too long\",\"status\":413}", "too long"},
        {" {\"error\" : \"too\\u0020long\\n\\u0007\"} ", "too long  "},
        {"{\"error\":\"\\u00e9\\ud83d\\ude00\\\"\\\\\"}", "\xc3\xa9\xf0\x9f\x98\x80\"\\"},
        {"{\"error\":{\"code\":5}}", ""},
        {"{\"error\":5}", ""},
        {"{\"error\":[\"too long\"]}", ""},
        {"{\"detail\":[]}", ""},
        {"{\"detail\":[\"x\"]}", ""},
        {"{}", ""},
        {"[]", ""},
        {"\"too long\"", ""},
        {"too long", ""},
        {"<html>too long</html>", ""},
        {"{\"error\":\"too long\"", ""},
        {"{\"error\":\"\xff\"}", ""},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++)
        CU_ASSERT_STRING_EQUAL(read(ROWS[i].answer, "the text"), ROWS[i].message);
}

static void test_bounds(void) {
    struct buffer answer;
    for (size_t length = 400; length < MODEL_ERROR_ANSWER_MAX + 10; length += 7) {
        buffer_init(&answer, SIZE_MAX);
        buffer_append_bytes(&answer, LITERAL("{\"error\":\""));
        while (answer.length < length - 4)
            buffer_append_bytes(&answer, LITERAL("\xe2\x82\xac"));
        buffer_append_bytes(&answer, LITERAL("\"}"));
        model_error_read(&error, buffer_bytes(&answer), NULL, 0);
        size_t whole = answer.length - 12;
        size_t most = MODEL_ERROR_MAX - 1 - (MODEL_ERROR_MAX - 1) % 3; /* between characters */
        size_t expected = answer.length > MODEL_ERROR_ANSWER_MAX ? 0 : whole < most ? whole : most;
        CU_ASSERT_EQUAL(strlen(error.message), expected);
        CU_ASSERT(utf8_is_valid(bytes_of(error.message)));
        buffer_fini(&answer);
    }
}

static void test_short_texts_are_hidden(void) {
    static const struct {
        const char *text, *message, *shown;
    } ROWS[] = {
        {"sick", "'sick' is not allowed", "'...' is not allowed"},
        {"sick", "sick: sick, and sickness, SICK", "...: ..., and sickness, SICK"},
        {"a", "not a label", "not ... label"},
        {"long", "too long", "too ..."},
        {"(x)", "f(x)=1", "f...=1"},
        {"\xc3\xa9t\xc3\xa9", "\xc3\xa9t\xc3\xa9 \xc3\xa9t\xc3\xa9s", "... \xc3\xa9t\xc3\xa9s"},
        {"aa", "aa aaa aa", "... aaa ..."},
        {"a a", "a a a", "..."},
        {"not there", "a message", "a message"},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        char answer[256];
        snprintf(answer, sizeof(answer), "{\"error\":\"%s\"}", ROWS[i].message);
        CU_ASSERT_STRING_EQUAL(read(answer, ROWS[i].text), ROWS[i].shown);
    }
}

/* A message that has a long run of a text is not shown, wherever in the text it is. */
static void test_long_texts_are_not_repeated(void) {
    char text[400], answer[400];
    srandom(7);
    for (size_t i = 0; i < sizeof(text) - 1; i++)
        text[i] = (char)('a' + random() % 26);
    text[sizeof(text) - 1] = '\0';
    for (size_t at = 0; at + MODEL_ERROR_REPEATED_MAX < sizeof(text); at++) {
        snprintf(answer, sizeof(answer), "{\"error\":\"bad: %.*s!\"}", MODEL_ERROR_REPEATED_MAX, text + at);
        CU_ASSERT_STRING_EQUAL(read(answer, text), "");
        snprintf(answer, sizeof(answer), "{\"error\":\"%.*s\"}", MODEL_ERROR_REPEATED_MAX - 1, text + at);
        CU_ASSERT_EQUAL(strlen(read(answer, text)), MODEL_ERROR_REPEATED_MAX - 1);
    }
    snprintf(answer, sizeof(answer), "{\"error\":\"the input has 400 tokens, and 128 are allowed\"}");
    CU_ASSERT_STRING_EQUAL(read(answer, text), "the input has 400 tokens, and 128 are allowed");
    CU_ASSERT_STRING_EQUAL(read("{\"error\":\"bad: a line\\nand another one\\nand another\"}",
                                "a line\nand another one\nand another one"),
                           "");
    /* Cut off, after it had been escaped. */
    CU_ASSERT_STRING_EQUAL(read("{\"error\":\"at 'he said \\\"this is \\u0061 secret\\\" t...'\"}",
                                "he said \"this is a secret\" to nobody"),
                           "");
}

/* It takes a bounded time: what cannot be looked through is not shown. */
static void test_large_texts(void) {
    size_t length = 64u << 20;
    char *text = malloc(length + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    memset(text, 'x', length);
    text[length] = '\0';
    CU_ASSERT_STRING_EQUAL(read("{\"error\":\"a message\"}", text), "");
    text[1u << 20] = '\0';
    CU_ASSERT_STRING_EQUAL(read("{\"error\":\"a message\"}", text), "a message");
    free(text);
}

static const struct unit_case CASES[] = {
    {"the message of each kind of server", test_shapes},
    {"bounded, and cut between characters", test_bounds},
    {"a short text is hidden", test_short_texts_are_hidden},
    {"no long run of a text", test_long_texts_are_not_repeated},
    {"texts that are too large to look through", test_large_texts},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "model_error", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
