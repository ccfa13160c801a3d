/* The memcached store and a server that answers wrongly, late or not at all. */
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>

#include "memcached_rig.h"

/* Other programs' share of the machine must not fail a test that measures time: the quickest of these counts.
 */
#define ROUNDS 25

static void say_garbage(int connection, const char *asked) {
    (void)asked;
    say(connection, "\x01\x02 what? \r\n\r\nEND of what\r\n");
}

static void trickle(int connection, const char *asked) {
    (void)asked;
    for (unsigned i = 0; i < 2000; i++) {
        say(connection, "V");
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
}

static void say_other_key(int connection, const char *asked) {
    (void)asked;
    say(connection,
        "VALUE e0000000000000000000000000000000000000000000000000000000000000000 0 3\r\nabc\r\nEND\r\n");
}

static void say_nothing(int connection, const char *asked) {
    (void)connection;
    (void)asked;
}

static void hang_up(int connection, const char *asked) {
    (void)connection;
    (void)asked;
    _exit(0);
}

/* Errors each, in time; then the server is left alone. */
static void misbehaves(void (*answer)(int connection, const char *asked), bool takes_the_timeout) {
    uint64_t quickest_ms = UINT64_MAX;
    uint64_t quickest_next_ms = UINT64_MAX;
    for (unsigned round = 0; round < ROUNDS && (quickest_ms > TIMEOUT_MS + 10 || quickest_next_ms > 2);
         round++) {
        struct cache_server server;
        struct rig rig;
        cache_server_start_liar(&server, answer);
        rig_open(&rig, &server, 1, TIMEOUT_MS);
        uint64_t began_ms = now_ms();
        CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_ERROR);
        uint64_t took_ms = now_ms() - began_ms;
        CU_ASSERT_EQUAL(errors(&rig), 1);
        began_ms = now_ms();
        CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_ERROR);
        CU_ASSERT_EQUAL(put(&rig, STORE_ENTRY, 1, bytes_of("value"), 1, MINUTE_MS), STORE_ERROR);
        uint64_t next_ms = now_ms() - began_ms;
        CU_ASSERT(took_ms >= TIMEOUT_MS - 1 || !takes_the_timeout);
        quickest_ms = took_ms < quickest_ms ? took_ms : quickest_ms;
        quickest_next_ms = next_ms < quickest_next_ms ? next_ms : quickest_next_ms;
        rig_close(&rig);
        cache_server_end(&server);
    }
    CU_ASSERT(quickest_ms <= TIMEOUT_MS + 10);
    CU_ASSERT(quickest_next_ms <= 2);
}

static void test_silence(void) {
    misbehaves(say_nothing, true);
}

static void test_trickle(void) {
    misbehaves(trickle, true);
}

static void test_garbage(void) {
    misbehaves(say_garbage, false);
}

static void test_other_key(void) {
    misbehaves(say_other_key, false);
}

static void test_hang_up(void) {
    misbehaves(hang_up, false);
}

static const char *line; /* that a server says whatever it is asked */

static void say_line(int connection, const char *asked) {
    (void)asked;
    say(connection, line);
}

/* An error, or the answer to another question, is no miss. */
static void test_lines_that_do_not_answer_a_get(void) {
    static const char *const LINES[] = {
        "ERROR\r\n",
        "CLIENT_ERROR line too long\r\n",
        "SERVER_ERROR\r\n",
        "SERVER_ERROR out of memory writing get response\r\n",
        "SERVER_ERROR object too large for cache\r\n",
        "SERVER_ERROR try again\r\n",
        "STORED\r\n",
        "EXISTS\r\n",
        "STAT pid 1\r\nEND\r\n",
        "OK\r\n",
        "VERSION 1.6.18\r\n",
        "12\r\n",
    };
    for (size_t i = 0; i < sizeof(LINES) / sizeof(LINES[0]); i++) {
        struct cache_server server;
        struct rig rig;
        struct store_figures figures;
        line = LINES[i];
        cache_server_start_liar(&server, say_line);
        rig_open(&rig, &server, 1, 2000);
        CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_ERROR);
        CU_ASSERT_EQUAL(errors(&rig), 1);
        store_figures(rig.store, &figures);
        CU_ASSERT_TRUE(figures.degraded);
        rig_close(&rig);
        cache_server_end(&server);
    }
}

/* An answer, then a line that has no value of its own. */
static void say_value_then_ok(int connection, const char *asked) {
    static bool said;
    char answer[256];
    snprintf(answer, sizeof(answer), "VALUE %.75s 0 3\r\nold\r\nEND\r\n", asked + strlen("get "));
    say(connection, said ? "OK\r\n" : answer);
    said = true;
}

static void test_the_last_value_is_no_answer(void) {
    struct cache_server server;
    struct rig rig;
    cache_server_start_liar(&server, say_value_then_ok);
    rig_open(&rig, &server, 1, 2000);
    CU_ASSERT_STRING_EQUAL(get(&rig, STORE_LEASE, 1).text, "old");
    CU_ASSERT_EQUAL(get(&rig, STORE_LEASE, 1).status, STORE_ERROR);
    rig_close(&rig);
    cache_server_end(&server);
}

/* Keys that do not end where a key ends, with and without what should follow. */
static void test_a_key_too_long(void) {
    static const char *const BEHIND[] = {" 0 3\r\nabc\r\nEND\r\n", " 0 3\r\n", " 0 x\r\n", "\r\n"};
    static const unsigned LENGTHS[] = {250, 251, 252, 256, 300, 330, 343, 400, 2000};
    static char text[4096];
    for (size_t i = 0; i < sizeof(BEHIND) / sizeof(BEHIND[0]) * sizeof(LENGTHS) / sizeof(LENGTHS[0]); i++) {
        struct cache_server server;
        struct rig rig;
        snprintf(text, sizeof(text), "VALUE %0*d%s", LENGTHS[i / 4], 1, BEHIND[i % 4]);
        line = text;
        for (char *digit = text; i % 3 == 0 && *digit; digit++) /* of another's bits */
            *digit = *digit == '0' && digit[-1] != ' ' ? '\xff' : *digit;
        cache_server_start_liar(&server, say_line);
        rig_open(&rig, &server, 1, TIMEOUT_MS);
        CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_ERROR);
        CU_ASSERT_EQUAL(put(&rig, STORE_ENTRY, 1, bytes_of("value"), 1, MINUTE_MS), STORE_ERROR);
        rig_close(&rig);
        cache_server_end(&server);
    }
}

static void say_in_pieces(int connection, const char *asked) {
    char answer[256];
    int length =
        snprintf(answer, sizeof(answer), "VALUE %.75s 0 5\r\nva\r\ne\r\nEND\r\n", strchr(asked, ' ') + 1);
    for (int i = 0; i < length; i++)
        if (send(connection, answer + i, 1, MSG_NOSIGNAL) != 1)
            _exit(1);
}

/* Bytes are put together wherever they were cut. */
static void test_an_answer_in_pieces(void) {
    for (unsigned round = 0; round < 20; round++) {
        struct cache_server server;
        struct rig rig;
        cache_server_start_liar(&server, say_in_pieces);
        rig_open(&rig, &server, 1, 2000);
        CU_ASSERT_STRING_EQUAL(get(&rig, STORE_LEASE, 1).text, "va\r\ne");
        rig_close(&rig);
        cache_server_end(&server);
    }
}

static const char *size; /* that a server says the value has */

static void say_size(int connection, const char *asked) {
    char answer[256];
    snprintf(answer, sizeof(answer), "VALUE %.75s 0 %s\r\n", strchr(asked, ' ') + 1, size);
    say(connection, answer);
    say(connection, strlen(size) % 2 ? "" : "old\r\nEND\r\n");
}

static void test_a_length_that_is_none(void) {
    static const char *const SIZES[] = {"18446744073709551615",
                                        "18446744073709551614",
                                        "18446744073709551613",
                                        "18446744073709551600",
                                        "9223372036854775807",
                                        "9223372036854775806",
                                        "4611686018427387904",
                                        "4294967296",
                                        "4294967295",
                                        "184467440737095516150",
                                        "18446744073709551615 7",
                                        "-1",
                                        "-2",
                                        "x",
                                        "18446744073709551614 7"};
    for (size_t i = 0; i < sizeof(SIZES) / sizeof(SIZES[0]); i++) {
        struct cache_server server;
        struct rig rig;
        size = SIZES[i];
        cache_server_start_liar(&server, say_size);
        rig_open(&rig, &server, 1, TIMEOUT_MS);
        CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_ERROR);
        rig_close(&rig);
        rig_open(&rig, &server, 1, TIMEOUT_MS);
        CU_ASSERT_EQUAL(put(&rig, STORE_ENTRY, 1, bytes_of("value"), 1, MINUTE_MS), STORE_ERROR);
        rig_close(&rig);
        cache_server_end(&server);
    }
}

static void say_full(int connection, const char *asked) {
    say_to_each(connection, asked, "SERVER_ERROR out of memory storing object\r\n");
}

/* Its values can still be read. */
static void test_a_full_server_is_used(void) {
    struct cache_server server;
    struct rig rig;
    cache_server_start_liar(&server, say_full);
    rig_open(&rig, &server, 1, 2000);
    CU_ASSERT_EQUAL(put(&rig, STORE_ENTRY, 1, bytes_of("value"), 1, MINUTE_MS), STORE_ERROR);
    CU_ASSERT_EQUAL(put(&rig, STORE_LEASE, 1, bytes_of("value"), 0, MINUTE_MS), STORE_ERROR);
    CU_ASSERT_EQUAL(errors(&rig), 2);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_MISSING);
    CU_ASSERT_EQUAL(put_generation(&rig, 1, 5), STORE_PENDING); /* it would go on showing what was purged */
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_ERROR);
    rig_close(&rig);
    cache_server_end(&server);
}

/* Listens, and takes no connection: those that fill its queue are left open. Returns the port. */
static unsigned fill_queue(int descriptors[4]) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    for (unsigned i = 0; i < 4; i++)
        descriptors[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(descriptors[0], (struct sockaddr *)&address, length) != 0 || listen(descriptors[0], 0) != 0 ||
        getsockname(descriptors[0], (struct sockaddr *)&address, &length) != 0)
        exit(2);
    for (unsigned i = 1; i < 4; i++)
        (void)!connect(descriptors[i], (struct sockaddr *)&address, length);
    return ntohs(address.sin_port);
}

static void test_a_connection_that_nobody_takes(void) {
    uint64_t quickest_ms = UINT64_MAX;
    for (unsigned round = 0; round < ROUNDS && quickest_ms > TIMEOUT_MS + 10; round++) {
        int descriptors[4];
        char text[32];
        struct rig rig;
        snprintf(text, sizeof(text), "127.0.0.1:%u", fill_queue(descriptors));
        rig_open_on(&rig, text, TIMEOUT_MS);
        uint64_t began_ms = now_ms();
        CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_ERROR);
        uint64_t took_ms = now_ms() - began_ms;
        CU_ASSERT(took_ms >= TIMEOUT_MS - 1);
        CU_ASSERT_EQUAL(errors(&rig), 1);
        quickest_ms = took_ms < quickest_ms ? took_ms : quickest_ms;
        rig_close(&rig);
        for (unsigned i = 0; i < 4; i++)
            close(descriptors[i]);
    }
    CU_ASSERT(quickest_ms <= TIMEOUT_MS + 10);
}

static void test_refused(void) {
    struct cache_server server;
    struct rig rig;
    cache_server_start_memcached(&server);
    cache_server_kill(&server);
    rig_open(&rig, &server, 1, TIMEOUT_MS);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_ERROR);
    CU_ASSERT_EQUAL(errors(&rig), 1);
    cache_server_restart(&server);
    CU_ASSERT_TRUE(comes_back(&rig));
    CU_ASSERT_EQUAL(rig.returns, 1);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_MISSING);
    rig_close(&rig);
    cache_server_end(&server);
}

/* The answer to a question that it got while it stood still is no answer to a later question. */
static void test_halted_and_continued(void) {
    struct cache_server server;
    struct rig rig;
    cache_server_start_memcached(&server);
    rig_open(&rig, &server, 1, TIMEOUT_MS);
    for (uint64_t n = 0; n < 3; n++)
        CU_ASSERT_EQUAL(put(&rig, STORE_ENTRY, n, bytes_of(n == 1 ? "one" : "other"), 1, MINUTE_MS),
                        STORE_OK);
    cache_server_halt(&server);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 0).status, STORE_ERROR);
    cache_server_continue(&server);
    CU_ASSERT_TRUE(comes_back(&rig));
    CU_ASSERT_STRING_EQUAL(get(&rig, STORE_ENTRY, 1).text, "one");
    rig_close(&rig);
    cache_server_end(&server);
}

/* All operations of one turn together wait no longer than one of them may. */
static void test_a_turn_waits_once(void) {
    uint64_t quickest_ms = UINT64_MAX;
    for (unsigned round = 0; round < ROUNDS && quickest_ms > TIMEOUT_MS + 10; round++) {
        struct cache_server servers[3];
        struct rig rig;
        for (unsigned i = 0; i < 3; i++)
            cache_server_start_liar(&servers[i], say_nothing);
        rig_open(&rig, servers, 3, TIMEOUT_MS);
        uint64_t began_ms = now_ms();
        struct got got = {.status = STORE_OK};
        struct key keys[30];
        struct store_get gets[30];
        for (uint64_t n = 0; n < 30; n++) {
            keys[n] = key_of(n);
            gets[n] = (struct store_get){.kind = STORE_ENTRY, .key = keys[n].bytes};
            store_get_many(rig.store, &gets[n], 1, got_one, &got);
        }
        await(&rig, &got.calls, 30);
        for (uint64_t n = 0; n < 30; n++)
            CU_ASSERT_EQUAL(gets[n].status, STORE_ERROR);
        uint64_t took_ms = now_ms() - began_ms;
        quickest_ms = took_ms < quickest_ms ? took_ms : quickest_ms;
        rig_close(&rig);
        for (unsigned i = 0; i < 3; i++)
            cache_server_end(&servers[i]);
    }
    CU_ASSERT(quickest_ms <= TIMEOUT_MS + 10);
}

static const struct unit_case CASES[] = {
    {"silence costs one timeout", test_silence},
    {"a byte at a time costs one timeout", test_trickle},
    {"garbage is an error", test_garbage},
    {"another key's value is an error", test_other_key},
    {"a connection that ends is an error", test_hang_up},
    {"lines that do not answer a get", test_lines_that_do_not_answer_a_get},
    {"the last value is no answer to the next question", test_the_last_value_is_no_answer},
    {"a key that is too long", test_a_key_too_long},
    {"an answer in pieces", test_an_answer_in_pieces},
    {"a length that is none", test_a_length_that_is_none},
    {"a server that is full is used", test_a_full_server_is_used},
    {"a connection that nobody takes costs one timeout", test_a_connection_that_nobody_takes},
    {"refused, until it is there", test_refused},
    {"halted and continued", test_halted_and_continued},
    {"a turn waits once", test_a_turn_waits_once},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "memcached_faults", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
