/* A FastCGI server in a loop of its own with a handler that answers or parks, and the web servers at it. */
#ifndef INFERONCE_TESTS_CONNECTION_RIG_H
#define INFERONCE_TESTS_CONNECTION_RIG_H

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "inferonce/fastcgi/connection.h"
#include "records.h"
#include "unit.h"

#define BODY_MAX (2 << 20)
#define SECOND   (1000ULL * 1000)

/* The handler's way with a request. */
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
/* The server is told to use these for requests and answers in parts. */
static fastcgi_wants_parts wants_parts;
static fastcgi_part take_part;
static fastcgi_written note_written;

static inline const char *param(const struct fastcgi_request *request, const char *name) {
    size_t length = strlen(name);
    for (char *const *at = request->params; *at; at++)
        if (strncmp(*at, name, length) == 0 && (*at)[length] == '=')
            return *at + length + 1;
    return "(none)";
}

/* Answers with the path, a line feed and the body. */
static inline void echo(struct fastcgi_request *request) {
    const struct piece pieces[] = {
        {bytes_of(param(request, "PATH")), NULL}, {bytes_of("\n"), NULL}, {request->body, NULL}};
    fastcgi_respond(request, pieces, 3);
}

static inline void on_request(void *user, struct fastcgi_request *request) {
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

static inline void on_abandoned(void *user, struct fastcgi_request *request) {
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

static inline void begin(enum manner wanted) {
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
                                            .wants_parts = wants_parts,
                                            .part = take_part,
                                            .written = note_written,
                                            .user = &server};
    server = fastcgi_server_create(&options, &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(server);
}

static inline void end(void) {
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
static inline bool run_until(const unsigned *counter, unsigned value) {
    time_t deadline = time(NULL) + 20;
    while (*counter < value && time(NULL) < deadline)
        uv_run(&loop, UV_RUN_NOWAIT);
    return *counter == value;
}

static inline bool run_until_busy(size_t busy) {
    time_t deadline = time(NULL) + 20;
    while (fastcgi_server_busy(server) != busy && time(NULL) < deadline)
        uv_run(&loop, UV_RUN_NOWAIT);
    return fastcgi_server_busy(server) == busy;
}

static inline void on_over(uv_timer_t *timer) {
    *(bool *)timer->data = true;
}

/* The sweep is a timer of the loop, once a second: one that was started later and takes longer. */
static inline void wait_for_a_sweep(void) {
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

static inline void client_connect(struct client *client) {
    *client = (struct client){.descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)};
    CU_ASSERT_EQUAL_FATAL(connect(client->descriptor, (struct sockaddr *)&address, address_length), 0);
    buffer_init(&client->to_send, 64 << 20);
    buffer_init(&client->received, 64 << 20);
}

static inline void client_close(struct client *client) {
    if (client->descriptor >= 0)
        close(client->descriptor);
    client->descriptor = -1;
    buffer_fini(&client->to_send);
    buffer_fini(&client->received);
}

static inline void client_push(struct client *client) {
    if (client->to_send.length == 0)
        return;
    ssize_t n = send(client->descriptor, client->to_send.data, client->to_send.length, MSG_NOSIGNAL);
    if (n > 0)
        buffer_consume(&client->to_send, (size_t)n);
}

static inline void client_pull(struct client *client) {
    char *to = buffer_reserve(&client->received, 65536);
    CU_ASSERT_PTR_NOT_NULL_FATAL(to);
    ssize_t n = recv(client->descriptor, to, 65536, 0);
    if (n > 0)
        client->received.length += (size_t)n;
    client->ended = n == 0 || (n < 0 && errno == ECONNRESET);
}

static inline bool client_send(struct client *client) {
    time_t deadline = time(NULL) + 20;
    while (client->to_send.length > 0 && time(NULL) < deadline) {
        client_push(client);
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    return client->to_send.length == 0;
}

static inline bool take_record(struct client *client, struct seen_record *record, struct buffer *content) {
    if (!see_record(buffer_bytes(&client->received), record))
        return false;
    buffer_append_bytes(content, record->content);
    buffer_consume(&client->received, record->size);
    return true;
}

/* Sends what is to be sent while taking what comes, up to the next record. */
static inline int client_next_record(struct client *client, struct buffer *content) {
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

static inline bool client_sees_end(struct client *client) {
    time_t deadline = time(NULL) + 20;
    while (!client->ended && time(NULL) < deadline) {
        uv_run(&loop, UV_RUN_NOWAIT);
        client_pull(client);
    }
    return client->ended;
}

/* All of STDOUT up to END_REQUEST equals `expected`. */
static inline bool client_gets(struct client *client, struct bytes expected) {
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

static inline bool client_gets_text(struct client *client, const char *text) {
    return client_gets(client, bytes_of(text));
}

static inline void client_ask(struct client *client, int flags, const char *path, const char *body) {
    put_request(&client->to_send, 1, flags, path, bytes_of(body));
}

static inline char *patterned(size_t length) {
    char *bytes = malloc(length);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (char)(i * 31 % 251);
    return bytes;
}

#endif
