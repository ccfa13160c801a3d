#include "inferonce/http/problem.h"

#include <jansson.h>

#include "unit.h"

/* Owned by the caller; NULL: not JSON. */
static json_t *parse(const struct buffer *buffer) {
    if (buffer->failed)
        return NULL;
    return json_loadb(buffer->data, buffer->length, JSON_REJECT_DUPLICATES, NULL);
}

static json_t *problem_of(enum problem problem, int status, const char *detail, const char *pointer) {
    struct buffer buffer;

    buffer_init(&buffer, 64 * 1024);
    problem_append(&buffer, problem, status, detail, pointer);
    json_t *object = parse(&buffer);
    buffer_fini(&buffer);
    return object;
}

static const char *text_of(json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "(none)";
}

static void test_every_row(void) {
    struct response response;

    response_init(&response);
    for (int i = 0; i < PROBLEMS_COUNT; i++) {
        problem_respond(&response, (enum problem)i, 0, NULL, NULL);
        json_t *object = parse(&response.body);
        CU_ASSERT_PTR_NOT_NULL(object);
        CU_ASSERT_EQUAL(response.status, problem_status((enum problem)i));
        CU_ASSERT_EQUAL(json_integer_value(json_object_get(object, "status")), response.status);
        CU_ASSERT_EQUAL(strncmp(text_of(object, "type"), "urn:inferonce:problem:", 22), 0);
        CU_ASSERT_TRUE(strlen(text_of(object, "title")) > 0);
        CU_ASSERT_TRUE(strlen(text_of(object, "detail")) > 0);
        CU_ASSERT_STRING_NOT_EQUAL(text_of(object, "detail"), "(none)");
        CU_ASSERT_EQUAL(json_object_size(object), 4);
        CU_ASSERT_STRING_NOT_EQUAL(response_reason(response.status), "");
        json_decref(object);
    }
    response_fini(&response);
}

static void test_response(void) {
    static const char HEAD[] =
        "Status: 422 Unprocessable Content\r\n"
        "Content-Type: application/problem+json\r\n";
    static const char BODY[] =
        "{\"type\":\"urn:inferonce:problem:bad-shape\","
        "\"title\":\"The JSON does not have the expected shape\",\"status\":422,\"detail\":\"is empty\","
        "\"errors\":[{\"detail\":\"is empty\",\"pointer\":\"#/texts/3\"}]}";
    struct response response;

    response_init(&response);
    problem_respond(&response, PROBLEM_BAD_SHAPE, 0, "is empty", "#/texts/3");
    CU_ASSERT_TRUE(bytes_equal(buffer_bytes(&response.head), bytes_of(HEAD)));
    CU_ASSERT_TRUE(bytes_equal(buffer_bytes(&response.body), bytes_of(BODY)));
    response_fini(&response);
}

static void test_relayed_status(void) {
    struct response response;

    response_init(&response);
    problem_respond(&response, PROBLEM_REJECTED, 429, NULL, NULL);
    json_t *object = parse(&response.body);
    CU_ASSERT_EQUAL(response.status, 429);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(object, "status")), 429);
    json_decref(object);
    response_fini(&response);
}

static void test_pointer_without_detail(void) {
    json_t *object = problem_of(PROBLEM_BAD_SHAPE, 0, NULL, "#/text");
    json_t *error = json_array_get(json_object_get(object, "errors"), 0);

    CU_ASSERT_STRING_EQUAL(text_of(error, "pointer"), "#/text");
    CU_ASSERT_STRING_NOT_EQUAL(text_of(object, "detail"), "(none)");
    CU_ASSERT_STRING_EQUAL(text_of(error, "detail"), text_of(object, "detail"));
    json_decref(object);

    object = problem_of(PROBLEM_BAD_SHAPE, 0, "x", "");
    CU_ASSERT_PTR_NULL(json_object_get(object, "errors"));
    json_decref(object);
}

static void test_hostile_texts(void) {
    json_t *object = problem_of(PROBLEM_BAD_JSON, 0, "\"quoted\" \\ \n\x01 \xc3\xa4 \xff\xc3", "#/a\"b");
    CU_ASSERT_STRING_EQUAL(text_of(object, "detail"), "\"quoted\" \\ \n\x01 \xc3\xa4 ??");
    CU_ASSERT_STRING_EQUAL(text_of(json_array_get(json_object_get(object, "errors"), 0), "pointer"),
                           "#/a\"b");
    json_decref(object);
}

/* Two-byte characters behind one single byte: the cut would fall inside a character. */
static void test_long_texts_are_cut(void) {
    char text[2 * PROBLEM_TEXT_MAX + 2] = "x";

    for (size_t i = 1; i + 2 < sizeof(text); i += 2)
        memcpy(text + i, "\xc3\xa4", 3);
    json_t *object = problem_of(PROBLEM_BAD_JSON, 0, text, NULL);
    CU_ASSERT_EQUAL(strlen(text_of(object, "detail")), PROBLEM_TEXT_MAX - 1);
    CU_ASSERT_EQUAL(strncmp(text_of(object, "detail"), text, PROBLEM_TEXT_MAX - 1), 0);
    json_decref(object);
}

static const struct unit_case CASES[] = {
    {"every row of the table", test_every_row},
    {"head and body of one", test_response},
    {"a relayed status is the one in the body", test_relayed_status},
    {"a pointer without a detail", test_pointer_without_detail},
    {"hostile texts stay JSON", test_hostile_texts},
    {"long texts are cut between characters", test_long_texts_are_cut},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "problem", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
