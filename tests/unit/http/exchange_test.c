#include "inferonce/http/exchange.h"

#include <jansson.h>

#include "transport.h"
#include "unit.h"

/* A pool, its statistics and a request. */
static struct stats stats;
static struct exchange_pool *pool;
static struct fastcgi_request transport;

static char get[] = "REQUEST_METHOD=GET";
static char head[] = "REQUEST_METHOD=HEAD";
static char *const GET_PARAMS[] = {get, NULL};
static char *const HEAD_PARAMS[] = {head, NULL};

static void setup(char *const *params) {
    memset(&stats, 0, sizeof(stats));
    transport = (struct fastcgi_request){.params = params};
    transport_forget();
    pool = exchange_pool_create(&stats);
}

static void teardown(void) {
    exchange_pool_destroy(&pool);
    CU_ASSERT_PTR_NULL(pool);
    transport_forget();
}

static uint64_t count(enum statistic stat) {
    return stats_sum(&stats, 1, stat);
}

static void test_answer(void) {
    setup(GET_PARAMS);
    struct exchange *exchange = exchange_begin(pool, &transport);
    CU_ASSERT_PTR_EQUAL(transport.user, exchange);
    CU_ASSERT_EQUAL(exchange->request.method, METHOD_GET);
    CU_ASSERT_EQUAL(exchange->scratch.length, 0);
    CU_ASSERT_PTR_NULL(exchange->state);
    response_start(&exchange->response, 200, "text/plain");
    buffer_append_text(&exchange->response.body, "hello");
    exchange_send(exchange);
    CU_ASSERT_EQUAL(answered.answers, 1);
    CU_ASSERT_PTR_EQUAL(answered.request, &transport);
    CU_ASSERT_STRING_EQUAL(answered.head,
                           "Status: 200 OK\r\nContent-Type: text/plain\r\n"
                           "Content-Length: 5\r\n\r\n");
    CU_ASSERT_STRING_EQUAL(answered.body, "hello");
    CU_ASSERT_EQUAL(count(STAT_requests), 1);
    CU_ASSERT_EQUAL(count(STAT_responses_2xx), 1);
    CU_ASSERT_EQUAL(count(STAT_rejected_requests), 0);
    teardown();
}

/* As many pieces as a large batch may have: more than fit on the stack. */
static void test_many_pieces(void) {
    static const size_t COUNTS[] = {0, 1, 3, 15, 16, 17, 1000};

    setup(GET_PARAMS);
    for (size_t i = 0; i < sizeof(COUNTS) / sizeof(COUNTS[0]); i++) {
        struct piece pieces[1000];
        for (size_t j = 0; j < COUNTS[i]; j++)
            pieces[j] = (struct piece){.bytes = bytes_of(j % 2 == 0 ? "ab" : "c")};
        size_t length = COUNTS[i] / 2 * 3 + COUNTS[i] % 2 * 2;
        struct exchange *exchange = exchange_begin(pool, &transport);
        response_start(&exchange->response, 200, "text/plain");
        exchange_send_pieces(exchange, pieces, COUNTS[i]);
        CU_ASSERT_EQUAL(answered.body_length, length);
        CU_ASSERT_EQUAL(strtoul(transport_header("Content-Length"), NULL, 10), length);
    }
    teardown();
}

/* When no more bytes may be held, a large body is a 503; one that lies in a blob already is not counted
 * again. */
static void test_no_room(void) {
    struct blob blob = {.bytes = bytes_of("held")};
    const struct piece borrowed[] = {{.bytes = bytes_of("abc")}, {.bytes = bytes_of("defg")}};
    const struct piece held[] = {{.bytes = bytes_of("abc")}, {blob.bytes, &blob}};

    setup(GET_PARAMS);
    transport_room = 6;
    struct exchange *exchange = exchange_begin(pool, &transport);
    response_start(&exchange->response, 200, "text/plain");
    exchange_send_pieces(exchange, held, 2);
    CU_ASSERT_EQUAL(transport_status(), 200);
    exchange = exchange_begin(pool, &transport);
    response_start(&exchange->response, 200, "text/plain");
    exchange_send_pieces(exchange, borrowed, 2);
    CU_ASSERT_EQUAL(transport_status(), 503);
    CU_ASSERT_STRING_EQUAL(transport_header("Retry-After"), "1");
    CU_ASSERT_EQUAL(count(STAT_refused_answers), 1);
    CU_ASSERT_EQUAL(count(STAT_responses_2xx), 1); /* the one that is held */
    CU_ASSERT_EQUAL(count(STAT_responses_5xx), 1);
    CU_ASSERT_EQUAL(count(STAT_rejected_requests), 1);
    transport_room = UINT64_MAX;
    teardown();
}

static void test_head(void) {
    setup(HEAD_PARAMS);
    struct exchange *exchange = exchange_begin(pool, &transport);
    CU_ASSERT_TRUE(exchange->head);
    response_start(&exchange->response, 200, "text/plain");
    buffer_append_text(&exchange->response.body, "hello");
    exchange_send(exchange);
    CU_ASSERT_STRING_EQUAL(transport_header("Content-Length"), "5");
    CU_ASSERT_EQUAL(answered.body_length, 0);

    /* The next one is not a HEAD because the last one was. */
    transport.params = GET_PARAMS;
    exchange = exchange_begin(pool, &transport);
    CU_ASSERT_FALSE(exchange->head);
    exchange_abandon(exchange);
    teardown();
}

static void test_no_body(void) {
    setup(GET_PARAMS);
    struct exchange *exchange = exchange_begin(pool, &transport);
    response_start(&exchange->response, 304, NULL);
    buffer_append_text(&exchange->response.body, "unwanted");
    exchange_send(exchange);
    CU_ASSERT_STRING_EQUAL(answered.head, "Status: 304 Not Modified\r\n\r\n");
    CU_ASSERT_EQUAL(answered.body_length, 0);
    teardown();
}

static void test_problem(void) {
    setup(GET_PARAMS);
    struct exchange *exchange = exchange_begin(pool, &transport);
    response_start(&exchange->response, 200, "text/plain");
    buffer_append_text(&exchange->response.body, "half an answer");
    exchange_problem(exchange, PROBLEM_TIMEOUT, "after 30 s", NULL);
    CU_ASSERT_EQUAL(transport_status(), 504);
    CU_ASSERT_STRING_EQUAL(transport_header("Content-Type"), "application/problem+json");
    json_t *object = json_loads(answered.body, 0, NULL);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(object, "status")), 504);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(object, "detail")), "after 30 s");
    json_decref(object);
    CU_ASSERT_EQUAL(strtoul(transport_header("Content-Length"), NULL, 10), answered.body_length);
    CU_ASSERT_EQUAL(count(STAT_rejected_requests), 1);
    teardown();
}

static unsigned abandoned_calls;

static void count_abandoned(struct exchange *exchange) {
    abandoned_calls += exchange->state == &abandoned_calls ? 1 : 100;
}

static void test_abandoned(void) {
    setup(GET_PARAMS);
    abandoned_calls = 0;
    struct exchange *exchange = exchange_begin(pool, &transport);
    exchange->state = &abandoned_calls;
    exchange->abandoned = count_abandoned;
    buffer_append_text(&exchange->scratch, "left behind");
    response_start(&exchange->response, 200, NULL);
    exchange_abandon(exchange);
    CU_ASSERT_EQUAL(abandoned_calls, 1);
    CU_ASSERT_EQUAL(answered.answers, 0);

    exchange = exchange_begin(pool, &transport);
    CU_ASSERT_PTR_NULL(exchange->abandoned);
    CU_ASSERT_PTR_NULL(exchange->state);
    CU_ASSERT_EQUAL(exchange->scratch.length, 0);
    CU_ASSERT_EQUAL(exchange->response.status, 0);
    exchange_abandon(exchange);
    CU_ASSERT_EQUAL(abandoned_calls, 1);
    teardown();
}

static void expect_last_answer(void) {
    CU_ASSERT_EQUAL(answered.answers, 1);
    CU_ASSERT_EQUAL(transport_status(), 500);
    CU_ASSERT_EQUAL(strtoul(transport_header("Content-Length"), NULL, 10), strlen(answered.body));
    json_t *object = json_loads(answered.body, 0, NULL);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(object, "status")), 500);
    json_decref(object);
    CU_ASSERT_EQUAL(count(STAT_requests), 1);
    CU_ASSERT_EQUAL(count(STAT_rejected_requests), 1);
}

static void test_head_too_long(void) {
    static char value[RESPONSE_HEAD_MAX];

    setup(GET_PARAMS);
    memset(value, 'x', sizeof(value));
    struct exchange *exchange = exchange_begin(pool, &transport);
    response_start(&exchange->response, 200, "text/plain");
    response_header(&exchange->response, "X-Long", (struct bytes){value, sizeof(value)});
    buffer_append_text(&exchange->response.body, "hello");
    exchange_send(exchange);
    expect_last_answer();
    teardown();
}

static void test_body_failed(void) {
    setup(HEAD_PARAMS);
    struct exchange *exchange = exchange_begin(pool, &transport);
    response_start(&exchange->response, 200, "text/plain");
    exchange->response.body.cap = 4;
    buffer_append_text(&exchange->response.body, "hello");
    exchange_send(exchange);
    CU_ASSERT_EQUAL(transport_status(), 500);
    CU_ASSERT_EQUAL(answered.body_length, 0);
    teardown();
}

/* Each allocation of begin and send fails in turn: there is always exactly one answer, and it is whole. */
static void test_no_memory(void) {
    for (unsigned n = 1; n <= 6; n++) {
        setup(GET_PARAMS);
        struct piece pieces[PROBLEMS_COUNT];
        for (size_t i = 0; i < PROBLEMS_COUNT; i++)
            pieces[i] = (struct piece){.bytes = bytes_of("x")};
        unit_allocations_fail(n, true);
        struct exchange *exchange = exchange_begin(pool, &transport);
        if (exchange != NULL) {
            response_start(&exchange->response, 200, "text/plain");
            exchange_send_pieces(exchange, pieces, PROBLEMS_COUNT);
        }
        unit_allocations_heal();
        CU_ASSERT_EQUAL(answered.answers, 1);
        CU_ASSERT_EQUAL(strtoul(transport_header("Content-Length"), NULL, 10), answered.body_length);
        if (transport_status() == 500)
            expect_last_answer();
        else
            CU_ASSERT_EQUAL(transport_status(), 200);
        teardown();
    }
}

static void test_pool_is_bounded(void) {
    enum { MANY = 1000 };
    struct exchange *exchanges[MANY];
    struct fastcgi_request transports[MANY];
    size_t warm = 0;

    setup(GET_PARAMS);
    for (size_t i = 0; i < MANY; i++) {
        transports[i] = (struct fastcgi_request){.params = GET_PARAMS};
        exchanges[i] = exchange_begin(pool, &transports[i]);
    }
    for (size_t i = 0; i < MANY; i++)
        exchange_problem(exchanges[i], PROBLEM_NOT_FOUND, NULL, NULL);
    CU_ASSERT_EQUAL(answered.answers, MANY);
    CU_ASSERT_EQUAL(count(STAT_requests), MANY);

    /* One that was kept has its buffers still. */
    for (size_t i = 0; i < MANY; i++) {
        exchanges[i] = exchange_begin(pool, &transports[i]);
        warm += exchanges[i]->response.head.capacity > 0;
    }
    CU_ASSERT_EQUAL(warm, 256);
    for (size_t i = 0; i < MANY; i++)
        exchange_abandon(exchanges[i]);
    teardown();
}

static void test_large_buffers_are_given_back(void) {
    setup(GET_PARAMS);
    struct exchange *exchange = exchange_begin(pool, &transport);
    response_start(&exchange->response, 200, "text/plain");
    CU_ASSERT_PTR_NOT_NULL(buffer_reserve(&exchange->response.body, 1024 * 1024));
    CU_ASSERT_PTR_NOT_NULL(buffer_reserve(&exchange->scratch, 1024 * 1024));
    exchange_send(exchange);
    struct exchange *again = exchange_begin(pool, &transport);
    CU_ASSERT_PTR_EQUAL(again, exchange);
    CU_ASSERT_TRUE(again->response.body.capacity <= 64 * 1024);
    CU_ASSERT_TRUE(again->scratch.capacity <= 64 * 1024);
    exchange_abandon(again);
    teardown();
}

/* ---- in parts ---- */

static unsigned written, left;
static struct bytes last_part;
static bool ended;

static void on_written(struct exchange *exchange) {
    (void)exchange;
    written++;
}

static void on_left(struct exchange *exchange) {
    (void)exchange;
    left++;
}

static void on_part(struct exchange *exchange, struct bytes part, bool last) {
    (void)exchange;
    last_part = part;
    ended = last;
}

static struct exchange *begin_stream(char *const *params) {
    setup(params);
    written = left = 0;
    struct exchange *exchange = exchange_begin(pool, &transport);
    exchange->written = on_written;
    exchange->abandoned = on_left;
    exchange->no_store = true;
    response_start(&exchange->response, 200, "application/x-ndjson");
    return exchange;
}

static void test_stream(void) {
    struct exchange *exchange = begin_stream(GET_PARAMS);
    CU_ASSERT_TRUE(exchange_stream(exchange));
    exchange_written(exchange);
    CU_ASSERT_TRUE(exchange_send_part(exchange, bytes_of("{}\n")));
    exchange_written(exchange);
    CU_ASSERT_EQUAL(written, 2);
    CU_ASSERT_EQUAL(answered.answers, 0);
    exchange_end(exchange);
    CU_ASSERT_EQUAL(answered.answers, 1);
    CU_ASSERT_EQUAL(answered.parts, 0);
    CU_ASSERT_STRING_EQUAL(streamed.bytes,
                           "Status: 200 OK\r\nContent-Type: application/x-ndjson\r\n"
                           "Cache-Control: no-store\r\n\r\n{}\n");
    CU_ASSERT_EQUAL(count(STAT_responses_2xx), 1);
    CU_ASSERT_EQUAL(left, 0);
    teardown();
}

static void test_stream_for_head(void) {
    struct exchange *exchange = begin_stream(HEAD_PARAMS);
    CU_ASSERT_FALSE(exchange_stream(exchange));
    CU_ASSERT_EQUAL(left, 1);
    CU_ASSERT_EQUAL(answered.answers, 1);
    CU_ASSERT_EQUAL(answered.body_length, 0);
    CU_ASSERT_STRING_EQUAL(transport_header("Content-Length"), "");
    CU_ASSERT_EQUAL(count(STAT_responses_2xx), 1);
    teardown();
}

static void test_stream_without_memory(void) {
    struct exchange *exchange = begin_stream(GET_PARAMS);
    exchange->response.head.failed = true;
    CU_ASSERT_FALSE(exchange_stream(exchange));
    CU_ASSERT_EQUAL(left, 1);
    CU_ASSERT_EQUAL(transport_status(), 500);
    CU_ASSERT_EQUAL(count(STAT_responses_5xx), 1);
    CU_ASSERT_EQUAL(count(STAT_responses_2xx), 0);
    teardown();
}

static void test_reader_of_a_stream_leaves(void) {
    struct exchange *exchange = begin_stream(GET_PARAMS);
    CU_ASSERT_TRUE(exchange_stream(exchange));
    streamed.gone = true;
    CU_ASSERT_FALSE(exchange_send_part(exchange, bytes_of("x")));
    CU_ASSERT_EQUAL(left, 1);
    CU_ASSERT_EQUAL(answered.answers, 0);
    teardown();
}

static void test_body_in_parts(void) {
    static char length[] = "CONTENT_LENGTH=5";
    char *const params[] = {length, NULL};
    setup(params);
    transport.body = bytes_of("ab");
    transport.body_goes_on = true;
    struct exchange *exchange = exchange_begin(pool, &transport);
    CU_ASSERT_TRUE(exchange->request.body_goes_on);
    CU_ASSERT_FALSE(exchange->request.body_truncated);
    exchange->part = on_part;
    exchange_read_on(exchange);
    CU_ASSERT_EQUAL(streamed.reads_on, 1);
    exchange_part(exchange, bytes_of("cde"), false);
    CU_ASSERT_EQUAL(last_part.length, 3);
    CU_ASSERT_FALSE(ended);
    exchange_part(exchange, (struct bytes){NULL, 0}, true);
    CU_ASSERT_TRUE(ended);
    response_start(&exchange->response, 204, NULL);
    exchange_send(exchange);
    teardown();
}

static const struct unit_case CASES[] = {
    {"an answer", test_answer},
    {"a body of many pieces", test_many_pieces},
    {"no room for a large body", test_no_room},
    {"HEAD has the length and not the body", test_head},
    {"304 has no body", test_no_body},
    {"a problem replaces what was built", test_problem},
    {"an answer that is streamed", test_stream},
    {"HEAD of an answer that is streamed", test_stream_for_head},
    {"a stream without memory for its head", test_stream_without_memory},
    {"the reader of a stream leaves", test_reader_of_a_stream_leaves},
    {"a body that comes in parts", test_body_in_parts},
    {"a client that left", test_abandoned},
    {"a head past its limit becomes a 500", test_head_too_long},
    {"a body past its limit becomes a 500", test_body_failed},
    {"no memory: one whole answer all the same", test_no_memory},
    {"256 exchanges are kept, more are served", test_pool_is_bounded},
    {"large buffers are given back", test_large_buffers_are_given_back},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "exchange", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
