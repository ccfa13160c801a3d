/* Answers that go out in parts, and long bodies that come in them. */
#include "connection_rig.h"

/* ---- answers ---- */

#define PARTS 5

static const size_t PART_LENGTHS[PARTS] = {1, 70000, 3 << 20, 16, 65528};
static struct buffer whole; /* of what is sent or received in parts */
static size_t part_at;
static unsigned parts_sent;
static unsigned written;
static bool inside; /* a call that sends */

static void send_next(struct fastcgi_request *request) {
    if (parts_sent == PARTS) {
        fastcgi_respond(request, NULL, 0);
        parked_count--;
        return;
    }
    size_t length = PART_LENGTHS[parts_sent++];
    inside = true;
    CU_ASSERT_TRUE(fastcgi_send_part(request, (struct bytes){whole.data + part_at, length}));
    inside = false;
    part_at += length;
}

static void send_on(void *user, struct fastcgi_request *request) {
    CU_ASSERT_PTR_EQUAL(user, &server);
    CU_ASSERT_FALSE(inside);
    written++;
    send_next(request);
}

static void begin_stream(struct client *client) {
    buffer_init(&whole, 64 << 20);
    for (unsigned i = 0; i < PARTS; i++) {
        char *bytes = patterned(PART_LENGTHS[i]);
        buffer_append(&whole, bytes, PART_LENGTHS[i]);
        free(bytes);
    }
    part_at = parts_sent = written = 0;
    note_written = send_on;
    begin(PARK);
    client_connect(client);
    client_ask(client, KEEP, "/a", "1");
    CU_ASSERT_TRUE(client_send(client));
    CU_ASSERT_TRUE(run_until(&parked_count, 1));
}

static void end_stream(struct client *client) {
    client_close(client);
    end();
    buffer_fini(&whole);
    note_written = NULL;
}

static void test_stream(void) {
    struct client client;
    begin_stream(&client);
    send_next(parked[0]);
    CU_ASSERT_TRUE(client_gets(&client, buffer_bytes(&whole)));
    CU_ASSERT_EQUAL(written, PARTS);
    manner = ANSWER;
    client_ask(&client, KEEP, "/b", "2");
    CU_ASSERT_TRUE(client_gets_text(&client, "/b\n2"));
    end_stream(&client);
    CU_ASSERT_EQUAL(abandoned, 0);
}

/* The next part is asked for when the peer has taken the last one, not before. */
static void test_stream_waits_for_its_reader(void) {
    struct client client;
    begin_stream(&client);
    send_next(parked[0]);
    for (unsigned i = 0; i < 200; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    CU_ASSERT_EQUAL(parts_sent, 3); /* the third is larger than the socket */
    CU_ASSERT_EQUAL(written, 2);
    CU_ASSERT_EQUAL(stats.value[STAT_held_bytes], 0);
    CU_ASSERT_TRUE(client_gets(&client, buffer_bytes(&whole)));
    CU_ASSERT_EQUAL(written, PARTS);
    end_stream(&client);
}

static void test_reader_stalls(void) {
    struct client client;
    begin_stream(&client);
    send_next(parked[0]);
    for (unsigned i = 0; i < 200; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    fake_clock.monotonic_us += 390 * SECOND;
    wait_for_a_sweep();
    CU_ASSERT_EQUAL(abandoned, 0);
    fake_clock.monotonic_us += 20 * SECOND;
    CU_ASSERT_TRUE(run_until(&abandoned, 1));
    CU_ASSERT_EQUAL(stats.value[STAT_protocol_errors], 1);
    end_stream(&client);
}

/* Between parts nothing is waited for: how long the next one takes is the handler's business. */
static void test_pause_between_parts(void) {
    struct client client;
    begin_stream(&client);
    note_written = NULL;
    fake_clock.monotonic_us += 4000 * SECOND;
    wait_for_a_sweep();
    CU_ASSERT_EQUAL(abandoned, 0);
    send_next(parked[0]);
    CU_ASSERT_TRUE(client_gets(&client, buffer_bytes(&whole)));
    end_stream(&client);
}

static void test_reader_leaves(void) {
    struct client client;
    begin_stream(&client);
    send_next(parked[0]);
    for (unsigned i = 0; i < 200; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    close(client.descriptor);
    client.descriptor = -1;
    CU_ASSERT_TRUE(run_until(&abandoned, 1));
    CU_ASSERT_EQUAL(parts_sent, 3);
    end_stream(&client);
    CU_ASSERT_EQUAL(abandoned, 1);
}

static void test_stream_is_aborted(void) {
    struct client client;
    begin_stream(&client);
    note_written = NULL;
    put_empty(&client.to_send, ABORT, 1);
    CU_ASSERT_TRUE(client_gets_text(&client, ""));
    CU_ASSERT_EQUAL(abandoned, 1);
    end_stream(&client);
}

/* ---- bodies ---- */

#define BODY_LENGTH (5 << 20)

static char *body;
static unsigned parts_taken;
static unsigned ends;
static bool at_once; /* the next part is asked for when one has come */
static bool wanted;

static bool want_parts(void *user, const struct fastcgi_request *request) {
    CU_ASSERT_PTR_EQUAL(user, &server);
    CU_ASSERT_STRING_EQUAL(param(request, "PATH"), "/long");
    return wanted;
}

static void on_part(void *user, struct fastcgi_request *request, struct bytes part, bool last) {
    CU_ASSERT_PTR_EQUAL(user, &server);
    CU_ASSERT_EQUAL(last, part.length == 0);
    parts_taken++;
    ends += last;
    buffer_append_bytes(&whole, part);
    if (!last && at_once)
        fastcgi_read_on(request);
}

static void begin_long(struct client *client) {
    body = patterned(BODY_LENGTH);
    buffer_init(&whole, 64 << 20);
    parts_taken = ends = 0;
    at_once = wanted = true;
    wants_parts = want_parts;
    take_part = on_part;
    begin(PARK);
    client_connect(client);
    put_request(&client->to_send, 1, KEEP, "/long", (struct bytes){body, BODY_LENGTH});
}

/* Sends until the beginning is with the handler. */
static struct fastcgi_request *take_beginning(struct client *client) {
    time_t deadline = time(NULL) + 20;
    while (parked_count == 0 && time(NULL) < deadline) {
        client_push(client);
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    CU_ASSERT_EQUAL_FATAL(parked_count, 1);
    CU_ASSERT_TRUE(parked[0]->body_goes_on);
    CU_ASSERT(parked[0]->body.length > BODY_MAX / 2 && parked[0]->body.length <= BODY_MAX);
    buffer_append_bytes(&whole, parked[0]->body);
    return parked[0];
}

static void end_long(struct client *client) {
    client_close(client);
    end();
    buffer_fini(&whole);
    free(body);
    wants_parts = NULL;
    take_part = NULL;
}

static void test_long_body(void) {
    struct client client;
    begin_long(&client);
    struct fastcgi_request *request = take_beginning(&client);
    fastcgi_read_on(request);
    client_ask(&client, KEEP, "/b", "2"); /* the next request is right behind it */
    CU_ASSERT_TRUE(client_send(&client));
    CU_ASSERT_TRUE(run_until(&ends, 1));
    CU_ASSERT_TRUE(bytes_equal(buffer_bytes(&whole), (struct bytes){body, BODY_LENGTH}));
    manner = ANSWER;
    parked_count = 0;
    echo(request);
    buffer_reset(&whole, 0);
    buffer_append_text(&whole, "/long\n");
    buffer_append(&whole, body, BODY_MAX);
    struct buffer content;
    buffer_init(&content, 1 << 20);
    while (client_next_record(&client, &content) == STDOUT)
        continue; /* its answer repeats the beginning */
    buffer_fini(&content);
    CU_ASSERT_TRUE(client_gets_text(&client, "/b\n2"));
    CU_ASSERT_EQUAL(too_large_count, 0);
    end_long(&client);
}

/* A handler that has not asked is sent nothing, and the peer cannot send on. */
static void test_nothing_comes_unasked(void) {
    struct client client;
    begin_long(&client);
    at_once = false;
    struct fastcgi_request *request = take_beginning(&client);
    for (unsigned i = 0; i < 500; i++) {
        client_push(&client);
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    CU_ASSERT_EQUAL(parts_taken, 0);
    CU_ASSERT(client.to_send.length > 1 << 20);
    fastcgi_read_on(request);
    CU_ASSERT_EQUAL(parts_taken, 0); /* not before this turn is over */
    CU_ASSERT_TRUE(run_until(&parts_taken, 1));
    for (unsigned i = 0; i < 100; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    CU_ASSERT_EQUAL(parts_taken, 1);
    end_long(&client);
    CU_ASSERT_EQUAL(abandoned, 1);
}

static void test_parts_are_not_wanted(void) {
    struct client client;
    begin_long(&client);
    wanted = false;
    CU_ASSERT_TRUE(client_send(&client));
    CU_ASSERT_TRUE(run_until(&parked_count, 1));
    CU_ASSERT_EQUAL(too_large_count, 1);
    CU_ASSERT_EQUAL(parked[0]->body.length, 0);
    CU_ASSERT_FALSE(parked[0]->body_goes_on);
    fastcgi_respond(parked[0], &(struct piece){.bytes = bytes_of("413")}, 1);
    parked_count = 0;
    CU_ASSERT_TRUE(client_gets_text(&client, "413"));
    end_long(&client);
}

/* The rest of its body is read and dropped, and the connection serves on. */
static void test_answer_before_the_end(void) {
    struct client client;
    begin_long(&client);
    struct fastcgi_request *request = take_beginning(&client);
    fastcgi_respond(request, &(struct piece){.bytes = bytes_of("enough")}, 1);
    parked_count = 0;
    CU_ASSERT_TRUE(client_gets_text(&client, "enough"));
    CU_ASSERT_TRUE(client_send(&client));
    manner = ANSWER;
    client_ask(&client, KEEP, "/b", "2");
    CU_ASSERT_TRUE(client_gets_text(&client, "/b\n2"));
    CU_ASSERT_EQUAL(parts_taken, 0);
    end_long(&client);
}

static void test_sender_stalls(void) {
    struct client client;
    begin_long(&client);
    at_once = false;
    struct fastcgi_request *request = take_beginning(&client);
    fake_clock.monotonic_us += 4000 * SECOND; /* it is the handler that takes its time */
    wait_for_a_sweep();
    CU_ASSERT_EQUAL(abandoned, 0);
    at_once = true;
    fastcgi_read_on(request);
    for (unsigned i = 0; i < 200; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    CU_ASSERT(parts_taken > 0);
    fake_clock.monotonic_us += 20 * SECOND;
    wait_for_a_sweep();
    CU_ASSERT_EQUAL(abandoned, 0);
    fake_clock.monotonic_us += 11 * SECOND;
    CU_ASSERT_TRUE(run_until(&abandoned, 1));
    end_long(&client);
}

static void test_sender_leaves(void) {
    struct client client;
    begin_long(&client);
    fastcgi_read_on(take_beginning(&client));
    close(client.descriptor);
    client.descriptor = -1;
    CU_ASSERT_TRUE(run_until(&abandoned, 1));
    CU_ASSERT_EQUAL(ends, 0);
    end_long(&client);
    CU_ASSERT_EQUAL(abandoned, 1);
}

static void test_body_is_aborted(void) {
    struct client client;
    begin_long(&client);
    client.to_send.length = 0;
    put_begin(&client.to_send, 1, RESPONDER, KEEP);
    put_params(&client.to_send, 1, "PATH", "/long");
    for (size_t at = 0; at < BODY_LENGTH; at += 32768)
        put_record(&client.to_send, STDIN, 1, (struct bytes){body + at, 32768}, 0);
    put_empty(&client.to_send, ABORT, 1);
    fastcgi_read_on(take_beginning(&client));
    CU_ASSERT_TRUE(client_gets_text(&client, ""));
    CU_ASSERT_EQUAL(abandoned, 1);
    CU_ASSERT_EQUAL(ends, 0);
    manner = ANSWER;
    client_ask(&client, KEEP, "/b", "2");
    CU_ASSERT_TRUE(client_gets_text(&client, "/b\n2"));
    end_long(&client);
}

static const struct unit_case CASES[] = {
    {"an answer in parts", test_stream},
    {"the next part is asked for when the last one was taken", test_stream_waits_for_its_reader},
    {"a reader that stalls", test_reader_stalls},
    {"between parts the handler takes its time", test_pause_between_parts},
    {"a reader that leaves", test_reader_leaves},
    {"a stream that the web server aborts", test_stream_is_aborted},
    {"a body in parts", test_long_body},
    {"no part comes unasked", test_nothing_comes_unasked},
    {"a body whose parts nobody wants", test_parts_are_not_wanted},
    {"an answer before the body's end", test_answer_before_the_end},
    {"a sender that stalls", test_sender_stalls},
    {"a sender that leaves", test_sender_leaves},
    {"a body that the web server aborts", test_body_is_aborted},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "parts", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
