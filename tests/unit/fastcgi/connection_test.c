/* Requests on a connection: cut into pieces, pipelined, large, of other kinds; each gets its answer. */
#include "connection_rig.h"

#include <malloc.h>

#include "fastcgi/frame.h"

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

static const struct unit_case CASES[] = {
    {"answers on a kept connection", test_answers_on_a_kept_connection},
    {"closes after the answer unless kept", test_closes_after_the_answer_unless_kept},
    {"takes a request byte by byte", test_takes_single_bytes},
    {"takes a request split at any position", test_takes_any_split},
    {"answers later, many connections together", test_answers_later_and_together},
    {"answers what is pipelined without recursion", test_pipelined_requests_do_not_recurse},
    {"lets others have their turn beside a pipeline", test_pipelined_requests_take_turns},
    {"keeps a pipelined request until the answer", test_a_pipelined_request_waits_for_the_answer},
    {"takes a large body whole", test_large_body_arrives_whole},
    {"flags a body over the limit", test_body_over_the_limit_is_flagged},
    {"parameters over the limit", test_params_over_the_limit_are_flagged},
    {"answers management records and a second request", test_answers_what_is_not_a_request},
    {"refuses other roles", test_other_roles_are_told_so},
    {"leaves nothing behind after 10,000 requests", test_ten_thousand_requests_leave_nothing_behind},
    {"leaves nothing behind after 1,000 connections", test_a_thousand_connections_leave_nothing_behind},
    {"serves on after it stops accepting", test_serves_on_after_it_stops_accepting},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "connection", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
