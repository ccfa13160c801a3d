/* One transfer in one loop, with a server that the test plays itself, step by step. libcurl's entry is
 * replaced by one that lets something happen between what the loop saw and what libcurl does. */
#include "engine/upstream/transfers.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "unit.h"

#define BODY_BYTES (512 * 1024) /* more than libcurl sends with the head, and than the two buffers take */

static const int BUFFER_BYTES = 16384;

struct bench {
    uv_loop_t loop;
    struct upstream_sockets *sockets;
    struct transfers *transfers;
    CURL *easy;
    char *body;
    char url[64];
    int listener;
    int server;   /* the server's end of the connection; -1: there is none, or not any more */
    int client;   /* libcurl's end */
    bool refuses; /* the server is to answer and reset as soon as libcurl is about to send more */
    unsigned ended;
    CURLcode result;
};

static struct bench bench;

/* ---- the server ---- */

static void listen_somewhere(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    bench.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CU_ASSERT_EQUAL(setsockopt(bench.listener, SOL_SOCKET, SO_RCVBUF, &BUFFER_BYTES, sizeof(BUFFER_BYTES)),
                    0);
    CU_ASSERT_EQUAL_FATAL(bind(bench.listener, (struct sockaddr *)&address, length), 0);
    CU_ASSERT_EQUAL_FATAL(listen(bench.listener, 1), 0);
    CU_ASSERT_EQUAL(getsockname(bench.listener, (struct sockaddr *)&address, &length), 0);
    snprintf(bench.url, sizeof(bench.url), "http://127.0.0.1:%d/", ntohs(address.sin_port));
}

/* Part of the request is there, unread: closing the connection resets it. */
static bool has_something_unread(void) {
    int unread = 0;
    if (bench.server < 0)
        bench.server = accept4(bench.listener, NULL, NULL, SOCK_CLOEXEC);
    return bench.server >= 0 && ioctl(bench.server, FIONREAD, &unread) == 0 && unread > 0;
}

static void answer_and_reset(void) {
    static const char ANSWER[] = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n";
    struct pollfd reset = {.fd = bench.client, .events = 0};
    CU_ASSERT_EQUAL(send(bench.server, ANSWER, sizeof(ANSWER) - 1, 0), (ssize_t)sizeof(ANSWER) - 1);
    close(bench.server);
    bench.server = -1;
    CU_ASSERT_EQUAL_FATAL(poll(&reset, 1, 10000), 1);
    CU_ASSERT(reset.revents & POLLHUP);
}

/* ---- between the loop and libcurl ---- */

CURLMcode curl_multi_socket_action(CURLM *multi, curl_socket_t descriptor, int events, int *running) {
    static CURLMcode (*original)(CURLM *, curl_socket_t, int, int *);
    if (!original)
        *(void **)&original = dlsym(RTLD_NEXT, "curl_multi_socket_action");
    if (bench.refuses && events & CURL_CSELECT_OUT && has_something_unread()) {
        bench.refuses = false;
        answer_and_reset();
    }
    return original(multi, descriptor, events, running);
}

/* ---- the transfer ---- */

static int on_connecting(void *user, curl_socket_t descriptor, curlsocktype purpose) {
    (void)user, (void)purpose;
    bench.client = descriptor;
    CU_ASSERT_EQUAL(setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &BUFFER_BYTES, sizeof(BUFFER_BYTES)), 0);
    return CURL_SOCKOPT_OK;
}

static void on_ended(void *context, CURL *easy, CURLcode result) {
    (void)context;
    CU_ASSERT_PTR_EQUAL(easy, bench.easy);
    bench.ended++;
    bench.result = result;
}

static void set_up(void) {
    struct error error = {""};
    bench = (struct bench){.server = -1};
    CU_ASSERT_EQUAL(curl_global_init(CURL_GLOBAL_DEFAULT), CURLE_OK);
    CU_ASSERT_EQUAL_FATAL(uv_loop_init(&bench.loop), 0);
    bench.sockets = upstream_sockets_create(false, &error);
    CU_ASSERT_FATAL(bench.sockets != NULL);
    bench.transfers = transfers_create(&bench.loop, bench.sockets, on_ended, NULL, &error);
    bench.easy = curl_easy_init();
    bench.body = calloc(1, BODY_BYTES);
    CU_ASSERT_FATAL(bench.transfers && bench.easy && bench.body);
    listen_somewhere();
    (void)curl_easy_setopt(bench.easy, CURLOPT_URL, bench.url);
    (void)curl_easy_setopt(bench.easy, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(bench.easy, CURLOPT_SOCKOPTFUNCTION, on_connecting);
    (void)curl_easy_setopt(bench.easy, CURLOPT_POSTFIELDSIZE, (long)BODY_BYTES);
    (void)curl_easy_setopt(bench.easy, CURLOPT_POSTFIELDS, bench.body);
    (void)curl_easy_setopt(bench.easy, CURLOPT_TIMEOUT_MS, 10000L);
}

static void tear_down(void) {
    transfers_close(&bench.transfers, NULL);
    upstream_sockets_destroy(&bench.sockets);
    (void)uv_run(&bench.loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(uv_loop_close(&bench.loop), 0);
    curl_easy_cleanup(bench.easy);
    curl_global_cleanup();
    free(bench.body);
    close(bench.listener);
}

static long status(void) {
    long code = 0;
    (void)curl_easy_getinfo(bench.easy, CURLINFO_RESPONSE_CODE, &code);
    return code;
}

/* Told of the refusal, not of a connection that failed. */
static void check_refused(void) {
    while (!bench.ended)
        (void)uv_run(&bench.loop, UV_RUN_ONCE);
    CU_ASSERT_EQUAL(bench.ended, 1);
    CU_ASSERT_EQUAL(bench.result, CURLE_OK);
    CU_ASSERT_EQUAL(status(), 413);
}

/* The loop saw a connection to which more can be written; then the server refuses. */
static void test_refused_behind_the_loops_back(void) {
    set_up();
    bench.refuses = true;
    CU_ASSERT_FATAL(transfers_begin(bench.transfers, bench.easy));
    check_refused();
    CU_ASSERT_FALSE(bench.refuses);
    tear_down();
}

/* Nothing more can be written: the next thing that the loop sees is the reset, with the answer in front of
 * it. */
static void test_refused_while_it_waits(void) {
    set_up();
    CU_ASSERT_FATAL(transfers_begin(bench.transfers, bench.easy));
    while (!has_something_unread())
        (void)uv_run(&bench.loop, UV_RUN_ONCE);
    struct pollfd room = {.fd = bench.client, .events = POLLOUT};
    while (poll(&room, 1, 100) > 0)
        (void)uv_run(&bench.loop, UV_RUN_NOWAIT);
    CU_ASSERT_EQUAL(bench.ended, 0);
    answer_and_reset();
    check_refused();
    tear_down();
}

static const struct unit_case CASES[] = {
    {"an answer and a reset that the loop has not seen", test_refused_behind_the_loops_back},
    {"an answer and a reset at once", test_refused_while_it_waits},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "transfers", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
