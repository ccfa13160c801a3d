#include "process/worker.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "../fastcgi/records.h"
#include "pool.h"

/* A worker in a process of its own, spoken to as a web server would. */

static int run_worker(void) {
    const struct worker_options options = {.settings = &pool.settings,
                                           .shared = &pool.shared,
                                           .slot = pool.shared.claimed[0],
                                           .listener = pool.listener.descriptor,
                                           .master = getppid()};
    return worker_run(&options);
}

/* With all signals blocked, as the master forks it. */
static void run(int (*body)(void)) {
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    pool_start(body);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

static void start(void (*change)(struct settings *settings)) {
    pool_setup(1, change);
    run(run_worker);
    shared_slot_assign(&pool.shared, pool.shared.claimed[0], pool.process);
}

/* As a master does that wants no successor. */
static void terminate(void) {
    atomic_store(&pool_slot(0)->relieved, 1);
    CU_ASSERT_EQUAL(kill(pool.process, SIGTERM), 0);
}

/* ---- the web server's side ---- */

static int connect_to_worker(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval patience = {.tv_sec = 20};
    memcpy(address.sun_path, pool.listener.path, sizeof(address.sun_path));
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    CU_ASSERT_EQUAL_FATAL(connect(descriptor, (const struct sockaddr *)&address, sizeof(address)), 0);
    return descriptor;
}

static void send_request(int descriptor, const char *method, const char *path, const char *body) {
    struct buffer records, pairs;
    char length[24];
    buffer_init(&records, 65536);
    buffer_init(&pairs, 65536);
    snprintf(length, sizeof(length), "%zu", strlen(body));
    put_pair_text(&pairs, "REQUEST_METHOD", method);
    put_pair_text(&pairs, "DOCUMENT_URI", path);
    put_pair_text(&pairs, "CONTENT_TYPE", "application/json");
    put_pair_text(&pairs, "CONTENT_LENGTH", length);
    put_begin(&records, 1, RESPONDER, KEEP);
    put_record(&records, PARAMS, 1, buffer_bytes(&pairs), 0);
    put_empty(&records, PARAMS, 1);
    put_body(&records, 1, bytes_of(body), 65535);
    CU_ASSERT_EQUAL(send(descriptor, records.data, records.length, MSG_NOSIGNAL), (ssize_t)records.length);
    buffer_fini(&pairs);
    buffer_fini(&records);
}

/* The content of STDOUT up to the end of the request; "" when the worker closed instead. Valid until the
 * next. */
static const char *receive_answer(int descriptor) {
    static char out[8192];
    struct buffer in;
    size_t length = 0;
    bool ended = false;
    buffer_init(&in, 65536);
    while (!ended) {
        struct seen_record record;
        while (!ended && see_record(buffer_bytes(&in), &record)) {
            if (record.type == STDOUT && length + record.content.length < sizeof(out)) {
                memcpy(out + length, record.content.data, record.content.length);
                length += record.content.length;
            }
            ended = record.type == END;
            buffer_consume(&in, record.size);
        }
        char *to = buffer_reserve(&in, 4096);
        ssize_t n = ended || !to ? 0 : recv(descriptor, to, 4096, 0);
        if (n <= 0)
            break;
        in.length += (size_t)n;
    }
    buffer_fini(&in);
    out[ended ? length : 0] = '\0';
    return out;
}

static bool answers(int descriptor, const char *method, const char *path, const char *body,
                    const char *expected) {
    send_request(descriptor, method, path, body);
    return strstr(receive_answer(descriptor), expected) != NULL;
}

static uint64_t counted(enum statistic statistic) {
    return shared_stat(&pool.shared, statistic);
}

/* ---- serving ---- */

#define TEXT "{\"text\":\"good\"}"

static void test_serves(void) {
    start(NULL);
    int first = connect_to_worker(), second = connect_to_worker();
    CU_ASSERT(answers(first, "GET", "/healthz", "", "Status: 200 OK\r\n"));
    CU_ASSERT(answers(first, "GET", "/readyz", "", "{\"status\":\"ok\"}"));
    CU_ASSERT(answers(first, "POST", "/predict", TEXT, "X-Cache: MISS\r\n"));
    CU_ASSERT(answers(second, "POST", "/predict", TEXT, "X-Cache: HIT\r\n"));
    CU_ASSERT(answers(second, "POST", "/predict", TEXT, "\"sentiment\":\"positive\""));
    CU_ASSERT_EQUAL(atomic_load(&pool_slot(0)->connections), 2);
    CU_ASSERT_EQUAL(counted(STAT_requests), 5);
    CU_ASSERT(pool_now_us() - atomic_load(&pool_slot(0)->heartbeat_us) < POOL_PATIENCE_US);
    uint64_t beat_us = atomic_load(&pool_slot(0)->heartbeat_us);
    POOL_WAIT(atomic_load(&pool_slot(0)->heartbeat_us) > beat_us);
    terminate();
    pool_check_exit(0);
    close(first);
    close(second);
    pool_teardown();
}

/* Signals to the whole process group are the master's to handle. */
static void test_other_signals(void) {
    static const int SIGNALS[] = {SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE};
    start(NULL);
    int connection = connect_to_worker();
    CU_ASSERT(answers(connection, "GET", "/healthz", "", "200 OK"));
    for (size_t i = 0; i < sizeof(SIGNALS) / sizeof(SIGNALS[0]); i++) {
        CU_ASSERT_EQUAL(kill(pool.process, SIGNALS[i]), 0);
        CU_ASSERT(answers(connection, "GET", "/readyz", "", "200 OK"));
    }
    terminate();
    pool_check_exit(0);
    close(connection);
    pool_teardown();
}

static void slow(struct settings *settings) {
    settings->inference_delay_ms = 700;
}

static void test_client_leaves(void) {
    start(slow);
    int connection = connect_to_worker();
    send_request(connection, "POST", "/predict", TEXT);
    POOL_WAIT(counted(STAT_in_flight) == 1);
    close(connection);
    POOL_WAIT(counted(STAT_parked) == 0);
    CU_ASSERT_EQUAL(counted(STAT_in_flight), 1);
    POOL_WAIT(counted(STAT_stores) == 1);
    connection = connect_to_worker();
    CU_ASSERT(answers(connection, "POST", "/predict", TEXT, "X-Cache: HIT\r\n"));
    terminate();
    pool_check_exit(0);
    close(connection);
    pool_teardown();
}

/* ---- draining ---- */

/* Pending requests are answered, new ones on open connections are served and told that it drains; new
 * connections are left to others. */
static void test_drain(void) {
    start(slow);
    int waiting = connect_to_worker(), kept = connect_to_worker();
    CU_ASSERT(answers(kept, "GET", "/readyz", "", "200 OK"));
    send_request(waiting, "POST", "/predict", TEXT);
    POOL_WAIT(counted(STAT_in_flight) == 1);
    terminate();
    POOL_WAIT(atomic_load(&pool_slot(0)->draining) == 1);
    int late = connect_to_worker();
    CU_ASSERT(answers(kept, "GET", "/readyz", "", "Status: 503 "));
    CU_ASSERT_EQUAL(atomic_load(&pool_slot(0)->connections), 2);
    CU_ASSERT_PTR_NOT_NULL(strstr(receive_answer(waiting), "X-Cache: MISS\r\n"));
    pool_check_exit(0);
    CU_ASSERT_EQUAL(counted(STAT_stores), 1);
    close(late);
    close(waiting);
    close(kept);
    pool_teardown();
}

/* As somebody else does: it is not to leave before another one serves. */
static void test_asks_for_a_successor(void) {
    start(NULL);
    POOL_WAIT(atomic_load(&pool_slot(0)->ready) == 1);
    CU_ASSERT_EQUAL(kill(pool.process, SIGTERM), 0);
    POOL_WAIT(atomic_load(&pool_slot(0)->leaving) == 1);
    CU_ASSERT_EQUAL(kill(pool.process, SIGTERM), 0); /* is no news */
    int late = connect_to_worker();
    CU_ASSERT(answers(late, "GET", "/readyz", "", "Status: 200 OK"));
    CU_ASSERT_EQUAL(atomic_load(&pool_slot(0)->draining), 0);
    atomic_store(&pool_slot(0)->relieved, 1);
    POOL_WAIT(atomic_load(&pool_slot(0)->draining) == 1);
    close(late);
    pool_check_exit(0);
    pool_teardown();
}

static void endless(struct settings *settings) {
    settings->inference_delay_ms = 3600000;
    settings->drain_timeout_ms = 50;
}

static void test_drain_timeout(void) {
    start(endless);
    int waiting = connect_to_worker();
    send_request(waiting, "POST", "/predict", TEXT);
    POOL_WAIT(counted(STAT_in_flight) == 1);
    terminate();
    CU_ASSERT_STRING_EQUAL(receive_answer(waiting), ""); /* closed: the web server makes it a 502 */
    pool_check_exit(0);
    CU_ASSERT_EQUAL(atomic_load(&pool_slot(0)->unfinished),
                    1); /* not its connection and its inference both */
    close(waiting);
    pool_teardown();
}

/* The signal may come before the worker can hear it. */
static void test_signal_while_starting(void) {
    start(NULL);
    terminate();
    pool_check_exit(0);
    pool_teardown();
}

/* ---- a worker that cannot start ---- */

static void test_nothing_to_be_woken_by(void) {
    pool_setup(1, NULL);
    int descriptor = pool.shared.wake_descriptors[pool.shared.claimed[0]];
    pool.shared.wake_descriptors[pool.shared.claimed[0]] = -1;
    run(run_worker);
    pool_check_exit(1);
    pool.shared.wake_descriptors[pool.shared.claimed[0]] = descriptor;
    pool_teardown();
}

static void test_nothing_to_accept_from(void) {
    pool_setup(1, NULL);
    int descriptor = pool.listener.descriptor;
    pool.listener.descriptor = -1;
    run(run_worker);
    pool_check_exit(1);
    pool.listener.descriptor = descriptor;
    pool_teardown();
}

static const struct unit_case CASES[] = {
    {"it serves", test_serves},
    {"other signals", test_other_signals},
    {"a client leaves", test_client_leaves},
    {"draining", test_drain},
    {"it asks for a successor", test_asks_for_a_successor},
    {"draining takes too long", test_drain_timeout},
    {"a signal while it starts", test_signal_while_starting},
    {"nothing to be woken by", test_nothing_to_be_woken_by},
    {"nothing to accept from", test_nothing_to_accept_from},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "worker", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
