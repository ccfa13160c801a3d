#include "fastcgi/responder.h"

#include <fcgiapp.h>
#include <stdlib.h>

#include "records.h"
#include "unit.h"

#define RECORDS_MAX (4 << 20)

static struct responder *responder;
static struct buffer records;
static struct buffer spare;

static void begin(void) {
    buffer_init(&spare, RECORDS_MAX);
    responder = responder_create(&spare);
    CU_ASSERT_PTR_NOT_NULL_FATAL(responder);
    buffer_init(&records, RECORDS_MAX);
}

static void end(void) {
    responder_destroy(&responder);
    CU_ASSERT_PTR_NULL(responder);
    buffer_fini(&records);
    buffer_fini(&spare);
}

static const char *param(const char *name) {
    size_t length = strlen(name);
    for (char *const *at = responder_params(responder); *at; at++)
        if (strncmp(*at, name, length) == 0 && (*at)[length] == '=')
            return *at + length + 1;
    return "(none)";
}

static void test_takes_many(void) {
    begin();
    for (int id = 1; id <= 50; id++) {
        buffer_reset(&records, 0);
        put_request(&records, id, id % 2 ? KEEP : CLOSE, "/predict", bytes_of("the text"));
        CU_ASSERT_TRUE_FATAL(responder_take(responder, buffer_bytes(&records), 8));
        CU_ASSERT_STRING_EQUAL(param("PATH"), "/predict");
        CU_ASSERT_TRUE(bytes_equal(responder_body(responder), bytes_of("the text")));
        responder_drop(responder);
    }
    end();
}

static void test_large_body(void) {
    enum { LENGTH = 1000000 };
    char *large = malloc(LENGTH);
    CU_ASSERT_PTR_NOT_NULL_FATAL(large);
    for (size_t i = 0; i < LENGTH; i++)
        large[i] = (char)(i * 31 % 251);
    const struct bytes bytes = {large, LENGTH};
    begin();
    put_begin(&records, 1, RESPONDER, KEEP);
    put_params(&records, 1, "A", "b");
    put_body(&records, 1, bytes, 4000);
    CU_ASSERT_TRUE_FATAL(responder_take(responder, buffer_bytes(&records), LENGTH));
    CU_ASSERT_TRUE(bytes_equal(responder_body(responder), bytes));
    end();
    free(large);
}

/* A waiting request holds only its parameters. The memory of its body goes to the next one. */
static void test_forgets_the_body(void) {
    enum { LENGTH = 100000 };
    static char large[LENGTH];
    const char *memory = NULL;
    begin();
    for (int id = 1; id <= 3; id++) {
        buffer_reset(&records, 0);
        put_begin(&records, id, RESPONDER, KEEP);
        put_params(&records, id, "PATH", "/a");
        put_body(&records, id, (struct bytes){large, LENGTH}, 4000);
        CU_ASSERT_TRUE_FATAL(responder_take(responder, buffer_bytes(&records), LENGTH));
        CU_ASSERT(!memory || memory == responder_body(responder).data);
        CU_ASSERT_EQUAL(spare.capacity, 0);
        responder_forget_body(responder);
        CU_ASSERT_STRING_EQUAL(param("PATH"), "/a");
        CU_ASSERT_EQUAL(responder_body(responder).length, 0);
        CU_ASSERT_EQUAL(spare.capacity, LENGTH);
        memory = spare.data;
        responder_drop(responder);
    }
    end();
}

/* Not that of a very large one. */
static void test_the_spare_has_a_limit(void) {
    enum { LENGTH = 3 << 20 };
    char *large = calloc(LENGTH, 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(large);
    begin();
    put_begin(&records, 1, RESPONDER, KEEP);
    put_params(&records, 1, "A", "b");
    put_body(&records, 1, (struct bytes){large, LENGTH}, 60000);
    CU_ASSERT_TRUE_FATAL(responder_take(responder, buffer_bytes(&records), LENGTH));
    responder_drop(responder);
    CU_ASSERT(spare.capacity <= 2 << 20);
    end();
    free(large);
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
    {"takes requests, one after the other", test_takes_many},
    {"takes a large body", test_large_body},
    {"forgets the body, not the parameters", test_forgets_the_body},
    {"what is kept of bodies has a limit", test_the_spare_has_a_limit},
    {"refuses what libfcgi refuses, and goes on", test_refuses_what_libfcgi_refuses},
};

int main(int argc, char *argv[]) {
    if (FCGX_Init() != 0)
        return 2;
    return unit_main(argc, argv, "responder", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
