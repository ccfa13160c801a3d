#include "inferonce/fastcgi/responder.h"

#include <fcgiapp.h>
#include <stdlib.h>

#include "records.h"
#include "unit.h"

#define OUTPUT_MAX (4 << 20)

static struct responder *responder;
static struct buffer records;
static struct buffer output;

static void begin(void) {
    responder = responder_create();
    CU_ASSERT_PTR_NOT_NULL_FATAL(responder);
    buffer_init(&records, OUTPUT_MAX);
    buffer_init(&output, OUTPUT_MAX);
}

static void end(void) {
    responder_destroy(&responder);
    CU_ASSERT_PTR_NULL(responder);
    buffer_fini(&records);
    buffer_fini(&output);
}

static const char *param(const char *name) {
    size_t length = strlen(name);
    for (char *const *at = responder_params(responder); *at; at++)
        if (strncmp(*at, name, length) == 0 && (*at)[length] == '=')
            return *at + length + 1;
    return "(none)";
}

/* Undoes the records of an answer to request `id`: what STDOUT had. */
static void unpack(int id, struct buffer *stdout_content) {
    struct bytes rest = buffer_bytes(&output);
    struct seen_record record = {0};
    bool ended = false;
    while (see_record(rest, &record)) {
        CU_ASSERT_FALSE(ended);
        CU_ASSERT_EQUAL(record.id, id);
        if (record.type == STDOUT)
            buffer_append_bytes(stdout_content, record.content);
        else
            CU_ASSERT_EQUAL(record.type, END);
        ended = record.type == END;
        rest.data += record.size;
        rest.length -= record.size;
    }
    CU_ASSERT_TRUE(ended);
    CU_ASSERT_EQUAL(rest.length, 0);
}

static void test_takes_and_answers_many(void) {
    begin();
    for (int id = 1; id <= 50; id++) {
        const struct bytes parts[] = {bytes_of("Status: 200\r\n\r\n"), {NULL, 0}, bytes_of("body")};
        struct buffer content;
        buffer_reset(&records, 0);
        buffer_reset(&output, 0);
        buffer_init(&content, OUTPUT_MAX);
        put_request(&records, id, id % 2 ? KEEP : CLOSE, "/predict", bytes_of("the text"));
        CU_ASSERT_TRUE_FATAL(responder_take(responder, buffer_bytes(&records), 8));
        CU_ASSERT_STRING_EQUAL(param("PATH"), "/predict");
        CU_ASSERT_TRUE(bytes_equal(responder_body(responder), bytes_of("the text")));
        CU_ASSERT_TRUE(responder_answer(responder, parts, 3, &output));
        unpack(id, &content);
        CU_ASSERT_TRUE(bytes_equal(buffer_bytes(&content), bytes_of("Status: 200\r\n\r\nbody")));
        buffer_fini(&content);
    }
    end();
}

static void test_large_body_and_answer(void) {
    enum { LENGTH = 1000000 };
    char *large = malloc(LENGTH);
    CU_ASSERT_PTR_NOT_NULL_FATAL(large);
    for (size_t i = 0; i < LENGTH; i++)
        large[i] = (char)(i * 31 % 251);
    const struct bytes bytes = {large, LENGTH};
    struct buffer content;
    begin();
    buffer_init(&content, OUTPUT_MAX);
    put_begin(&records, 1, RESPONDER, KEEP);
    put_params(&records, 1, "A", "b");
    put_body(&records, 1, bytes, 4000);
    CU_ASSERT_TRUE_FATAL(responder_take(responder, buffer_bytes(&records), LENGTH));
    CU_ASSERT_TRUE(bytes_equal(responder_body(responder), bytes));
    CU_ASSERT_TRUE(responder_answer(responder, &bytes, 1, &output));
    unpack(1, &content);
    CU_ASSERT_TRUE(bytes_equal(buffer_bytes(&content), bytes));
    buffer_fini(&content);
    end();
    free(large);
}

static void test_says_when_the_answer_does_not_fit(void) {
    static char large[20000];
    const struct bytes part = {large, sizeof(large)};
    begin();
    buffer_init(&output, 10000);
    put_request(&records, 1, KEEP, "/", (struct bytes){NULL, 0});
    CU_ASSERT_TRUE_FATAL(responder_take(responder, buffer_bytes(&records), 0));
    CU_ASSERT_FALSE(responder_answer(responder, &part, 1, &output));
    buffer_reset(&output, 0);
    CU_ASSERT_TRUE(responder_take(responder, buffer_bytes(&records), 0)); /* and goes on */
    CU_ASSERT_TRUE(responder_answer(responder, NULL, 0, &output));
    end();
}

static void test_refuses_what_libfcgi_refuses(void) {
    begin();
    put_begin(&records, 1, RESPONDER, KEEP);
    CU_ASSERT_FALSE(responder_take(responder, buffer_bytes(&records), 0)); /* ends early */
    put_params(&records, 1, "A", "b");
    put_body(&records, 1, bytes_of("five!"), 100);
    CU_ASSERT_FALSE(responder_take(responder, buffer_bytes(&records), 4)); /* has more than was said */
    CU_ASSERT_FALSE(responder_take(responder, buffer_bytes(&records), 6)); /* has less */
    CU_ASSERT_TRUE(responder_take(responder, buffer_bytes(&records), 5));
    responder_drop(responder);
    responder_drop(responder);
    CU_ASSERT_TRUE(responder_take(responder, buffer_bytes(&records), 5));
    end(); /* with a request open */
}

static const struct unit_case CASES[] = {
    {"takes and answers requests, one after the other", test_takes_and_answers_many},
    {"takes a large body and gives a large answer", test_large_body_and_answer},
    {"says when an answer does not fit", test_says_when_the_answer_does_not_fit},
    {"refuses what libfcgi refuses, and goes on", test_refuses_what_libfcgi_refuses},
};

int main(int argc, char *argv[]) {
    if (FCGX_Init() != 0)
        return 2;
    return unit_main(argc, argv, "responder", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
