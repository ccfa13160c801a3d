/* Peers of a connection that leave, stall or do not speak FastCGI, and a server that ends or has no memory.
 */
#include "connection_rig.h"

#include <fcntl.h>

#include "inferonce/base/log.h"

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

/* A peer that asks on and reads no reply is not read from. */
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

/* If an allocation fails, at worst the connection is closed. Those inside libfcgi are its own assertions,
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
    {"abandons a request that the web server aborts", test_abort_while_parked},
    {"abandons a request whose peer leaves", test_peer_leaves_while_parked},
    {"abandons a request whose peer half-closes", test_peer_half_closes_while_parked},
    {"sees a peer leave behind a full input buffer", test_peer_leaves_with_more_sent_than_is_read},
    {"reads on after its input buffer was full", test_reads_on_after_its_input_was_full},
    {"writes a large answer to a slow reader", test_large_answer_to_a_slow_reader},
    {"a reader that pauses gets its answer", test_a_reader_that_pauses_gets_its_answer},
    {"times out slow peers", test_slow_peers_are_timed_out},
    {"stops reading when its replies are not taken", test_replies_that_nobody_takes_stop_the_reading},
    {"closes what is not FastCGI", test_what_is_not_fastcgi_is_closed},
    {"counts a request cut off", test_a_cut_off_request_is_counted},
    {"abandons what is open when destroyed", test_destroy_abandons},
    {"refuses a connection when there is no memory", test_no_memory_for_a_connection},
};

int main(int argc, char *argv[]) {
    int null = open("/dev/null", O_WRONLY); /* the lines about bad peers are expected */
    log_setup(LOG_ERROR, LOG_LOGFMT, null);
    return unit_main(argc, argv, "connection_peers", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
