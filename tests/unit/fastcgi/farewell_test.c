#include <errno.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "inferonce/base/log.h"
#include "inferonce/fastcgi/connection.h"
#include "records.h"
#include "unit.h"

/* How connections end: while the server drains, and when others wait for room. */

#define SECOND      UINT64_C(1000000)
#define STDERR      7
#define CLIENTS_MAX 64

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
static bool parking;
static struct fastcgi_request *parked;
static unsigned handled;
static int clients[CLIENTS_MAX];
static unsigned clients_count;

static void answer(struct fastcgi_request *request) {
    const struct piece piece = {.bytes = bytes_of("answer")};
    fastcgi_respond(request, &piece, 1);
}

static void on_request(void *user, struct fastcgi_request *request) {
    (void)user;
    handled++;
    if (parking)
        parked = request;
    else
        answer(request);
}

static void on_abandoned(void *user, struct fastcgi_request *request) {
    (void)user;
    CU_ASSERT_PTR_EQUAL(request, parked);
    parked = NULL;
}

static void begin(void) {
    struct error error;
    CU_ASSERT_EQUAL_FATAL(uv_loop_init(&loop), 0);
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    address = (struct sockaddr_un){.sun_family = AF_UNIX};
    /* An address of the kernel's choice, without a file. */
    CU_ASSERT_EQUAL_FATAL(bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
    address_length = sizeof(address);
    CU_ASSERT_EQUAL_FATAL(getsockname(listener, (struct sockaddr *)&address, &address_length), 0);
    CU_ASSERT_EQUAL_FATAL(listen(listener, CLIENTS_MAX), 0);
    memset(&stats, 0, sizeof(stats));
    fake_clock = (struct clock){.fake = true, .monotonic_us = 1000 * SECOND};
    blobs = blobs_create(&stats);
    CU_ASSERT_PTR_NOT_NULL_FATAL(blobs);
    parking = false;
    parked = NULL;
    handled = clients_count = 0;
    turns = turn_create(&loop, &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(turns);
    context = (struct context){.loop = &loop, .clock = &fake_clock, .stats = &stats, .turn = turns};
    const struct fastcgi_options options = {.context = &context,
                                            .listener = listener,
                                            .body_max = 1 << 20,
                                            .blobs = blobs,
                                            .handler = on_request,
                                            .abandoned = on_abandoned};
    server = fastcgi_server_create(&options, &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(server);
}

static void end(void) {
    fastcgi_server_destroy(&server);
    turn_destroy(&turns);
    uv_run(&loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(uv_loop_close(&loop), 0);
    blobs_destroy(&blobs);
    for (unsigned i = 0; i < clients_count; i++)
        close(clients[i]);
    close(listener);
}

/* Runs the ready events, and those that they make ready. */
static void turn(void) {
    for (unsigned i = 0; i < 4; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
}

/* ---- the web server's side ---- */

static int client_connect(void) {
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CU_ASSERT_EQUAL_FATAL(connect(client, (struct sockaddr *)&address, address_length), 0);
    clients[clients_count++] = client;
    turn();
    return client;
}

static void ask(int client, int flags) {
    struct buffer request;
    buffer_init(&request, 4096);
    put_request(&request, 1, flags, "/", bytes_of(""));
    CU_ASSERT_EQUAL(send(client, request.data, request.length, MSG_NOSIGNAL), (ssize_t)request.length);
    buffer_fini(&request);
}

/* The records received, one letter each: o STDOUT, e END_REQUEST, x an empty STDERR record for request 1, "$"
 * the end of the connection. */
static const char *seen(int client) {
    static char letters[32];
    struct buffer in;
    struct seen_record record;
    size_t n = 0;
    buffer_init(&in, 65536);
    turn();
    char *to = buffer_reserve(&in, 4096);
    CU_ASSERT_PTR_NOT_NULL_FATAL(to);
    ssize_t length = recv(client, to, 4096, 0);
    bool closed = length == 0;
    if (length > 0) {
        in.length = (size_t)length;
        closed = recv(client, to + length, 1, 0) == 0;
    }
    while (n < sizeof(letters) - 2 && see_record(buffer_bytes(&in), &record)) {
        bool told = record.type == STDERR && record.id == 1 && record.content.length == 0;
        if (record.type != STDOUT || record.content.length > 0)
            letters[n++] = record.type == STDOUT ? 'o' : record.type == END ? 'e' : told ? 'x' : '?';
        buffer_consume(&in, record.size);
    }
    CU_ASSERT_EQUAL(in.length, 0);
    if (closed)
        letters[n++] = '$';
    letters[n] = '\0';
    buffer_fini(&in);
    return letters;
}

static const char *asked(int client) {
    ask(client, KEEP);
    return seen(client);
}

static void pass(uint64_t us) {
    fake_clock.monotonic_us += us;
    fastcgi_server_drain(server);
}

static void drain(void) {
    fastcgi_server_stop_accepting(server);
    pass(0);
}

/* ---- draining ---- */

static void test_idle_connections_are_told(void) {
    begin();
    int client = client_connect();
    CU_ASSERT_STRING_EQUAL(asked(client), "oe");
    drain();
    CU_ASSERT_STRING_EQUAL(seen(client), "x");
    CU_ASSERT_FALSE(fastcgi_server_is_empty(server));
    close(clients[--clients_count]); /* as a web server does */
    turn();
    CU_ASSERT(fastcgi_server_is_empty(server));
    end();
}

static void test_fresh_connections_are_served(void) {
    begin();
    int client = client_connect();
    drain();
    pass(10 * SECOND);
    CU_ASSERT_STRING_EQUAL(seen(client), "");
    CU_ASSERT_STRING_EQUAL(asked(client), "oex$");
    CU_ASSERT(fastcgi_server_is_empty(server));
    end();
}

/* The peer has sent a request, which was not read yet: it waits for an answer, and its connection is not
 * idle. */
static void test_a_request_on_its_way_is_answered(void) {
    begin();
    int client = client_connect();
    CU_ASSERT_STRING_EQUAL(asked(client), "oe");
    ask(client, KEEP);
    drain();
    CU_ASSERT_EQUAL(handled, 1);
    CU_ASSERT_STRING_EQUAL(seen(client), "oex");
    end();
}

static void test_a_parked_request_is_answered(void) {
    begin();
    int client = client_connect();
    parking = true;
    ask(client, KEEP);
    turn();
    CU_ASSERT_PTR_NOT_NULL_FATAL(parked);
    drain();
    pass(20000);
    CU_ASSERT_STRING_EQUAL(seen(client), "");
    CU_ASSERT_EQUAL(fastcgi_server_busy(server), 1);
    answer(parked);
    CU_ASSERT_STRING_EQUAL(seen(client), "oex");
    CU_ASSERT_EQUAL(fastcgi_server_busy(server), 0);
    end();
}

/* It was sent as ours was. */
static void test_a_request_that_crosses_the_record(void) {
    begin();
    int client = client_connect();
    CU_ASSERT_STRING_EQUAL(asked(client), "oe");
    drain();
    CU_ASSERT_STRING_EQUAL(asked(client), "xoex");
    pass(20000);
    CU_ASSERT_STRING_EQUAL(seen(client), "x");
    end();
}

static void test_who_does_not_heed(void) {
    begin();
    int idle = client_connect(), busy = client_connect();
    CU_ASSERT_STRING_EQUAL(asked(idle), "oe");
    CU_ASSERT_STRING_EQUAL(asked(busy), "oe");
    drain();
    pass(20000);
    pass(20000);
    CU_ASSERT_STRING_EQUAL(seen(idle), "xx");
    CU_ASSERT_STRING_EQUAL(asked(busy), "xxoex");
    pass(900000);
    CU_ASSERT_STRING_EQUAL(seen(idle), "");
    CU_ASSERT_STRING_EQUAL(asked(busy), "xoex");
    pass(900000);
    CU_ASSERT_STRING_EQUAL(seen(idle), "$");
    CU_ASSERT_STRING_EQUAL(asked(busy), "xoex$"); /* right behind an answer */
    CU_ASSERT(fastcgi_server_is_empty(server));
    end();
}

static void test_not_kept(void) {
    begin();
    int client = client_connect();
    drain();
    ask(client, CLOSE);
    CU_ASSERT_STRING_EQUAL(seen(client), "oe$");
    end();
}

/* ---- no room ---- */

/* 48 connections, of which the first has been idle for longest; one more waits. Then `server` has no room. */
static int crowd(void) {
    struct rlimit before;
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit low = {.rlim_cur = 64, .rlim_max = before.rlim_max}; /* 48 for connections */
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &low), 0);
    begin();
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &before), 0);
    client_connect(); /* carries no request */
    for (unsigned i = 1; i < 48; i++) {
        fake_clock.monotonic_us += 1000;
        CU_ASSERT_STRING_EQUAL(asked(client_connect()), "oe");
    }
    return client_connect();
}

static void test_room_is_made(void) {
    int waiting = crowd();
    CU_ASSERT_STRING_EQUAL(seen(clients[0]), "");
    for (unsigned i = 1; i <= 16; i++)
        CU_ASSERT_STRING_EQUAL(seen(clients[i]), "x");
    for (unsigned i = 17; i < 48; i++)
        CU_ASSERT_STRING_EQUAL(seen(clients[i]), "");
    CU_ASSERT_STRING_EQUAL(asked(waiting), "");
    CU_ASSERT_STRING_EQUAL(asked(clients[47]), "oex"); /* while somebody waits each answer is the last */
    close(clients[5]);
    CU_ASSERT_STRING_EQUAL(seen(waiting), "oe");
    CU_ASSERT_STRING_EQUAL(asked(clients[46]), "oe");
    clients[5] = dup(listener);
    end();
}

/* Turns of the loop until the client has something to read; the pauses of the acceptor are real ones. */
static bool run_until_readable(int client) {
    time_t deadline = time(NULL) + 20;
    char byte;
    while (recv(client, &byte, 1, MSG_PEEK) < 0 && time(NULL) < deadline) {
        fake_clock.monotonic_us += SECOND / 10;
        uv_run(&loop, UV_RUN_ONCE);
    }
    return recv(client, &byte, 1, MSG_PEEK) == 1;
}

static void test_room_is_made_by_those_who_do_not_heed(void) {
    int waiting = crowd();
    ask(waiting, KEEP);
    CU_ASSERT(run_until_readable(waiting));
    CU_ASSERT_STRING_EQUAL(seen(waiting), "oe");
    CU_ASSERT_STRING_EQUAL(seen(clients[0]), "");
    CU_ASSERT_STRING_EQUAL(seen(clients[1]), "xx$");
    end();
}

static const struct unit_case CASES[] = {
    {"idle connections are told", test_idle_connections_are_told},
    {"fresh connections are served", test_fresh_connections_are_served},
    {"a request on its way is answered", test_a_request_on_its_way_is_answered},
    {"a parked request is answered", test_a_parked_request_is_answered},
    {"a request that crosses the record", test_a_request_that_crosses_the_record},
    {"a peer that does not heed the record", test_who_does_not_heed},
    {"a connection that is not kept", test_not_kept},
    {"the longest idle make room", test_room_is_made},
    {"a peer that does not heed makes room", test_room_is_made_by_those_who_do_not_heed},
};

int main(int argc, char *argv[]) {
    log_setup(LOG_ERROR, LOG_LOGFMT, STDERR_FILENO); /* that there is no room is expected */
    return unit_main(argc, argv, "farewell", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
