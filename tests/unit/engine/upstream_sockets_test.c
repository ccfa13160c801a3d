/* Sockets that the test connects to a listener of its own: what happens to one that has something to read, in
 * each state. */
#include "engine/upstream/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit.h"

struct bench {
    struct upstream_sockets *sockets;
    struct curl_sockaddr address;
    int listener;
    int client;
    int server;
};

static struct bench bench;

static void set_up(bool watch_idle) {
    struct error error = {""};
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bench = (struct bench){.sockets = upstream_sockets_create(watch_idle, &error),
                           .listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
                           .client = -1,
                           .server = -1};
    CU_ASSERT_FATAL(bench.sockets != NULL);
    CU_ASSERT_EQUAL_FATAL(bind(bench.listener, (struct sockaddr *)&any, sizeof(any)), 0);
    CU_ASSERT_EQUAL_FATAL(listen(bench.listener, 8), 0);
    bench.address = (struct curl_sockaddr){.family = AF_INET, .socktype = SOCK_STREAM};
}

static void open_one(void) {
    struct sockaddr_in address;
    socklen_t length = sizeof(address);
    bench.client = upstream_sockets_open(bench.sockets, &bench.address);
    CU_ASSERT_FATAL(bench.client >= 0);
    upstream_sockets_busy(bench.sockets, bench.client);
    CU_ASSERT_EQUAL_FATAL(getsockname(bench.listener, (struct sockaddr *)&address, &length), 0);
    CU_ASSERT_EQUAL_FATAL(connect(bench.client, (struct sockaddr *)&address, length), 0);
    bench.server = accept4(bench.listener, NULL, NULL, SOCK_CLOEXEC);
    CU_ASSERT_FATAL(bench.server >= 0);
}

static void close_one(void) {
    upstream_sockets_close(bench.sockets, bench.client);
    close(bench.server);
}

static void tear_down(void) {
    upstream_sockets_destroy(&bench.sockets);
    CU_ASSERT_PTR_NULL(bench.sockets);
    close(bench.listener);
}

/* The server writes what nobody asked for; returns once it is there. */
static void stray(void) {
    struct pollfd there = {.fd = bench.client, .events = POLLIN};
    CU_ASSERT_EQUAL(send(bench.server, "HTTP/1.1 408 ", 13, 0), 13);
    CU_ASSERT_EQUAL(poll(&there, 1, 10000), 1);
}

/* The state of the connection as libcurl checks it. */
static void check_read(ssize_t expected) {
    char byte;
    CU_ASSERT_EQUAL(recv(bench.client, &byte, 1, MSG_PEEK | MSG_DONTWAIT), expected);
}

static void test_idle(void) {
    set_up(true);
    open_one();
    upstream_sockets_idle(bench.sockets, bench.client);
    upstream_sockets_check(bench.sockets);
    check_read(-1);
    stray();
    upstream_sockets_check(bench.sockets);
    check_read(0);
    CU_ASSERT_EQUAL(send(bench.client, "POST", 4, MSG_NOSIGNAL), -1);
    CU_ASSERT_EQUAL(errno, EPIPE);
    close_one();
    tear_down();
}

static void test_closed_by_the_server(void) {
    static const struct linger AT_ONCE = {.l_onoff = 1, .l_linger = 0};
    for (int reset = 0; reset < 2; reset++) {
        set_up(true);
        open_one();
        upstream_sockets_idle(bench.sockets, bench.client);
        if (reset)
            CU_ASSERT_EQUAL(setsockopt(bench.server, SOL_SOCKET, SO_LINGER, &AT_ONCE, sizeof(AT_ONCE)), 0);
        close(bench.server);
        struct pollfd ended = {.fd = bench.client, .events = POLLIN};
        CU_ASSERT_EQUAL(poll(&ended, 1, 10000), 1);
        upstream_sockets_check(bench.sockets);
        check_read(0);
        upstream_sockets_close(bench.sockets, bench.client);
        tear_down();
    }
}

/* An answer that comes is no stray; nor is what an HTTP/2 server says on its own. */
static void test_neither_busy_nor_numbered(void) {
    set_up(true);
    open_one();
    upstream_sockets_idle(bench.sockets, bench.client);
    upstream_sockets_busy(bench.sockets, bench.client);
    stray();
    upstream_sockets_check(bench.sockets);
    check_read(1);
    upstream_sockets_numbered(bench.sockets, bench.client);
    upstream_sockets_idle(bench.sockets, bench.client);
    upstream_sockets_check(bench.sockets);
    check_read(1);
    close_one();
    tear_down();
}

/* A descriptor's number means another connection once it was closed. */
static void test_used_again_after_a_stray(void) {
    set_up(true);
    for (unsigned i = 0; i < 3; i++) {
        open_one();
        upstream_sockets_idle(bench.sockets, bench.client);
        upstream_sockets_check(bench.sockets);
        check_read(-1);
        stray();
        upstream_sockets_check(bench.sockets);
        check_read(0);
        close_one();
    }
    tear_down();
}

static void test_not_watched(void) {
    set_up(false);
    open_one();
    upstream_sockets_idle(bench.sockets, bench.client);
    stray();
    upstream_sockets_check(bench.sockets);
    check_read(1);
    upstream_sockets_numbered(bench.sockets, bench.client);
    close_one();
    tear_down();
}

/* The server sees a reset, and no port is left waiting. */
static void test_closed_with_a_reset(void) {
    char byte;
    set_up(false);
    open_one();
    upstream_sockets_close(bench.sockets, bench.client);
    CU_ASSERT_EQUAL(recv(bench.server, &byte, 1, 0), -1);
    CU_ASSERT_EQUAL(errno, ECONNRESET);
    close(bench.server);
    tear_down();
}

static void test_no_descriptor(void) {
    struct rlimit limit, none;
    set_up(true);
    CU_ASSERT_EQUAL(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = limit.rlim_max};
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &none), 0);
    CU_ASSERT_EQUAL(upstream_sockets_open(bench.sockets, &bench.address), -1);
    CU_ASSERT_EQUAL(errno, EMFILE);
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
    tear_down();
}

static void test_no_memory(void) {
    set_up(true);
#if !defined(__SANITIZE_ADDRESS__) /* whose allocator does not fail */
    struct error error = {""};
    unit_allocations_fail(1, true);
    CU_ASSERT_PTR_NULL(upstream_sockets_create(true, &error));
    CU_ASSERT_STRING_NOT_EQUAL(error.text, "");
    unit_allocations_fail(1, true);
    CU_ASSERT_EQUAL(upstream_sockets_open(bench.sockets, &bench.address), -1);
    CU_ASSERT_EQUAL(errno, ENOMEM);
    unit_allocations_heal();
#endif
    open_one();
    close_one();
    tear_down();
}

static const struct unit_case CASES[] = {
    {"an idle one with something to read", test_idle},
    {"one that the server closed", test_closed_by_the_server},
    {"busy ones and HTTP/2", test_neither_busy_nor_numbered},
    {"a descriptor that is used again", test_used_again_after_a_stray},
    {"idle ones are not watched", test_not_watched},
    {"closed with a reset", test_closed_with_a_reset},
    {"no descriptor", test_no_descriptor},
    {"no memory", test_no_memory},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "upstream sockets", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
