/* What is particular to the memcached store: time, servers that misbehave, copies of generations. The rest is
 * the contract's (tests/contract/store_test.c). */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "cache_server.h"
#include "inferonce/base/little_endian.h"
#include "inferonce/base/log.h"
#include "inferonce/base/shared.h"
#include "names.h"
#include "store/backend.h"
#include "store/memcached/parts.h"
#include "unit.h"

#define TIMEOUT_MS  50
#define DEADLINE_MS 10000
#define MINUTE_MS   60000

/* Other programs' share of the machine must not fail a test that measures time: the quickest of these counts.
 */
#define ROUNDS 25

struct rig {
    struct settings settings;
    struct clock clock;
    struct stats stats;
    struct pendings pendings;
    uv_loop_t loop;
    struct turn *turn;
    struct shared_slot slot;
    struct shared shared;
    struct context context;
    struct store *store;
    unsigned returns;
    uint64_t pending_at_return;
};

static void returned(void *user) {
    struct rig *rig = user;
    rig->returns++;
    rig->pending_at_return = atomic_load(&rig->pendings.count);
}

static void rig_open_on(struct rig *rig, const char *servers, uint64_t timeout_ms) {
    struct error error = {""};
    memset(rig, 0, sizeof(*rig));
    settings_defaults(&rig->settings);
    rig->settings.store_timeout_ms = timeout_ms;
    snprintf(rig->settings.memcached_servers, sizeof(rig->settings.memcached_servers), "%s", servers);
    pendings_setup(&rig->pendings, true);
    uv_loop_init(&rig->loop);
    rig->turn = turn_create(&rig->loop, &error);
    rig->shared.slots = &rig->slot;
    rig->context = (struct context){.settings = &rig->settings,
                                    .shared = &rig->shared,
                                    .loop = &rig->loop,
                                    .clock = &rig->clock,
                                    .stats = &rig->stats,
                                    .turn = rig->turn};
    struct remote_options remote = {.pendings = &rig->pendings, .returns = returned, .user = rig};
    rig->store = memcached_open(&rig->context, &remote, &error);
    if (!rig->store) {
        fprintf(stderr, "memcached: cannot set up: %s\n", error.text);
        exit(2);
    }
}

static void rig_open(struct rig *rig, const struct cache_server *servers, unsigned n, uint64_t timeout_ms) {
    char text[1024];
    size_t length = 0;
    for (unsigned i = 0; i < n; i++)
        length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%s", i > 0 ? "," : "",
                                   servers[i].address);
    rig_open_on(rig, text, timeout_ms);
}

static void rig_close(struct rig *rig) {
    store_close(&rig->store);
    turn_destroy(&rig->turn);
    uv_run(&rig->loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(uv_loop_close(&rig->loop), 0);
}

static uint64_t now_ms(void) {
    const struct clock clock = {.fake = false};
    return clock_monotonic_us(&clock) / 1000;
}

/* ---- operations ---- */

struct key {
    uint8_t bytes[STORE_KEY_LENGTH];
};

static struct key key_of(uint64_t n) {
    struct key key = {{0}};
    for (unsigned i = 0; i < STORE_KEY_LENGTH; i++)
        key.bytes[i] = (uint8_t)((n + 1) * (i * 37 + 11) + i);
    memcpy(key.bytes, &n, sizeof(n));
    return key;
}

static void late(uv_timer_t *timer) {
    *(bool *)timer->data = true;
}

/* Turns the loop until `*calls` has reached `n`. */
static void await(struct rig *rig, const unsigned *calls, unsigned n) {
    bool is_late = false;
    uv_timer_t deadline;
    uv_timer_init(&rig->loop, &deadline);
    deadline.data = &is_late;
    uv_timer_start(&deadline, late, DEADLINE_MS, 0);
    while (*calls < n && !is_late)
        uv_run(&rig->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&deadline, NULL);
    uv_run(&rig->loop, UV_RUN_NOWAIT);
    CU_ASSERT_EQUAL(*calls, n);
}

struct outcome {
    unsigned calls;
    enum store_status status;
};

static void done(void *user, enum store_status status) {
    struct outcome *outcome = user;
    outcome->calls++;
    outcome->status = status;
}

static enum store_status put(struct rig *rig, enum store_kind kind, uint64_t n, struct bytes value,
                             uint64_t epoch, uint64_t ttl_ms) {
    struct outcome outcome = {0, STORE_ERROR};
    struct key key = key_of(n);
    struct store_item item = {
        .kind = kind, .key = key.bytes, .value = value, .epoch = epoch, .ttl_ms = ttl_ms};
    store_put(rig->store, &item, done, &outcome);
    await(rig, &outcome.calls, 1);
    return outcome.status;
}

static enum store_status put_generation(struct rig *rig, uint64_t n, uint64_t number) {
    char value[STORE_GENERATION_LENGTH];
    store_u64(value, number);
    return put(rig, STORE_GENERATION, n, (struct bytes){value, sizeof(value)}, 0, 0);
}

static enum store_status remove_entry(struct rig *rig, uint64_t n, uint64_t epoch) {
    struct outcome outcome = {0, STORE_ERROR};
    struct key key = key_of(n);
    store_remove(rig->store, STORE_ENTRY, key.bytes, epoch, MINUTE_MS, done, &outcome);
    await(rig, &outcome.calls, 1);
    return outcome.status;
}

struct got {
    unsigned calls;
    enum store_status status;
    uint64_t number; /* of a generation */
    char text[64];
};

static void got_one(void *user, struct store_get *gets, size_t n) {
    struct got *got = user;
    (void)n;
    got->calls++;
    got->status = gets->status;
    if (gets->status == STORE_OK && gets->value.length == STORE_GENERATION_LENGTH)
        got->number = load_u64(gets->value.data);
    if (gets->status == STORE_OK && gets->value.length < sizeof(got->text))
        memcpy(got->text, gets->value.data, gets->value.length);
}

static struct got get(struct rig *rig, enum store_kind kind, uint64_t n) {
    struct got got = {.status = STORE_ERROR};
    struct key key = key_of(n);
    struct store_get get_ = {.kind = kind, .key = key.bytes};
    store_get_many(rig->store, &get_, 1, got_one, &got);
    await(rig, &got.calls, 1);
    return got;
}

/* Turns the loop until the server is used again. */
static bool comes_back(struct rig *rig) {
    bool is_late = false;
    struct store_figures figures;
    uv_timer_t deadline;
    uv_timer_init(&rig->loop, &deadline);
    deadline.data = &is_late;
    uv_timer_start(&deadline, late, DEADLINE_MS, 0);
    do {
        uv_run(&rig->loop, UV_RUN_ONCE);
        store_figures(rig->store, &figures);
    } while (figures.degraded && !is_late);
    uv_close((uv_handle_t *)&deadline, NULL);
    uv_run(&rig->loop, UV_RUN_NOWAIT);
    return !figures.degraded;
}

/* Turns the loop for as long. */
static void turn(struct rig *rig, uint64_t ms) {
    bool is_late = false;
    uv_timer_t timer;
    uv_timer_init(&rig->loop, &timer);
    timer.data = &is_late;
    uv_timer_start(&timer, late, ms, 0);
    while (!is_late)
        uv_run(&rig->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&rig->loop, UV_RUN_NOWAIT);
}

static uint64_t errors(const struct rig *rig) {
    return rig->stats.value[STAT_store_errors];
}

/* ---- servers that misbehave ---- */

static void say(int connection, const char *text) {
    ssize_t ignored = write(connection, text, strlen(text));
    (void)ignored;
}

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

/* Answers each command of a pipeline: reads with nothing, the barrier as a server does, writes with
 * `to_writes`.
 */
static void say_to_each(int connection, const char *asked, const char *to_writes) {
    for (const char *command = asked; command; command = strstr(command, "\r\n")) {
        command += strncmp(command, "\r\n", 2) == 0 ? 2 : 0;
        bool writes = strncmp(command, "set ", 4) == 0 || strncmp(command, "add ", 4) == 0 ||
                      strncmp(command, "cas ", 4) == 0;
        if (strncmp(command, "get", 3) == 0)
            say(connection, "END\r\n");
        else if (strncmp(command, "stats", 5) == 0)
            say(connection, "STAT bytes 7\r\nEND\r\n");
        else if (strncmp(command, "version", 7) == 0)
            say(connection, "VERSION 1.6.18\r\n");
        else if (writes)
            say(connection, to_writes);
    }
}

static void say_full(int connection, const char *asked) {
    say_to_each(connection, asked, "SERVER_ERROR out of memory storing object\r\n");
}

/* What it has can still be had. */
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

/* What was sent to it while it stood still does not become the answer to something else. */
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

/* ---- sizes and times ---- */

static void test_too_large(void) {
    static char large[2 << 20];
    struct cache_server server;
    struct rig rig;
    cache_server_start_memcached(&server);
    rig_open(&rig, &server, 1, 2000);
    CU_ASSERT_EQUAL(put(&rig, STORE_ENTRY, 1, bytes_of("small"), 1, MINUTE_MS), STORE_OK);
    CU_ASSERT_EQUAL(put(&rig, STORE_ENTRY, 1, (struct bytes){large, sizeof(large)}, 1, MINUTE_MS),
                    STORE_TOO_LARGE);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_MISSING);
    CU_ASSERT_EQUAL(put(&rig, STORE_ENTRY, 1, bytes_of("small"), 1, MINUTE_MS), STORE_OK);
    CU_ASSERT_STRING_EQUAL(get(&rig, STORE_ENTRY, 1).text, "small");
    CU_ASSERT_EQUAL(errors(&rig), 0);
    rig_close(&rig);
    cache_server_end(&server);
}

static void test_lifetimes(void) {
    static const uint64_t LIFETIMES_MS[] = {500, UINT64_C(2592000000), UINT64_C(2592000001),
                                            UINT64_C(31536000000), UINT64_MAX};
    struct cache_server server;
    struct rig rig;
    cache_server_start_memcached(&server);
    rig_open(&rig, &server, 1, 2000);
    for (uint64_t i = 0; i < sizeof(LIFETIMES_MS) / sizeof(LIFETIMES_MS[0]); i++) {
        CU_ASSERT_EQUAL(put(&rig, STORE_ENTRY, i, bytes_of("here"), 1, LIFETIMES_MS[i]), STORE_OK);
        CU_ASSERT_EQUAL(put(&rig, STORE_LEASE, i, bytes_of("here"), 0, LIFETIMES_MS[i]), STORE_OK);
        CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, i).status, STORE_OK);
        CU_ASSERT_EQUAL(get(&rig, STORE_LEASE, i).status, STORE_OK);
    }
    /* The server keeps it for longer: that it was there can be told. */
    rig.clock = (struct clock){.fake = true, .wall_us = clock_wall_us(&rig.clock) + 600000};
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 0).status, STORE_EXPIRED);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_OK);
    rig_close(&rig);
    cache_server_end(&server);
}

/* The server's seconds are its own: wherever one begins, a lease and a tombstone last as long as they should.
 */
static void test_nothing_ends_early(void) {
    struct cache_server server;
    struct rig rig;
    cache_server_start_memcached(&server);
    rig_open(&rig, &server, 1, 2000);
    uint64_t began_ms[10];
    for (uint64_t n = 0; n < 10; n++) {
        struct key key = key_of(n);
        began_ms[n] = now_ms();
        CU_ASSERT_EQUAL(put(&rig, STORE_LEASE, n, bytes_of("lease"), 0, 1000), STORE_OK);
        store_remove(rig.store, STORE_ENTRY, key.bytes, 100, 1000, NULL, NULL);
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
        for (uint64_t earlier = 0; earlier <= n; earlier++) {
            enum store_status lease = get(&rig, STORE_LEASE, earlier).status;
            enum store_status old = put(&rig, STORE_ENTRY, earlier, bytes_of("old"), 99, MINUTE_MS);
            if (now_ms() - began_ms[earlier] >= 1000)
                continue; /* their time was over, or may have been */
            CU_ASSERT_EQUAL(lease, STORE_OK);
            CU_ASSERT_EQUAL(old, STORE_REFUSED);
        }
    }
    rig_close(&rig);
    cache_server_end(&server);
}

/* ---- copies of generations ---- */

#define SERVERS 3

static void three(struct cache_server servers[SERVERS], struct rig *rig) {
    for (unsigned i = 0; i < SERVERS; i++)
        cache_server_start_memcached(&servers[i]);
    rig_open(rig, servers, SERVERS, 2000);
}

static void end_three(struct cache_server servers[SERVERS], struct rig *rig) {
    rig_close(rig);
    for (unsigned i = 0; i < SERVERS; i++)
        cache_server_end(&servers[i]);
}

/* The generation as a batch with this entry finds it, of which only the entry's server is asked. */
struct pair {
    unsigned calls;
    enum store_status entry;
    uint64_t generation;
};

static void got_pair(void *user, struct store_get *gets, size_t n) {
    struct pair *pair = user;
    (void)n;
    pair->calls++;
    pair->entry = gets[0].status;
    pair->generation = gets[1].status == STORE_OK ? load_u64(gets[1].value.data) : 0;
}

static struct pair get_with_generation(struct rig *rig, uint64_t n) {
    struct pair pair = {0, STORE_ERROR, 0};
    struct key keys[] = {key_of(n), key_of(1000000)};
    struct store_get gets[] = {{.kind = STORE_ENTRY, .key = keys[0].bytes},
                               {.kind = STORE_GENERATION, .key = keys[1].bytes}};
    store_get_many(rig->store, gets, 2, got_pair, &pair);
    await(rig, &pair.calls, 1);
    return pair;
}

static void test_every_server_has_a_copy(void) {
    struct cache_server servers[SERVERS];
    struct rig rig;
    three(servers, &rig);
    CU_ASSERT_EQUAL(put_generation(&rig, 1000000, 77), STORE_OK);
    for (uint64_t n = 0; n < 50; n++)
        CU_ASSERT_EQUAL(get_with_generation(&rig, n).generation, 77);
    CU_ASSERT_EQUAL(put_generation(&rig, 1000000, 5), STORE_OK);
    for (uint64_t n = 0; n < 50; n++)
        CU_ASSERT_EQUAL(get_with_generation(&rig, n).generation, 78);
    end_three(servers, &rig);
}

/* A server that lost everything gets its copy back from the others: what they have stays visible. */
static void test_a_lost_copy_is_restored(void) {
    struct cache_server servers[SERVERS];
    struct rig rig;
    unsigned there = 0;
    three(servers, &rig);
    CU_ASSERT_EQUAL(put_generation(&rig, 1000000, 77), STORE_OK);
    for (uint64_t n = 0; n < 60; n++)
        CU_ASSERT_EQUAL(put(&rig, STORE_ENTRY, n, bytes_of("value"), 1, MINUTE_MS), STORE_OK);
    cache_server_tell(&servers[1], "flush_all\r\n");
    for (uint64_t n = 0; n < 60; n++) {
        struct pair pair = get_with_generation(&rig, n);
        CU_ASSERT_EQUAL(pair.generation, 77);
        there += pair.entry == STORE_OK;
    }
    CU_ASSERT(there >= 25 && there <= 55); /* about a third was on that server */
    end_three(servers, &rig);
}

static void test_all_copies_are_lost(void) {
    struct cache_server servers[SERVERS];
    struct rig rig;
    three(servers, &rig);
    CU_ASSERT_EQUAL(put_generation(&rig, 1000000, 77), STORE_OK);
    for (unsigned i = 0; i < SERVERS; i++)
        cache_server_tell(&servers[i], "flush_all\r\n");
    CU_ASSERT_EQUAL(get(&rig, STORE_GENERATION, 1000000).status, STORE_MISSING);
    CU_ASSERT_EQUAL(get_with_generation(&rig, 1).generation, 0);
    end_three(servers, &rig);
}

static unsigned server_of(struct rig *rig, uint64_t n) {
    char name[ITEM_NAME_MAX];
    struct key key = key_of(n);
    memcached_name(memcached_of(rig->store), STORE_ENTRY, key.bytes, name);
    return memcached_place(memcached_of(rig->store), name);
}

/* Settling a copy asks all servers: one that fails then has failed, and is probed. */
static void test_a_server_that_fails_as_copies_are_settled(void) {
    struct cache_server servers[SERVERS];
    struct rig rig;
    uint64_t n = 0;
    three(servers, &rig);
    CU_ASSERT_EQUAL(put_generation(&rig, 1000000, 77), STORE_OK);
    cache_server_tell(&servers[1], "flush_all\r\n");
    while (server_of(&rig, n) != 1)
        n++;
    cache_server_kill(&servers[2]);
    CU_ASSERT_EQUAL(get_with_generation(&rig, n).generation, 77);
    CU_ASSERT_EQUAL(errors(&rig), 1);
    cache_server_restart(&servers[2]);
    CU_ASSERT_TRUE(comes_back(&rig));
    end_three(servers, &rig);
}

/* ---- other clients of the same servers ---- */

/* libmemcached itself, as a client of its own. */
static memcached_st *other_client(const struct cache_server servers[SERVERS]) {
    memcached_st *client = memcached_create(NULL);
    for (unsigned i = 0; i < SERVERS; i++)
        memcached_server_add_unix_socket(client, servers[i].path);
    memcached_behavior_set(client, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1);
    return client;
}

static void name_of(struct rig *rig, enum store_kind kind, uint64_t n, char name[ITEM_NAME_MAX]) {
    struct key key = key_of(n);
    memcached_name(memcached_of(rig->store), kind, key.bytes, name);
}

static void test_other_clients_find_what_is_here(void) {
    struct cache_server servers[SERVERS];
    struct rig rig;
    char name[ITEM_NAME_MAX];
    three(servers, &rig);
    size_t name_length = memcached_of(rig.store)->names.length;
    memcached_st *client = other_client(servers);
    for (uint64_t n = 0; n < 100; n++) {
        size_t length = 0;
        uint32_t flags = 0;
        memcached_return_t status = MEMCACHED_FAILURE;
        CU_ASSERT_EQUAL(put(&rig, STORE_LEASE, n, bytes_of("ours"), 0, MINUTE_MS), STORE_OK);
        name_of(&rig, STORE_LEASE, n, name);
        char *value = memcached_get(client, name, name_length, &length, &flags, &status);
        CU_ASSERT_TRUE(bytes_equal((struct bytes){value, length}, bytes_of("ours")));
        free(value);
        name_of(&rig, STORE_OUTCOME, n, name);
        CU_ASSERT_EQUAL(memcached_set(client, name, name_length, "theirs", 6, 0, 0), MEMCACHED_SUCCESS);
        CU_ASSERT_STRING_EQUAL(get(&rig, STORE_OUTCOME, n).text, "theirs");
    }
    memcached_free(client);
    end_three(servers, &rig);
}

/* ---- what is pending ---- */

static void say_error_to_writes(int connection, const char *asked) {
    say_to_each(connection, asked, "ERROR\r\n");
}

/* It is probed again as soon as after any failure. */
static void test_a_failure_while_told_is_one_failure(void) {
    struct cache_server server;
    struct rig rig;
    cache_server_start_liar(&server, say_error_to_writes);
    rig_open(&rig, &server, 1, 2000);
    struct pending pending = {.server = pending_server(server.address), .kind = STORE_GENERATION, .epoch = 5};
    CU_ASSERT_TRUE(pending_add(&rig.pendings, &pending));
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_ERROR);
    turn(&rig, 100);
    CU_ASSERT_EQUAL(memcached_of(rig.store)->servers[0].remote.breaker.pause_us, 1000000);
    rig_close(&rig);
    cache_server_end(&server);
}

/* The old copy that stands in a server which could not be told is raised before the server is used. */
static void test_a_purge_is_pending(void) {
    struct cache_server servers[SERVERS];
    struct rig rig;
    three(servers, &rig);
    CU_ASSERT_EQUAL(put_generation(&rig, 1000000, 77), STORE_OK);
    rig_close(&rig);
    rig_open(&rig, servers, SERVERS, TIMEOUT_MS);
    cache_server_halt(&servers[2]);
    CU_ASSERT_EQUAL(put_generation(&rig, 1000000, 80), STORE_PENDING);
    CU_ASSERT(atomic_load(&rig.pendings.count) >= 1);
    cache_server_continue(&servers[2]);
    CU_ASSERT_TRUE(comes_back(&rig));
    CU_ASSERT(rig.returns >= 1);
    CU_ASSERT_EQUAL(rig.pending_at_return, 0);
    CU_ASSERT_FALSE(pending_any(&rig.pendings));
    for (uint64_t n = 0; n < 20; n++)
        CU_ASSERT(get_with_generation(&rig, n).generation >= 80);
    end_three(servers, &rig);
}

static void test_a_removal_is_pending(void) {
    struct cache_server server;
    struct rig rig;
    cache_server_start_memcached(&server);
    rig_open(&rig, &server, 1, TIMEOUT_MS);
    CU_ASSERT_EQUAL(put(&rig, STORE_ENTRY, 1, bytes_of("old"), 100, MINUTE_MS), STORE_OK);
    cache_server_halt(&server);
    CU_ASSERT_EQUAL(remove_entry(&rig, 1, 200), STORE_PENDING);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_ERROR);
    cache_server_continue(&server);
    CU_ASSERT_TRUE(comes_back(&rig));
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_TOMBSTONE);
    CU_ASSERT_EQUAL(put(&rig, STORE_ENTRY, 1, bytes_of("was in flight"), 199, MINUTE_MS), STORE_REFUSED);
    CU_ASSERT_EQUAL(put(&rig, STORE_ENTRY, 1, bytes_of("afterwards"), 200, MINUTE_MS), STORE_OK);
    rig_close(&rig);
    cache_server_end(&server);
}

/* Another worker could not tell the server; this one, for which it answers, does not use it before it has. */
static void test_pending_of_another_worker(void) {
    struct cache_server server;
    struct rig rig;
    cache_server_start_memcached(&server);
    rig_open(&rig, &server, 1, 2000);
    CU_ASSERT_EQUAL(put(&rig, STORE_ENTRY, 1, bytes_of("old"), 100, MINUTE_MS), STORE_OK);
    struct pending pending = {
        .server = pending_server(server.address), .kind = STORE_ENTRY, .epoch = 200, .tombstone_ms = 10000};
    struct key key = key_of(1);
    memcpy(pending.key, key.bytes, sizeof(pending.key));
    CU_ASSERT_TRUE(pending_add(&rig.pendings, &pending));
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_ERROR);
    CU_ASSERT_TRUE(comes_back(&rig));
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_TOMBSTONE);
    CU_ASSERT_FALSE(pending_any(&rig.pendings));
    rig_close(&rig);
    cache_server_end(&server);
}

/* Its copy is greater than what was asked for: entries that are visible under it must not be any more. */
static void test_a_pending_purge_of_a_greater_generation(void) {
    struct cache_server server;
    struct rig rig;
    cache_server_start_memcached(&server);
    rig_open(&rig, &server, 1, 2000);
    CU_ASSERT_EQUAL(put_generation(&rig, 1000000, 90), STORE_OK);
    struct pending pending = {
        .server = pending_server(server.address), .kind = STORE_GENERATION, .epoch = 80};
    struct key key = key_of(1000000);
    memcpy(pending.key, key.bytes, sizeof(pending.key));
    CU_ASSERT_TRUE(pending_add(&rig.pendings, &pending));
    CU_ASSERT_EQUAL(get(&rig, STORE_GENERATION, 1000000).status, STORE_ERROR);
    CU_ASSERT_TRUE(comes_back(&rig));
    CU_ASSERT_EQUAL(get(&rig, STORE_GENERATION, 1000000).number, 91);
    rig_close(&rig);
    cache_server_end(&server);
}

/* ---- names ---- */

static void start_on_tcp(struct cache_server *server) {
    cache_servers_on_tcp(true);
    cache_server_start_memcached(server);
    cache_servers_on_tcp(false);
}

static void rig_open_by_name(struct rig *rig, const struct cache_server *server) {
    char text[64];
    snprintf(text, sizeof(text), "cache.test:%u", server->port);
    rig_open_on(rig, text, 2000);
}

/* How often the log, which is read from its beginning, has this. */
static unsigned logged(int log, const char *what) {
    static char text[65536];
    unsigned n = 0;
    ssize_t length = pread(log, text, sizeof(text) - 1, 0);
    text[length > 0 ? length : 0] = '\0';
    for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
        n++;
    return n;
}

/* A name that nobody knows is a server that is away, until somebody does. */
static void test_a_name_nobody_knows(void) {
    struct cache_server server;
    struct rig rig;
    int log = memfd_create("log", MFD_CLOEXEC);
    start_on_tcp(&server);
    names_set("cache.test", NULL);
    log_setup(LOG_INFO, LOG_LOGFMT, log);
    rig_open_by_name(&rig, &server);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_ERROR);
    CU_ASSERT_EQUAL(put(&rig, STORE_ENTRY, 1, bytes_of("value"), 1, MINUTE_MS), STORE_ERROR);
    CU_ASSERT_EQUAL(remove_entry(&rig, 2, 1), STORE_PENDING);
    CU_ASSERT_EQUAL(errors(&rig), 3);
    unsigned before = names_asked();
    for (unsigned turns = 0; names_asked() == before && turns < 50; turns++) /* until the first probe */
        turn(&rig, 100);
    turn(&rig, 100);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_ERROR);
    CU_ASSERT_EQUAL(logged(log, "event=cache_server_down"), 1);
    names_set("cache.test", "127.0.0.1");
    CU_ASSERT_TRUE(comes_back(&rig));
    CU_ASSERT_EQUAL(put(&rig, STORE_ENTRY, 1, bytes_of("value"), 1, MINUTE_MS), STORE_OK);
    CU_ASSERT_STRING_EQUAL(get(&rig, STORE_ENTRY, 1).text, "value");
    CU_ASSERT_EQUAL(logged(log, "event=cache_server_down"), 1);
    CU_ASSERT_EQUAL(logged(log, "event=cache_server_up"), 1);
    CU_ASSERT_EQUAL(names_asked_by_loop(), 0);
    log_setup(LOG_INFO, LOG_LOGFMT, STDERR_FILENO);
    rig_close(&rig);
    cache_server_end(&server);
    close(log);
}

static void test_a_server_that_moves(void) {
    struct cache_server server;
    struct rig rig;
    start_on_tcp(&server);
    names_set("cache.test", "127.0.0.9");
    rig_open_by_name(&rig, &server);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_ERROR); /* nobody listens there */
    names_set("cache.test", "127.0.0.1");
    CU_ASSERT_TRUE(comes_back(&rig));
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_MISSING);
    /* A name server that is away takes no cache server with it. */
    names_set("cache.test", NULL);
    cache_server_restart(&server);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_ERROR);
    CU_ASSERT_TRUE(comes_back(&rig));
    CU_ASSERT_EQUAL(names_asked_by_loop(), 0);
    rig_close(&rig);
    cache_server_end(&server);
}

/* The start waits for a name server, but not for long; the loop and the end do not. */
static void test_silent_name_servers(void) {
    struct rig rig;
    names_silent(true);
    uint64_t began_ms = now_ms();
    rig_open_on(&rig, "a.test:11211,b.test:11211,c.test:11211", 2000);
    uint64_t opened_ms = now_ms();
    CU_ASSERT(opened_ms - began_ms >= RESOLVER_START_MS);
    CU_ASSERT(opened_ms - began_ms < 2 * RESOLVER_START_MS);
    turn(&rig, RESOLVER_START_MS + 100); /* probes are due */
    for (uint64_t n = 0; n < 30; n++)
        CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, n).status, STORE_ERROR);
    rig_close(&rig);
    CU_ASSERT(now_ms() - opened_ms < 3 * RESOLVER_START_MS);
    CU_ASSERT_EQUAL(names_asked_by_loop(), 0);
    names_silent(false);
}

/* Hosts that know different names, or have different addresses for them, look for a key at the same server.
 */
static void test_placement_is_by_name(void) {
    static const char LIST[] = "a.test:11211,b.test:11211,c.test:11211";
    struct rig rigs[3];
    for (unsigned i = 0; i < 3; i++) {
        names_set(i == 1 ? "b.test" : "c.test", i == 0 ? NULL : "127.0.0.1");
        rig_open_on(&rigs[i], LIST, TIMEOUT_MS);
    }
    unsigned of_each[3] = {0};
    for (uint64_t n = 0; n < 300; n++) {
        unsigned server = server_of(&rigs[0], n);
        of_each[server]++;
        for (unsigned i = 1; i < 3; i++)
            CU_ASSERT_EQUAL(server_of(&rigs[i], n), server);
    }
    for (unsigned i = 0; i < 3; i++) {
        CU_ASSERT(of_each[i] > 50);
        rig_close(&rigs[i]);
    }
    CU_ASSERT_EQUAL(names_asked_by_loop(), 0);
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
    {"too large for the server", test_too_large},
    {"short, long and endless lifetimes", test_lifetimes},
    {"nothing ends early", test_nothing_ends_early},
    {"every server has a copy of a generation", test_every_server_has_a_copy},
    {"a lost copy is restored", test_a_lost_copy_is_restored},
    {"all copies are lost", test_all_copies_are_lost},
    {"a server that fails as copies are settled", test_a_server_that_fails_as_copies_are_settled},
    {"other clients find what is here, and the other way round", test_other_clients_find_what_is_here},
    {"a failure while it is told is one failure", test_a_failure_while_told_is_one_failure},
    {"a purge waits for a server", test_a_purge_is_pending},
    {"a removal waits for a server", test_a_removal_is_pending},
    {"what another worker could not tell", test_pending_of_another_worker},
    {"a pending purge of a greater generation", test_a_pending_purge_of_a_greater_generation},
    {"a name that nobody knows", test_a_name_nobody_knows},
    {"a server that moves", test_a_server_that_moves},
    {"silent name servers", test_silent_name_servers},
    {"placement is by name", test_placement_is_by_name},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "memcached", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
