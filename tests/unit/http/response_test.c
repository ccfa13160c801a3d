#include "inferonce/http/response.h"

#include "unit.h"

static bool head_is(const struct response *response, const char *expected) {
    return !response->head.failed && bytes_equal(buffer_bytes(&response->head), bytes_of(expected));
}

static void test_whole_head(void) {
    struct response response;

    response_init(&response);
    response_start(&response, 200, "application/json");
    response_header_text(&response, "X-Cache", "HIT");
    response_header(&response, "X-Cache-Key", (struct bytes){"abcdef", 3});
    response_header_number(&response, "Age", 0);
    response_header_number(&response, "X-Large", UINT64_MAX);
    response_header(&response, "X-Empty", (struct bytes){NULL, 0});
    response_finish(&response, 1234);
    CU_ASSERT_TRUE(head_is(&response,
                           "Status: 200 OK\r\n"
                           "Content-Type: application/json\r\n"
                           "X-Cache: HIT\r\n"
                           "X-Cache-Key: abc\r\n"
                           "Age: 0\r\n"
                           "X-Large: 18446744073709551615\r\n"
                           "X-Empty: \r\n"
                           "Content-Length: 1234\r\n"
                           "\r\n"));
    CU_ASSERT_EQUAL(response.status, 200);
    response_fini(&response);
}

static void test_no_length_where_no_body_is(void) {
    struct response response;

    response_init(&response);
    response_start(&response, 204, NULL);
    response_finish(&response, 0);
    CU_ASSERT_TRUE(head_is(&response, "Status: 204 No Content\r\n\r\n"));
    response_start(&response, 304, NULL);
    response_header_text(&response, "ETag", "\"x\"");
    response_finish(&response, 10);
    CU_ASSERT_TRUE(head_is(&response, "Status: 304 Not Modified\r\nETag: \"x\"\r\n\r\n"));
    response_start(&response, 503, NULL);
    response_finish(&response, 0);
    CU_ASSERT_TRUE(head_is(&response, "Status: 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"));
    response_fini(&response);
}

static void test_starting_anew(void) {
    struct response response;

    response_init(&response);
    response_start(&response, 200, "text/plain");
    buffer_append_text(&response.body, "first");
    response_finish(&response, 5);
    response_start(&response, 404, "text/html");
    CU_ASSERT_TRUE(head_is(&response, "Status: 404 Not Found\r\nContent-Type: text/html\r\n"));
    CU_ASSERT_EQUAL(response.body.length, 0);
    response_reset(&response, 0);
    CU_ASSERT_EQUAL(response.status, 0);
    CU_ASSERT_EQUAL(response.head.capacity, 0);
    response_fini(&response);
}

/* RFC 9112 section 4: the reason may be empty, the space before it may not. */
static void test_status_without_reason(void) {
    struct response response;

    CU_ASSERT_STRING_EQUAL(response_reason(200), "OK");
    CU_ASSERT_STRING_EQUAL(response_reason(504), "Gateway Timeout");
    CU_ASSERT_STRING_EQUAL(response_reason(418), "");
    response_init(&response);
    response_start(&response, 418, NULL);
    CU_ASSERT_TRUE(head_is(&response, "Status: 418 \r\n"));
    response_fini(&response);
}

static void test_head_stays_below_its_cap(void) {
    static char value[RESPONSE_HEAD_MAX];
    struct response response;

    memset(value, 'x', sizeof(value));
    response_init(&response);
    response_start(&response, 200, NULL);
    response_header(&response, "X-Long", (struct bytes){value, sizeof(value)});
    CU_ASSERT_TRUE(response.head.failed);
    response_start(&response, 200, NULL);
    CU_ASSERT_FALSE(response.head.failed);

    for (unsigned i = 0; i < 200; i++)
        response_header(&response, "X-Many", (struct bytes){value, 64});
    response_finish(&response, 0);
    CU_ASSERT_TRUE(response.head.failed);
    CU_ASSERT_TRUE(response.head.length <= RESPONSE_HEAD_MAX);
    response_fini(&response);
}

static void test_no_allocation_when_warm(void) {
    struct response response;

    response_init(&response);
    for (unsigned round = 0; round < 2; round++) {
        if (round == 1)
            unit_allocations_count_start();
        response_reset(&response, RESPONSE_HEAD_MAX);
        response_start(&response, 200, "application/json");
        response_header_text(&response, "X-Cache", "MISS");
        response_header_number(&response, "Age", 17);
        response_finish(&response, 99);
    }
    CU_ASSERT_EQUAL(unit_allocations_count(), 0);
    response_fini(&response);
}

static const struct unit_case CASES[] = {
    {"a whole head", test_whole_head},
    {"204 and 304 have no Content-Length", test_no_length_where_no_body_is},
    {"starting anew drops what was there", test_starting_anew},
    {"a status without a reason", test_status_without_reason},
    {"the head stays below its cap", test_head_stays_below_its_cap},
    {"a warm response allocates nothing", test_no_allocation_when_warm},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "response", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
