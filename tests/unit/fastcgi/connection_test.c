#include "inferonce/fastcgi/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "fastcgi/frame.h"
#include "inferonce/base/log.h"
#include "records.h"
#include "unit.h"

#define BODY_MAX (2 << 20)
#define SECOND   (1000ULL * 1000)

/* What the handler does with a request. */
enum manner { ANSWER, PARK, ANSWER_LARGE };

#define PARKED_MAX   256
#define LARGE_LENGTH (8 << 20)

static uv_loop_t loop;
static struct turn *turns;
static struct context context;
static int listener;
static struct sockaddr_un address;
static socklen_t address_length;
static struct stats stats;
static struct clock fake_clock;
static struct blobs *blobs;
static struct fastcgi_server *server;
static enum manner manner;
static unsigned handled;
static unsigned depth; /* of handlers inside one another */
static unsigned depth_max;
static unsigned abandoned;
static struct fastcgi_request *parked[PARKED_MAX];
static unsigned parked_count;
static unsigned too_large_count;
static unsigned params_too_large_count;
static char *large;

static const char *param(const struct fastcgi_request *request, const char *name) {
    size_t length = strlen(name);
    for (char *const *at = request->params; *at; at++)
        if (strncmp(*at, name, length) == 0 && (*at)[length] == '=')
            return *at + length + 1;
    return "(none)";
}

/* Answers with the path, a line feed and the body. */
static void echo(struct fastcgi_request *request) {
    const struct piece pieces[] = {
        {bytes_of(param(request, "PATH")), NULL}, {bytes_of("\n"), NULL}, {request->body, NULL}};
    fastcgi_respond(request, pieces, 3);
}

static void on_request(void *user, struct fastcgi_request *request) {
    CU_ASSERT_PTR_EQUAL(user, &server);
    handled++;
    too_large_count += request->body_too_large;
    params_too_large_count += request->params_too_large;
    depth++;
    depth_max = depth > depth_max ? depth : depth_max;
    if (manner == ANSWER)
        echo(request);
    else if (manner == PARK)
        parked[parked_count++] = request;
    else
        fastcgi_respond(request, &(struct piece){.bytes = {large, LARGE_LENGTH}}, 1);
    depth--;
}

static void on_abandoned(void *user, struct fastcgi_request *request) {
    CU_ASSERT_PTR_EQUAL(user, &server);
    abandoned++;
    for (unsigned i = 0; i < parked_count; i++) {
        if (parked[i] != request)
            continue;
        CU_ASSERT_STRING_NOT_EQUAL(param(request, "PATH"), "(none)"); /* still there */
        parked[i] = parked[--parked_count];
        return;
    }
    CU_FAIL("abandoned a request that was not open");
}

static void begin(enum manner wanted) {
    struct error error;
    CU_ASSERT_EQUAL_FATAL(uv_loop_init(&loop), 0);
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    address = (struct sockaddr_un){.sun_family = AF_UNIX};
    /* An address of the kernel's choice, without a file. */
    CU_ASSERT_EQUAL_FATAL(bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
    address_length = sizeof(address);
    CU_ASSERT_EQUAL_FATAL(getsockname(listener, (struct sockaddr *)&address, &address_length), 0);
    CU_ASSERT_EQUAL_FATAL(listen(listener, 512), 0);
    memset(&stats, 0, sizeof(stats));
    fake_clock = (struct clock){.fake = true, .monotonic_us = 1000 * SECOND};
    blobs = blobs_create(&stats);
    CU_ASSERT_PTR_NOT_NULL_FATAL(blobs);
    manner = wanted;
    handled = depth = depth_max = abandoned = parked_count = too_large_count = params_too_large_count = 0;
    turns = turn_create(&loop, &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(turns);
    context = (struct context){.loop = &loop, .clock = &fake_clock, .stats = &stats, .turn = turns};
    const struct fastcgi_options options = {.context = &context,
                                            .listener = listener,
                                            .body_max = BODY_MAX,
                                            .blobs = blobs,
                                            .handler = on_request,
                                            .abandoned = on_abandoned,
                                            .user = &server};
    server = fastcgi_server_create(&options, &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(server);
}

static void end(void) {
    fastcgi_server_destroy(&server);
    CU_ASSERT_PTR_NULL(server);
    turn_destroy(&turns);
    uv_run(&loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(uv_loop_close(&loop), 0);
    blobs_destroy(&blobs);
    CU_ASSERT_EQUAL(stats.value[STAT_held_bytes], 0);
    close(listener);
}

/* Turns of the loop until `*counter` has the value. */
static bool run_until(const unsigned *counter, unsigned value) {
    time_t deadline = time(NULL) + 20;
    while (*counter < value && time(NULL) < deadline)
        uv_run(&loop, UV_RUN_NOWAIT);
    return *counter == value;
}

static bool run_until_busy(size_t busy) {
    time_t deadline = time(NULL) + 20;
    while (fastcgi_server_busy(server) != busy && time(NULL) < deadline)
        uv_run(&loop, UV_RUN_NOWAIT);
    return fastcgi_server_busy(server) == busy;
}

static void on_over(uv_timer_t *timer) {
    *(bool *)timer->data = true;
}

/* The sweep is a timer of the loop, once a second: one that was started later and takes longer. */
static void wait_for_a_sweep(void) {
    uv_timer_t timer;
    bool over = false;
    CU_ASSERT_EQUAL_FATAL(uv_timer_init(&loop, &timer), 0);
    timer.data = &over;
    CU_ASSERT_EQUAL_FATAL(uv_timer_start(&timer, on_over, 1100, 0), 0);
    while (!over)
        uv_run(&loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&loop, UV_RUN_NOWAIT);
}

/* ---- the web server's side ---- */

struct client {
    int descriptor;
    struct buffer to_send;
    struct buffer received;
    bool ended; /* end of file seen */
};

static void client_connect(struct client *client) {
    *client = (struct client){.descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)};
    CU_ASSERT_EQUAL_FATAL(connect(client->descriptor, (struct sockaddr *)&address, address_length), 0);
    buffer_init(&client->to_send, 64 << 20);
    buffer_init(&client->received, 64 << 20);
}

static void client_close(struct client *client) {
    if (client->descriptor >= 0)
        close(client->descriptor);
    client->descriptor = -1;
    buffer_fini(&client->to_send);
    buffer_fini(&client->received);
}

static void client_push(struct client *client) {
    if (client->to_send.length == 0)
        return;
    ssize_t n = send(client->descriptor, client->to_send.data, client->to_send.length, MSG_NOSIGNAL);
    if (n > 0)
        buffer_consume(&client->to_send, (size_t)n);
}

static void client_pull(struct client *client) {
    char *to = buffer_reserve(&client->received, 65536);
    CU_ASSERT_PTR_NOT_NULL_FATAL(to);
    ssize_t n = recv(client->descriptor, to, 65536, 0);
    if (n > 0)
        client->received.length += (size_t)n;
    client->ended = n == 0 || (n < 0 && errno == ECONNRESET);
}

static bool client_send(struct client *client) {
    time_t deadline = time(NULL) + 20;
    while (client->to_send.length > 0 && time(NULL) < deadline) {
        client_push(client);
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    return client->to_send.length == 0;
}

static bool take_record(struct client *client, struct seen_record *record, struct buffer *content) {
    if (!see_record(buffer_bytes(&client->received), record))
        return false;
    buffer_append_bytes(content, record->content);
    buffer_consume(&client->received, record->size);
    return true;
}

/* Sends what is to be sent while taking what comes, up to the next record. */
static int client_next_record(struct client *client, struct buffer *content) {
    time_t deadline = time(NULL) + 20;
    struct seen_record record;
    buffer_reset(content, 1 << 20);
    while (!take_record(client, &record, content)) {
        if (client->ended || time(NULL) > deadline)
            return -1;
        client_push(client);
        uv_run(&loop, UV_RUN_NOWAIT);
        client_pull(client);
    }
    return record.type;
}

static bool client_sees_end(struct client *client) {
    time_t deadline = time(NULL) + 20;
    while (!client->ended && time(NULL) < deadline) {
        uv_run(&loop, UV_RUN_NOWAIT);
        client_pull(client);
    }
    return client->ended;
}

/* All of STDOUT up to END_REQUEST equals `expected`. */
static bool client_gets(struct client *client, struct bytes expected) {
    struct buffer content;
    struct buffer all;
    buffer_init(&content, 1 << 20);
    buffer_init(&all, 64 << 20);
    int type;
    while ((type = client_next_record(client, &content)) == STDOUT)
        buffer_append_bytes(&all, buffer_bytes(&content));
    bool equal = type == END && bytes_equal(buffer_bytes(&all), expected);
    buffer_fini(&content);
    buffer_fini(&all);
    return equal;
}

static bool client_gets_text(struct client *client, const char *text) {
    return client_gets(client, bytes_of(text));
}

static void client_ask(struct client *client, int flags, const char *path, const char *body) {
    put_request(&client->to_send, 1, flags, path, bytes_of(body));
}

/* ---- tests ---- */

static void test_answers_on_a_kept_connection(void) {
    struct client client;
    begin(ANSWER);
    client_connect(&client);
    client_ask(&client, KEEP, "/a", "one");
    CU_ASSERT_TRUE(client_gets_text(&client, "/a\none"));
    client_ask(&client, KEEP, "/b", "");
    CU_ASSERT_TRUE(client_gets_text(&client, "/b\n"));
    CU_ASSERT_FALSE(client.ended);
    CU_ASSERT_EQUAL(fastcgi_server_busy(server), 0);
    CU_ASSERT_EQUAL(handled, 2);
    client_close(&client);
    end();
}

static void test_closes_after_the_answer_unless_kept(void) {
    struct client client;
    begin(ANSWER);
    client_connect(&client);
    client_ask(&client, CLOSE, "/a", "one");
    buffer_append_text(&client.to_send, "what nobody asked for"); /* must not cost the answer */
    CU_ASSERT_TRUE(client_gets_text(&client, "/a\none"));
    CU_ASSERT_TRUE(client_sees_end(&client));
    client_close(&client);
    end();
}

static void test_takes_single_bytes(void) {
    struct client client;
    struct buffer request;
    begin(ANSWER);
    client_connect(&client);
    buffer_init(&request, 4096);
    put_request(&request, 1, KEEP, "/a", bytes_of("one"));
    for (size_t i = 0; i < request.length; i++) {
        buffer_append(&client.to_send, request.data + i, 1);
        CU_ASSERT_TRUE(client_send(&client));
        CU_ASSERT_TRUE(run_until_busy(i + 1 < request.length));
    }
    CU_ASSERT_TRUE(client_gets_text(&client, "/a\none"));
    buffer_fini(&request);
    client_close(&client);
    end();
}

static void test_takes_any_split(void) {
    struct client client;
    struct buffer request;
    begin(ANSWER);
    client_connect(&client);
    buffer_init(&request, 4096);
    put_request(&request, 1, KEEP, "/a", bytes_of("one"));
    for (size_t at = 1; at < request.length; at++) {
        buffer_append(&client.to_send, request.data, at);
        CU_ASSERT_TRUE(client_send(&client));
        CU_ASSERT_TRUE(run_until_busy(1));
        buffer_append(&client.to_send, request.data + at, request.length - at);
        CU_ASSERT_TRUE(client_gets_text(&client, "/a\none"));
        CU_ASSERT_EQUAL(fastcgi_server_busy(server), 0);
    }
    buffer_fini(&request);
    client_close(&client);
    end();
}

static void test_answers_later_and_together(void) {
    enum { N = 200 };
    static struct client clients[N];
    begin(PARK);
    for (int i = 0; i < N; i++) {
        client_connect(&clients[i]);
        client_ask(&clients[i], i % 2 ? KEEP : CLOSE, "/a", i % 2 ? "kept" : "closed");
        client_push(&clients[i]);
    }
    CU_ASSERT_TRUE(run_until(&parked_count, N));
    CU_ASSERT_EQUAL(fastcgi_server_busy(server), N);
    while (parked_count > 0)
        echo(parked[--parked_count]);
    for (int i = 0; i < N; i++) {
        CU_ASSERT_TRUE(client_gets_text(&clients[i], i % 2 ? "/a\nkept" : "/a\nclosed"));
        client_close(&clients[i]);
    }
    CU_ASSERT_EQUAL(abandoned, 0);
    end();
}

static void test_pipelined_requests_do_not_recurse(void) {
    enum { N = 3000 };
    struct client client;
    begin(ANSWER);
    client_connect(&client);
    for (int i = 0; i < N; i++)
        client_ask(&client, KEEP, "/a", "x");
    for (int i = 0; i < N; i++)
        CU_ASSERT_TRUE_FATAL(client_gets_text(&client, "/a\nx"));
    CU_ASSERT_EQUAL(handled, N);
    CU_ASSERT_EQUAL(depth_max, 1);
    CU_ASSERT_EQUAL(fastcgi_server_busy(server), 0);
    client_close(&client);
    end();
}

static void test_pipelined_requests_take_turns(void) {
    struct client many;
    struct client one;
    begin(ANSWER);
    client_connect(&many);
    client_connect(&one);
    CU_ASSERT_TRUE(run_until_busy(0));
    for (int i = 0; i < 500; i++)
        client_ask(&many, KEEP, "/a", "x");
    client_ask(&one, KEEP, "/b", "y");
    client_push(&many);
    client_push(&one);
    while (one.received.length == 0 && handled <= 500) {
        uv_run(&loop, UV_RUN_NOWAIT);
        client_pull(&one);
    }
    CU_ASSERT_TRUE(handled < 100);
    CU_ASSERT_TRUE(client_gets_text(&one, "/b\ny"));
    client_close(&many);
    client_close(&one);
    end();
}

static void test_a_pipelined_request_waits_for_the_answer(void) {
    struct client client;
    begin(PARK);
    client_connect(&client);
    client_ask(&client, KEEP, "/a", "1");
    client_ask(&client, KEEP, "/b", "2");
    CU_ASSERT_TRUE(client_send(&client));
    CU_ASSERT_TRUE(run_until(&handled, 1));
    uv_run(&loop, UV_RUN_NOWAIT);
    CU_ASSERT_EQUAL(parked_count, 1);
    echo(parked[--parked_count]);
    CU_ASSERT_EQUAL(handled, 1); /* not from inside fastcgi_respond */
    CU_ASSERT_TRUE(client_gets_text(&client, "/a\n1"));
    CU_ASSERT_TRUE(run_until(&parked_count, 1));
    echo(parked[--parked_count]);
    CU_ASSERT_TRUE(client_gets_text(&client, "/b\n2"));
    client_close(&client);
    end();
}

static void test_abort_while_parked(void) {
    struct client client;
    begin(PARK);
    client_connect(&client);
    client_ask(&client, KEEP, "/a", "1");
    CU_ASSERT_TRUE(client_send(&client));
    CU_ASSERT_TRUE(run_until(&parked_count, 1));
    put_empty(&client.to_send, ABORT, 1);
    CU_ASSERT_TRUE(client_gets_text(&client, "")); /* END_REQUEST alone */
    CU_ASSERT_EQUAL(abandoned, 1);
    manner = ANSWER;
    client_ask(&client, KEEP, "/b", "2");
    CU_ASSERT_TRUE(client_gets_text(&client, "/b\n2"));
    CU_ASSERT_EQUAL(abandoned, 1);
    client_close(&client);
    end();
}

static void test_peer_leaves_while_parked(void) {
    struct client client;
    begin(PARK);
    client_connect(&client);
    client_ask(&client, KEEP, "/a", "1");
    CU_ASSERT_TRUE(client_send(&client));
    CU_ASSERT_TRUE(run_until(&parked_count, 1));
    client_close(&client);
    CU_ASSERT_TRUE(run_until(&abandoned, 1));
    CU_ASSERT_TRUE(run_until_busy(0));
    CU_ASSERT_EQUAL(parked_count, 0);
    CU_ASSERT_EQUAL(stats.value[STAT_protocol_errors], 0);
    end();
    CU_ASSERT_EQUAL(abandoned, 1);
}

static void test_peer_half_closes_while_parked(void) {
    struct client client;
    begin(PARK);
    client_connect(&client);
    client_ask(&client, KEEP, "/a", "1");
    CU_ASSERT_TRUE(client_send(&client));
    CU_ASSERT_TRUE(run_until(&parked_count, 1));
    CU_ASSERT_EQUAL(shutdown(client.descriptor, SHUT_WR), 0);
    CU_ASSERT_TRUE(run_until(&abandoned, 1));
    client_close(&client);
    end();
}

static void test_peer_leaves_with_more_sent_than_is_read(void) {
    static const char MORE[200000];
    struct client client;
    begin(PARK);
    client_connect(&client);
    client_ask(&client, KEEP, "/a", "1");
    for (int i = 0; i < 40; i++)
        put_request(&client.to_send, 2, KEEP, "/b", (struct bytes){MORE, 60000});
    client_push(&client);
    CU_ASSERT_TRUE(run_until(&parked_count, 1));
    for (int i = 0; i < 1000; i++) { /* until the socket takes no more */
        uv_run(&loop, UV_RUN_NOWAIT);
        client_push(&client);
    }
    CU_ASSERT_TRUE(client.to_send.length > 1000000);
    CU_ASSERT_EQUAL(abandoned, 0);
    client_close(&client);
    CU_ASSERT_TRUE(run_until(&abandoned, 1));
    end();
}

static void test_reads_on_after_its_input_was_full(void) {
    static const char MORE[60000];
    struct client client;
    struct buffer expected;
    begin(PARK);
    client_connect(&client);
    buffer_init(&expected, 65536);
    buffer_append_text(&expected, "/b\n");
    buffer_append(&expected, MORE, sizeof(MORE));
    client_ask(&client, KEEP, "/a", "1");
    for (int i = 0; i < 20; i++)
        put_request(&client.to_send, 2, KEEP, "/b", (struct bytes){MORE, sizeof(MORE)});
    client_push(&client);
    CU_ASSERT_TRUE(run_until(&parked_count, 1));
    for (int i = 0; i < 1000; i++) {
        uv_run(&loop, UV_RUN_NOWAIT);
        client_push(&client);
    }
    manner = ANSWER;
    echo(parked[--parked_count]);
    CU_ASSERT_TRUE(client_gets_text(&client, "/a\n1"));
    for (int i = 0; i < 20; i++)
        CU_ASSERT_TRUE(client_gets(&client, buffer_bytes(&expected)));
    buffer_fini(&expected);
    client_close(&client);
    end();
}

static char *patterned(size_t length) {
    char *bytes = malloc(length);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (char)(i * 31 % 251);
    return bytes;
}

static void test_large_body_arrives_whole(void) {
    enum { LENGTH = 1500000 };
    struct client client;
    struct buffer expected;
    char *body = patterned(LENGTH);
    begin(ANSWER);
    client_connect(&client);
    put_begin(&client.to_send, 1, RESPONDER, KEEP);
    put_params(&client.to_send, 1, "PATH", "/a");
    put_body(&client.to_send, 1, (struct bytes){body, LENGTH}, 9001);
    buffer_init(&expected, LENGTH + 3);
    buffer_append_text(&expected, "/a\n");
    buffer_append(&expected, body, LENGTH);
    CU_ASSERT_TRUE(client_gets(&client, buffer_bytes(&expected)));
    buffer_fini(&expected);
    free(body);
    client_close(&client);
    end();
}

static void test_body_over_the_limit_is_flagged(void) {
    char *body = patterned(BODY_MAX + 1);
    struct client client;
    begin(ANSWER);
    client_connect(&client);
    put_request(&client.to_send, 1, KEEP, "/a", (struct bytes){NULL, 0});
    put_begin(&client.to_send, 2, RESPONDER, KEEP);
    put_params(&client.to_send, 2, "PATH", "/b");
    put_body(&client.to_send, 2, (struct bytes){body, BODY_MAX + 1}, 65535);
    put_request(&client.to_send, 3, KEEP, "/c", bytes_of("after it"));
    CU_ASSERT_TRUE(client_gets_text(&client, "/a\n"));
    CU_ASSERT_EQUAL(too_large_count, 0);
    CU_ASSERT_TRUE(client_gets_text(&client, "/b\n"));
    CU_ASSERT_TRUE(client_gets_text(&client, "/c\nafter it"));
    CU_ASSERT_EQUAL(too_large_count, 1);
    free(body);
    client_close(&client);
    end();
}

/* It is answered, not cut off, and the connection goes on. */
static void test_params_over_the_limit_are_flagged(void) {
    char *value = patterned(FRAME_PARAMS_MAX);
    struct client client;
    begin(ANSWER);
    client_connect(&client);
    put_begin(&client.to_send, 1, RESPONDER, KEEP);
    put_record(&client.to_send, PARAMS, 1, (struct bytes){value, 40000}, 0);
    put_record(&client.to_send, PARAMS, 1, (struct bytes){value, 40000}, 0);
    put_empty(&client.to_send, PARAMS, 1);
    put_body(&client.to_send, 1, bytes_of("dropped"), 3);
    put_request(&client.to_send, 2, KEEP, "/b", bytes_of("after it"));
    CU_ASSERT_TRUE(client_gets_text(&client, "(none)\n"));
    CU_ASSERT_TRUE(client_gets_text(&client, "/b\nafter it"));
    CU_ASSERT_EQUAL(params_too_large_count, 1);
    CU_ASSERT_EQUAL(too_large_count, 0);
    free(value);
    client_close(&client);
    end();
}

static void test_large_answer_to_a_slow_reader(void) {
    struct client client;
    large = patterned(LARGE_LENGTH);
    begin(ANSWER_LARGE);
    client_connect(&client);
    client_ask(&client, CLOSE, "/a", "");
    CU_ASSERT_TRUE(client_send(&client));
    CU_ASSERT_TRUE(run_until(&handled, 1));
    uv_run(&loop, UV_RUN_NOWAIT);
    CU_ASSERT_EQUAL(fastcgi_server_busy(server), 1); /* the socket did not take it all */
    CU_ASSERT_TRUE(client_gets(&client, (struct bytes){large, LARGE_LENGTH}));
    CU_ASSERT_TRUE(client_sees_end(&client));
    CU_ASSERT_EQUAL(fastcgi_server_busy(server), 0);
    free(large);
    client_close(&client);
    end();
}

/* A client that pauses for longer than a web server lets it, and again, gets all of its answer. */
static void test_a_reader_that_pauses_gets_its_answer(void) {
    struct client client;
    large = patterned(LARGE_LENGTH);
    begin(ANSWER_LARGE);
    client_connect(&client);
    client_ask(&client, CLOSE, "/a", "");
    CU_ASSERT_TRUE(client_send(&client));
    CU_ASSERT_TRUE(run_until(&handled, 1));
    for (unsigned pause = 0; pause < 3; pause++) {
        size_t received = client.received.length;
        fake_clock.monotonic_us += 390 * SECOND;
        wait_for_a_sweep();
        CU_ASSERT_EQUAL(fastcgi_server_busy(server), 1);
        while (!client.ended && client.received.length < received + LARGE_LENGTH / 8) {
            uv_run(&loop, UV_RUN_NOWAIT);
            client_pull(&client);
        }
    }
    CU_ASSERT_TRUE(client_gets(&client, (struct bytes){large, LARGE_LENGTH}));
    CU_ASSERT_TRUE(client_sees_end(&client));
    free(large);
    client_close(&client);
    end();
}

/* One case for all limits of time, for each look at them is a second apart. */
static void test_slow_peers_are_timed_out(void) {
    struct client slow;
    struct client deaf;
    struct client idle;
    struct client waiting;
    large = patterned(LARGE_LENGTH);
    begin(ANSWER_LARGE);
    client_connect(&slow);
    client_connect(&deaf);
    client_connect(&idle);
    client_connect(&waiting);
    client_ask(&deaf, KEEP, "/a", "");
    CU_ASSERT_TRUE(client_send(&deaf));
    CU_ASSERT_TRUE(run_until(&handled, 1));
    manner = PARK;
    client_ask(&waiting, KEEP, "/b", "");
    CU_ASSERT_TRUE(client_send(&waiting));
    CU_ASSERT_TRUE(run_until(&parked_count, 1));
    put_begin(&slow.to_send, 1, RESPONDER, KEEP);
    CU_ASSERT_TRUE(client_send(&slow));
    CU_ASSERT_TRUE(run_until_busy(3));

    fake_clock.monotonic_us += 20 * SECOND;
    put_params(&slow.to_send, 1, "PATH", "/slow"); /* more of it does not give it more time */
    CU_ASSERT_TRUE(client_send(&slow));
    fake_clock.monotonic_us += 11 * SECOND;
    CU_ASSERT_TRUE(client_sees_end(&slow));
    CU_ASSERT_TRUE(run_until_busy(2));
    CU_ASSERT_EQUAL(stats.value[STAT_protocol_errors], 1);

    client_pull(&idle);
    CU_ASSERT_FALSE(idle.ended);
    fake_clock.monotonic_us += 270 * SECOND;
    CU_ASSERT_TRUE(client_sees_end(&idle));
    CU_ASSERT_EQUAL(stats.value[STAT_protocol_errors], 1);
    CU_ASSERT_EQUAL(fastcgi_server_busy(server), 2); /* it may still come to read its answer */
    fake_clock.monotonic_us += 100 * SECOND;
    CU_ASSERT_TRUE(run_until_busy(1));
    CU_ASSERT_EQUAL(stats.value[STAT_protocol_errors], 2);
    CU_ASSERT_EQUAL(abandoned, 0); /* what is with the handler has the handler's limits */
    echo(parked[--parked_count]);
    CU_ASSERT_TRUE(client_gets_text(&waiting, "/b\n"));
    client_close(&slow);
    client_close(&deaf);
    client_close(&idle);
    client_close(&waiting);
    free(large);
    end();
}

static void test_answers_what_is_not_a_request(void) {
    struct client client;
    struct buffer content;
    begin(ANSWER);
    client_connect(&client);
    buffer_init(&content, 1 << 20);
    for (int i = 0; i < 4; i++)
        put_pair_text(&content, "FCGI_MAX_CONNS", "");
    put_record(&client.to_send, GET_VALUES, 0, buffer_bytes(&content), 0);
    CU_ASSERT_EQUAL(client_next_record(&client, &content), GET_VALUES_RESULT);
    CU_ASSERT_TRUE(content.length > 16 && memcmp(content.data + 2, "FCGI_MAX_CONNS", 14) == 0);
    put_empty(&client.to_send, 200, 0);
    CU_ASSERT_EQUAL(client_next_record(&client, &content), UNKNOWN_TYPE);
    put_begin(&client.to_send, 1, RESPONDER, KEEP);
    put_begin(&client.to_send, 2, RESPONDER, KEEP);
    CU_ASSERT_EQUAL(client_next_record(&client, &content), END);
    CU_ASSERT_TRUE(content.length == 8 && content.data[4] == CANT_MPX_CONN);
    put_params(&client.to_send, 1, "PATH", "/a");
    put_record(&client.to_send, STDIN, 7, bytes_of("of nobody"), 0);
    put_empty(&client.to_send, STDIN, 1);
    CU_ASSERT_TRUE(client_gets_text(&client, "/a\n"));
    buffer_fini(&content);
    client_close(&client);
    end();
}

static void test_other_roles_are_told_so(void) {
    struct client client;
    struct buffer content;
    begin(ANSWER);
    buffer_init(&content, 1 << 20);
    client_connect(&client);
    put_begin(&client.to_send, 1, AUTHORIZER, KEEP);
    CU_ASSERT_EQUAL(client_next_record(&client, &content), END);
    CU_ASSERT_TRUE(content.length == 8 && content.data[4] == UNKNOWN_ROLE);
    client_ask(&client, KEEP, "/a", "");
    CU_ASSERT_TRUE(client_gets_text(&client, "/a\n"));
    put_begin(&client.to_send, 2, AUTHORIZER, CLOSE);
    CU_ASSERT_EQUAL(client_next_record(&client, &content), END);
    CU_ASSERT_TRUE(client_sees_end(&client));
    buffer_fini(&content);
    client_close(&client);
    end();
}

/* Whoever asks and asks and does not listen is not listened to either. */
static void test_replies_that_nobody_takes_stop_the_reading(void) {
    struct client client;
    begin(ANSWER);
    client_connect(&client);
    for (int i = 0; i < 200000; i++)
        put_begin(&client.to_send, 1, AUTHORIZER, KEEP);
    size_t before;
    do {
        before = client.to_send.length;
        for (int i = 0; i < 2000; i++) {
            client_push(&client);
            uv_run(&loop, UV_RUN_NOWAIT);
        }
    } while (client.to_send.length < before);
    CU_ASSERT_TRUE(client.to_send.length > 0);
    CU_ASSERT_EQUAL(fastcgi_server_busy(server), 1);
    client_close(&client);
    CU_ASSERT_TRUE(run_until_busy(0));
    end();
}

static void expect_closed(const char *bytes, size_t length) {
    struct client client;
    begin(ANSWER);
    client_connect(&client);
    buffer_append(&client.to_send, bytes, length);
    CU_ASSERT_TRUE(client_send(&client));
    CU_ASSERT_TRUE(client_sees_end(&client));
    CU_ASSERT_EQUAL(stats.value[STAT_protocol_errors], 1);
    CU_ASSERT_EQUAL(handled, 0);
    client_close(&client);
    end();
}

static void test_what_is_not_fastcgi_is_closed(void) {
    static const char TWO_GB[] = {1, 1, 0, 1, 0, 8,  0,  0,  0,  1, 1,   0, 0, 0, 0, 0, 1, 4, 0,
                                  1, 0, 6, 0, 0, -1, -1, -1, -1, 1, 'A', 1, 4, 0, 1, 0, 0, 0, 0};
    expect_closed("GET / HTTP/1.0\r\n\r\n", 18);
    expect_closed(TWO_GB, sizeof(TWO_GB));
}

static void test_a_cut_off_request_is_counted(void) {
    struct client client;
    begin(ANSWER);
    client_connect(&client);
    put_begin(&client.to_send, 1, RESPONDER, KEEP);
    CU_ASSERT_TRUE(client_send(&client));
    CU_ASSERT_TRUE(run_until_busy(1));
    client_close(&client);
    CU_ASSERT_TRUE(run_until_busy(0));
    CU_ASSERT_EQUAL(stats.value[STAT_protocol_errors], 1);
    end();
}

static int lowest_free_descriptor(void) {
    int descriptor = dup(listener);
    close(descriptor);
    return descriptor;
}

static void test_ten_thousand_requests_leave_nothing_behind(void) {
    struct client client;
    begin(ANSWER);
    client_connect(&client);
    for (int i = 0; i < 100; i++) {
        client_ask(&client, KEEP, "/a", "warm");
        CU_ASSERT_TRUE_FATAL(client_gets_text(&client, "/a\nwarm"));
    }
    int free_descriptor = lowest_free_descriptor();
    size_t memory = mallinfo2().uordblks;
    for (int i = 0; i < 10000; i++) {
        client_ask(&client, KEEP, "/a", "text");
        CU_ASSERT_TRUE_FATAL(client_gets_text(&client, "/a\ntext"));
    }
    CU_ASSERT_EQUAL(mallinfo2().uordblks, memory);
    CU_ASSERT_EQUAL(lowest_free_descriptor(), free_descriptor);
    CU_ASSERT_EQUAL(handled, 10100);
    client_close(&client);
    end();
}

static void test_a_thousand_connections_leave_nothing_behind(void) {
    begin(ANSWER);
    int free_descriptor = lowest_free_descriptor();
    size_t memory = 0;
    for (int i = 0; i < 1000; i++) {
        struct client client;
        client_connect(&client);
        client_ask(&client, CLOSE, "/a", "text");
        CU_ASSERT_TRUE_FATAL(client_gets_text(&client, "/a\ntext"));
        CU_ASSERT_TRUE(client_sees_end(&client));
        client_close(&client);
        uv_run(&loop, UV_RUN_NOWAIT);
        if (i == 10)
            memory = mallinfo2().uordblks;
    }
    CU_ASSERT_EQUAL(mallinfo2().uordblks, memory);
    CU_ASSERT_EQUAL(lowest_free_descriptor(), free_descriptor);
    end();
}

static void test_serves_on_after_it_stops_accepting(void) {
    struct client old;
    struct client new;
    begin(ANSWER);
    client_connect(&old);
    client_ask(&old, KEEP, "/a", "1");
    CU_ASSERT_TRUE(client_gets_text(&old, "/a\n1"));
    fastcgi_server_stop_accepting(server);
    client_connect(&new);
    client_ask(&new, KEEP, "/b", "2");
    client_push(&new);
    client_ask(&old, KEEP, "/a", "3");
    CU_ASSERT_TRUE(client_gets_text(&old, "/a\n3"));
    uv_run(&loop, UV_RUN_NOWAIT);
    CU_ASSERT_EQUAL(handled, 2);
    client_close(&old);
    client_close(&new);
    end();
}

static void test_destroy_abandons(void) {
    struct client parked_client;
    struct client idle_client;
    begin(PARK);
    client_connect(&parked_client);
    client_connect(&idle_client);
    client_ask(&parked_client, KEEP, "/a", "1");
    CU_ASSERT_TRUE(client_send(&parked_client));
    CU_ASSERT_TRUE(run_until(&parked_count, 1));
    end();
    CU_ASSERT_EQUAL(abandoned, 1);
    client_close(&parked_client);
    client_close(&idle_client);
}

/* Whichever allocation fails, at worst the connection is closed. Those inside libfcgi are its own assertions,
 * and are past when the answer is written. */
static void test_no_memory_for_a_connection(void) {
    struct client client;
    begin(ANSWER);
    client_connect(&client);
    unit_allocations_count_start();
    unit_allocations_fail(1, true);
    uv_run(&loop, UV_RUN_NOWAIT);
    unit_allocations_heal();
    if (unit_allocations_count() > 0) /* a sanitizer's allocator is not counted and does not fail */
        CU_ASSERT_TRUE(client_sees_end(&client));
    client_close(&client);
    client_connect(&client);
    client_ask(&client, KEEP, "/a", "1");
    CU_ASSERT_TRUE(client_gets_text(&client, "/a\n1"));
    client_close(&client);
    end();
}

static const struct unit_case CASES[] = {
    {"answers on a kept connection", test_answers_on_a_kept_connection},
    {"closes after the answer unless kept", test_closes_after_the_answer_unless_kept},
    {"takes a request byte by byte", test_takes_single_bytes},
    {"takes a request split at any position", test_takes_any_split},
    {"answers later, many connections together", test_answers_later_and_together},
    {"answers what is pipelined without recursion", test_pipelined_requests_do_not_recurse},
    {"lets others have their turn beside a pipeline", test_pipelined_requests_take_turns},
    {"keeps a pipelined request until the answer", test_a_pipelined_request_waits_for_the_answer},
    {"abandons a request that the web server aborts", test_abort_while_parked},
    {"abandons a request whose peer leaves", test_peer_leaves_while_parked},
    {"abandons a request whose peer half-closes", test_peer_half_closes_while_parked},
    {"sees a peer leave behind a full input buffer", test_peer_leaves_with_more_sent_than_is_read},
    {"reads on after its input buffer was full", test_reads_on_after_its_input_was_full},
    {"takes a large body whole", test_large_body_arrives_whole},
    {"flags a body over the limit", test_body_over_the_limit_is_flagged},
    {"parameters over the limit", test_params_over_the_limit_are_flagged},
    {"writes a large answer to a slow reader", test_large_answer_to_a_slow_reader},
    {"a reader that pauses gets its answer", test_a_reader_that_pauses_gets_its_answer},
    {"times out slow peers", test_slow_peers_are_timed_out},
    {"answers management records and a second request", test_answers_what_is_not_a_request},
    {"refuses other roles", test_other_roles_are_told_so},
    {"stops reading when its replies are not taken", test_replies_that_nobody_takes_stop_the_reading},
    {"closes what is not FastCGI", test_what_is_not_fastcgi_is_closed},
    {"counts a request cut off", test_a_cut_off_request_is_counted},
    {"leaves nothing behind after 10,000 requests", test_ten_thousand_requests_leave_nothing_behind},
    {"leaves nothing behind after 1,000 connections", test_a_thousand_connections_leave_nothing_behind},
    {"serves on after it stops accepting", test_serves_on_after_it_stops_accepting},
    {"abandons what is open when destroyed", test_destroy_abandons},
    {"refuses a connection when there is no memory", test_no_memory_for_a_connection},
};

int main(int argc, char *argv[]) {
    int null = open("/dev/null", O_WRONLY); /* the lines about bad peers are expected */
    log_setup(LOG_ERROR, LOG_LOGFMT, null);
    return unit_main(argc, argv, "connection", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
