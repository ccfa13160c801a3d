#include "fastcgi/frame.h"

#include "records.h"
#include "unit.h"

#define BODY_MAX 200000

static struct frame_scanner scanner;
static struct buffer input;

static void begin(void) {
    frame_init(&scanner, BODY_MAX);
    buffer_init(&input, 16 << 20);
}

static void end(void) {
    frame_fini(&scanner);
    buffer_fini(&input);
}

static enum frame_status scan_input(size_t *consumed) {
    return frame_scan(&scanner, buffer_bytes(&input), consumed);
}

/* Scans `input` whole and expects that it is consumed to its end. */
static void expect(enum frame_status status) {
    size_t consumed = 0;
    CU_ASSERT_EQUAL(scan_input(&consumed), status);
    CU_ASSERT_EQUAL(consumed, input.length);
}

static void expect_invalid(void) {
    size_t consumed;
    CU_ASSERT_EQUAL(scan_input(&consumed), FRAME_INVALID);
    end();
}

static void put_values_asked(const char *const *names, size_t n) {
    struct buffer pairs;
    buffer_init(&pairs, 4096);
    for (size_t i = 0; i < n; i++)
        put_pair_text(&pairs, names[i], "");
    put_record(&input, GET_VALUES, 0, buffer_bytes(&pairs), 0);
    buffer_fini(&pairs);
}

/* A request of several PARAMS and STDIN records with padding, and what is to become of it. */
static void put_split_request(struct buffer *expected) {
    put_begin(&input, 1, RESPONDER, KEEP);
    put_record(&input, PARAMS, 1, (struct bytes){"\1\2A", 3}, 5);
    put_record(&input, PARAMS, 1, bytes_of("bc"), 0);
    put_empty(&input, PARAMS, 1);
    put_record(&input, STDIN, 1, bytes_of("hel"), 255);
    put_record(&input, STDIN, 1, bytes_of("lo"), 1);
    put_empty(&input, STDIN, 1);

    buffer_init(expected, 4096);
    put_begin(expected, 1, RESPONDER, KEEP);
    put_record(expected, PARAMS, 1, (struct bytes){"\1\2Abc", 5}, 0);
    put_empty(expected, PARAMS, 1);
    put_record(expected, STDIN, 1, bytes_of("hello"), 0);
    put_empty(expected, STDIN, 1);
}

static void test_collects_one_request(void) {
    struct buffer expected;
    begin();
    put_split_request(&expected);
    expect(FRAME_REQUEST);
    CU_ASSERT_TRUE(bytes_equal(buffer_bytes(&scanner.out), buffer_bytes(&expected)));
    CU_ASSERT_EQUAL(scanner.body_length, 5);
    CU_ASSERT_EQUAL(scanner.params_length, 5);
    CU_ASSERT_TRUE(scanner.keep);
    CU_ASSERT_EQUAL(scanner.reply.length, 0);
    buffer_fini(&expected);
    end();
}

static void test_takes_any_split(void) {
    struct buffer expected;
    begin();
    put_split_request(&expected);
    for (size_t at = 0; at < input.length; at++) {
        size_t first = 0;
        size_t second = 0;
        CU_ASSERT_EQUAL(frame_scan(&scanner, (struct bytes){input.data, at}, &first), FRAME_INCOMPLETE);
        CU_ASSERT_TRUE(first <= at);
        struct bytes rest = {input.data + first, input.length - first};
        CU_ASSERT_EQUAL(frame_scan(&scanner, rest, &second), FRAME_REQUEST);
        CU_ASSERT_EQUAL(first + second, input.length);
        CU_ASSERT_TRUE(bytes_equal(buffer_bytes(&scanner.out), buffer_bytes(&expected)));
        frame_next(&scanner);
    }
    buffer_fini(&expected);
    end();
}

static void test_takes_single_bytes(void) {
    struct buffer expected;
    begin();
    put_split_request(&expected);
    size_t from = 0;
    for (size_t to = 1; to <= input.length; to++) {
        size_t consumed = 0;
        struct bytes bytes = {input.data + from, to - from};
        enum frame_status status = frame_scan(&scanner, bytes, &consumed);
        CU_ASSERT_EQUAL(status, to < input.length ? FRAME_INCOMPLETE : FRAME_REQUEST);
        from += consumed;
    }
    CU_ASSERT_TRUE(bytes_equal(buffer_bytes(&scanner.out), buffer_bytes(&expected)));
    buffer_fini(&expected);
    end();
}

static void test_leaves_what_follows(void) {
    begin();
    put_request(&input, 1, KEEP, "/", bytes_of("x"));
    size_t first_length = input.length;
    put_request(&input, 2, CLOSE, "/", bytes_of("y"));
    size_t consumed;
    CU_ASSERT_EQUAL(scan_input(&consumed), FRAME_REQUEST);
    CU_ASSERT_EQUAL(consumed, first_length);
    buffer_consume(&input, consumed);
    CU_ASSERT_EQUAL(scan_input(&consumed), FRAME_INCOMPLETE); /* the first one is not answered */
    CU_ASSERT_EQUAL(consumed, 0);
    frame_next(&scanner);
    expect(FRAME_REQUEST);
    CU_ASSERT_EQUAL(scanner.id, 2);
    CU_ASSERT_FALSE(scanner.keep);
    end();
}

static void test_no_params_no_body(void) {
    begin();
    put_begin(&input, 1, RESPONDER, KEEP);
    put_empty(&input, PARAMS, 1);
    put_empty(&input, STDIN, 1);
    expect(FRAME_REQUEST);
    CU_ASSERT_TRUE(bytes_equal(buffer_bytes(&scanner.out), buffer_bytes(&input)));
    end();
}

static void test_answers_values_once_each(void) {
    static const char *const ASKED[] = {"FCGI_MPXS_CONNS", "FCGI_MAX_CONNS",  "FCGI_MAX_CONNS",
                                        "FCGI_MAX_CONNS",  "FCGI_MAX_CONNS",  "FCGI_UNHEARD_OF",
                                        "FCGI_MAX_REQS",   "FCGI_MPXS_CONNS", ""};
    struct buffer pairs;
    struct buffer expected;
    begin();
    put_values_asked(ASKED, sizeof(ASKED) / sizeof(ASKED[0]));
    expect(FRAME_INCOMPLETE);
    buffer_init(&pairs, 4096);
    put_pair_text(&pairs, "FCGI_MAX_CONNS", FRAME_CONNECTIONS_TOLD);
    put_pair_text(&pairs, "FCGI_MAX_REQS", FRAME_CONNECTIONS_TOLD);
    put_pair_text(&pairs, "FCGI_MPXS_CONNS", "0");
    buffer_init(&expected, 4096);
    put_record(&expected, GET_VALUES_RESULT, 0, buffer_bytes(&pairs), 0);
    CU_ASSERT_TRUE(bytes_equal(buffer_bytes(&scanner.reply), buffer_bytes(&expected)));
    CU_ASSERT_EQUAL(scanner.out.length, 0);
    buffer_fini(&pairs);
    buffer_fini(&expected);
    end();
}

static void test_management_inside_a_request_is_kept_from_libfcgi(void) {
    static const char *const ASKED[] = {"FCGI_MPXS_CONNS"};
    struct buffer expected;
    buffer_init(&expected, 4096);
    put_request(&expected, 1, KEEP, "/", (struct bytes){NULL, 0});
    begin();
    put_begin(&input, 1, RESPONDER, KEEP);
    put_values_asked(ASKED, 1);
    put_params(&input, 1, "PATH", "/");
    put_record(&input, 77, 0, bytes_of("?"), 0);
    put_record(&input, STDIN, 9, bytes_of("of another request"), 0);
    put_empty(&input, STDIN, 1);
    expect(FRAME_REQUEST);
    size_t consumed;
    struct frame_scanner clean;
    frame_init(&clean, BODY_MAX);
    CU_ASSERT_EQUAL(frame_scan(&clean, buffer_bytes(&expected), &consumed), FRAME_REQUEST);
    CU_ASSERT_TRUE(bytes_equal(buffer_bytes(&scanner.out), buffer_bytes(&clean.out)));
    frame_fini(&clean);
    struct seen_record record = {0};
    CU_ASSERT_TRUE(see_record(buffer_bytes(&scanner.reply), &record));
    CU_ASSERT_EQUAL(record.type, GET_VALUES_RESULT);
    struct bytes rest = {scanner.reply.data + record.size, scanner.reply.length - record.size};
    CU_ASSERT_TRUE(see_record(rest, &record));
    CU_ASSERT_EQUAL(record.type, UNKNOWN_TYPE);
    CU_ASSERT_EQUAL(record.content.data[0], 77);
    buffer_fini(&expected);
    end();
}

static void test_reply_is_capped(void) {
    begin();
    while (input.length < 1000 * 16)
        put_record(&input, 99, 0, (struct bytes){NULL, 0}, 0);
    expect_invalid();
}

static void expect_end_reply(int id, int protocol_status) {
    struct seen_record record = {0};
    CU_ASSERT_TRUE_FATAL(see_record(buffer_bytes(&scanner.reply), &record));
    CU_ASSERT_EQUAL(record.type, END);
    CU_ASSERT_EQUAL(record.id, id);
    CU_ASSERT_EQUAL(record.content.length, 8);
    CU_ASSERT_EQUAL(record.content.data[4], protocol_status);
    CU_ASSERT_EQUAL(record.size, scanner.reply.length);
}

static void test_second_request_at_once_is_refused(void) {
    begin();
    put_begin(&input, 1, RESPONDER, KEEP);
    put_begin(&input, 0x0203, RESPONDER, CLOSE);
    put_params(&input, 0x0203, "A", "refused");
    put_params(&input, 1, "A", "b");
    put_empty(&input, STDIN, 0x0203);
    put_empty(&input, STDIN, 1);
    expect(FRAME_REQUEST);
    expect_end_reply(0x0203, CANT_MPX_CONN);
    CU_ASSERT_TRUE(scanner.keep);
    CU_ASSERT_EQUAL(scanner.params_length, 4);
    end();
}

static void test_other_roles_are_refused(void) {
    begin();
    put_begin(&input, 5, AUTHORIZER, KEEP);
    expect(FRAME_ENDED);
    expect_end_reply(5, UNKNOWN_ROLE);
    CU_ASSERT_TRUE(scanner.keep);
    buffer_reset(&input, 0);
    put_params(&input, 5, "A", "b");
    put_empty(&input, STDIN, 5);
    put_request(&input, 6, KEEP, "/", bytes_of("x"));
    expect(FRAME_REQUEST);
    CU_ASSERT_EQUAL(scanner.id, 6);
    end();
}

static void test_abort_while_collecting(void) {
    begin();
    put_begin(&input, 1, RESPONDER, KEEP);
    put_params(&input, 1, "A", "b");
    put_empty(&input, ABORT, 2); /* of nobody */
    put_empty(&input, ABORT, 1);
    expect(FRAME_ENDED);
    expect_end_reply(1, COMPLETE);
    buffer_reset(&input, 0);
    put_request(&input, 1, KEEP, "/", bytes_of("x"));
    expect(FRAME_REQUEST);
    CU_ASSERT_EQUAL(scanner.body_length, 1);
    end();
}

static void test_abort_of_a_complete_request(void) {
    begin();
    put_request(&input, 1, CLOSE, "/", bytes_of("x"));
    expect(FRAME_REQUEST);
    buffer_reset(&input, 0);
    put_empty(&input, ABORT, 1);
    expect(FRAME_ENDED);
    expect_end_reply(1, COMPLETE);
    CU_ASSERT_FALSE(scanner.keep);
    end();
}

static void put_large_body(size_t length, size_t part) {
    struct buffer body;
    buffer_init(&body, length);
    char *to = buffer_reserve(&body, length);
    CU_ASSERT_PTR_NOT_NULL_FATAL(to);
    memset(to, 'b', length);
    body.length = length;
    put_begin(&input, 1, RESPONDER, KEEP);
    put_params(&input, 1, "A", "b");
    put_body(&input, 1, buffer_bytes(&body), part);
    buffer_fini(&body);
}

/* BEGIN 16, PARAMS 8 + 4, its end 8, the end of STDIN 8: what `out` has beside body and its headers. */
#define OUT_BESIDE_BODY 44

static void test_body_at_the_limit(void) {
    begin();
    put_large_body(BODY_MAX, 65535);
    expect(FRAME_REQUEST);
    CU_ASSERT_EQUAL(scanner.body_length, BODY_MAX);
    CU_ASSERT_EQUAL(scanner.out.length, OUT_BESIDE_BODY + BODY_MAX + 4 * 8);
    end();
}

static void test_body_in_single_bytes_is_not_blown_up(void) {
    begin();
    put_large_body(BODY_MAX, 1);
    expect(FRAME_REQUEST);
    CU_ASSERT_EQUAL(scanner.body_length, BODY_MAX);
    CU_ASSERT_EQUAL(scanner.out.length, OUT_BESIDE_BODY + BODY_MAX + 4 * 8);
    end();
}

static void test_body_over_the_limit(void) {
    begin();
    put_large_body(BODY_MAX + 1, 65535);
    expect(FRAME_TOO_LARGE);
    CU_ASSERT_EQUAL(scanner.body_length, BODY_MAX + 1);
    CU_ASSERT_EQUAL(scanner.out.length, OUT_BESIDE_BODY);
    struct seen_record record = {0};
    CU_ASSERT_TRUE(see_record((struct bytes){scanner.out.data + OUT_BESIDE_BODY - 8, 8}, &record));
    CU_ASSERT_EQUAL(record.type, STDIN);
    CU_ASSERT_EQUAL(record.content.length, 0);
    end();
}

static void put_raw_params(struct bytes content) {
    put_begin(&input, 1, RESPONDER, KEEP);
    put_record(&input, PARAMS, 1, content, 0);
    put_empty(&input, PARAMS, 1);
}

static void test_params_lengths_are_checked(void) {
    static const struct bytes BROKEN[] = {
        {"\xff\xff\xff\xff\1A", 6}, /* a name of 2 GB */
        {"\1\xff\xff\xff\xff"
         "A",
         6},                                     /* a value of 2 GB */
        {"\xff\xff\xff\xff\xff\xff\xff\xff", 8}, /* both: their sum passes 32 bits */
        {"\1\2Ab", 4},                           /* one byte short */
        {"\1", 1},                               /* no length of the value */
        {"\x80\0\0", 3},                         /* a long length cut short */
        {"\1\x80\0", 3},
        {"\1\1Ab\1", 5},  /* a second pair that only begins */
        {"\1\3Ab\0c", 6}, /* NUL in a value */
        {"\2\1A\0b", 5},  /* NUL in a name */
    };
    for (size_t i = 0; i < sizeof(BROKEN) / sizeof(BROKEN[0]); i++) {
        begin();
        put_raw_params(BROKEN[i]);
        expect_invalid();
    }
}

static void test_params_of_long_form_and_empty_ones_are_sound(void) {
    begin();
    put_raw_params((struct bytes){"\x80\0\0\1\x80\0\0\2Abc\0\0\1\0D", 16});
    expect(FRAME_INCOMPLETE);
    end();
}

/* The rest of the body is dropped, however long, and the request behind it is served. */
static void expect_nothing_but_its_frame(struct bytes more) {
    struct buffer expected;
    for (int i = 0; i < 20; i++)
        put_record(&input, PARAMS, 1, more, 0);
    put_empty(&input, PARAMS, 1);
    put_body(&input, 1, bytes_of("whose is it?"), 5);
    expect(FRAME_PARAMS_TOO_LARGE);
    buffer_init(&expected, 64);
    put_begin(&expected, 1, RESPONDER, KEEP);
    put_empty(&expected, PARAMS, 1);
    put_empty(&expected, STDIN, 1);
    CU_ASSERT_TRUE(bytes_equal(buffer_bytes(&scanner.out), buffer_bytes(&expected)));
    CU_ASSERT_TRUE(scanner.keep);
    frame_next(&scanner);
    buffer_reset(&input, 0);
    put_request(&input, 2, KEEP, "/", bytes_of("x"));
    expect(FRAME_REQUEST);
    CU_ASSERT_EQUAL(scanner.body_length, 1);
    buffer_fini(&expected);
    end();
}

static void test_params_are_limited(void) {
    struct buffer value;
    buffer_init(&value, FRAME_PARAMS_MAX);
    char *to = buffer_reserve(&value, FRAME_PARAMS_MAX);
    memset(to, 'v', FRAME_PARAMS_MAX);
    struct buffer pair;
    buffer_init(&pair, 2 * FRAME_PARAMS_MAX);
    put_pair(&pair, bytes_of("A"), (struct bytes){to, FRAME_PARAMS_MAX - 6});
    CU_ASSERT_EQUAL(pair.length, FRAME_PARAMS_MAX);
    begin();
    put_raw_params(buffer_bytes(&pair));
    expect(FRAME_INCOMPLETE);
    end();
    begin();
    put_begin(&input, 1, RESPONDER, KEEP);
    put_record(&input, PARAMS, 1, buffer_bytes(&pair), 0);
    put_record(&input, PARAMS, 1, (struct bytes){"\0\0", 2}, 0);
    expect_nothing_but_its_frame(buffer_bytes(&pair));
    buffer_fini(&value);
    buffer_fini(&pair);
}

static void test_wrong_order_is_invalid(void) {
    begin();
    put_begin(&input, 1, RESPONDER, KEEP);
    put_empty(&input, STDIN, 1);
    expect_invalid();
    begin();
    put_begin(&input, 1, RESPONDER, KEEP);
    put_params(&input, 1, "A", "b");
    put_params(&input, 1, "A", "b");
    expect_invalid();
    begin();
    put_begin(&input, 1, RESPONDER, KEEP);
    put_begin(&input, 1, RESPONDER, KEEP);
    expect_invalid();
    begin();
    put_begin(&input, 1, RESPONDER, KEEP);
    put_record(&input, DATA, 1, bytes_of("x"), 0);
    expect_invalid();
}

static void test_malformed_begin_is_invalid(void) {
    begin();
    put_begin(&input, 0, RESPONDER, KEEP);
    expect_invalid();
    begin();
    put_record(&input, BEGIN, 1, bytes_of("short"), 0);
    expect_invalid();
}

static void test_other_protocols_are_refused_by_the_first_byte(void) {
    begin();
    buffer_append_text(&input, "G");
    expect_invalid();
}

static void test_malformed_question_is_invalid(void) {
    begin();
    put_record(&input, GET_VALUES, 0, (struct bytes){"\x0e\0FCGI", 6}, 0);
    expect_invalid();
}

static void test_no_memory_is_invalid(void) {
    struct buffer expected;
    begin();
    put_split_request(&expected);
    unit_allocations_count_start();
    unit_allocations_fail(1, false);
    size_t consumed;
    enum frame_status status = scan_input(&consumed);
    unit_allocations_heal();
    /* A sanitizer's allocator is not counted and does not fail. */
    CU_ASSERT_EQUAL(status, unit_allocations_count() > 0 ? FRAME_INVALID : FRAME_REQUEST);
    buffer_fini(&expected);
    end();
}

static const struct unit_case CASES[] = {
    {"collects one request into few records", test_collects_one_request},
    {"takes a request split at any position", test_takes_any_split},
    {"takes a request byte by byte", test_takes_single_bytes},
    {"leaves what follows a request until it is answered", test_leaves_what_follows},
    {"takes a request without parameters and body", test_no_params_no_body},
    {"answers each value once, however often it is asked for", test_answers_values_once_each},
    {"keeps management records and other ids from libfcgi",
     test_management_inside_a_request_is_kept_from_libfcgi},
    {"caps what it says by itself", test_reply_is_capped},
    {"refuses a second request at once", test_second_request_at_once_is_refused},
    {"refuses other roles", test_other_roles_are_refused},
    {"ends an aborted request while collecting it", test_abort_while_collecting},
    {"ends an aborted request that is complete", test_abort_of_a_complete_request},
    {"takes a body at the limit", test_body_at_the_limit},
    {"does not blow up a body that comes in single bytes", test_body_in_single_bytes_is_not_blown_up},
    {"drops a body over the limit", test_body_over_the_limit},
    {"checks the lengths inside PARAMS", test_params_lengths_are_checked},
    {"takes long and empty parameters", test_params_of_long_form_and_empty_ones_are_sound},
    {"limits PARAMS", test_params_are_limited},
    {"refuses records in the wrong order", test_wrong_order_is_invalid},
    {"refuses a malformed BEGIN_REQUEST", test_malformed_begin_is_invalid},
    {"refuses other protocols by the first byte", test_other_protocols_are_refused_by_the_first_byte},
    {"refuses a malformed GET_VALUES", test_malformed_question_is_invalid},
    {"says so when there is no memory", test_no_memory_is_invalid},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "frame", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
