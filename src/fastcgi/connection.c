/* One FastCGI connection: bytes in, one request at a time to the handler. */
#include "inferonce/fastcgi/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fastcgi/server.h"
#include "inferonce/base/log.h"

#define RECEIVING_US (30ULL * 1000 * 1000)
#define IDLE_US      (300ULL * 1000 * 1000)

/* From the last byte that the socket took. How long a client may pause is for the web server to say, so this
 * is more than nginx (send_timeout, 60 s) and lighttpd (server.max-write-idle, 360 s) wait. */
#define WRITING_US (400ULL * 1000 * 1000)

/* Bytes that a connection keeps of the records of a request. */
#define RECORDS_KEEP (16 * 1024)

/* A peer that pipelines gets this many answers, then the others have their turn. */
#define REQUESTS_PER_TURN 16

/* Closed connections whose memory waits for the next ones. */
#define SPARE_MAX 256

/* Bytes that are read and thrown away before a close; what a correct server sends behind a request is
 * nothing. */
#define DRAIN_MAX (64 * 1024)

/* ---- life of a connection ---- */

void connection_free(struct connection *connection) {
    responder_destroy(&connection->responder);
    frame_fini(&connection->scanner);
    buffer_fini(&connection->input);
    output_fini(&connection->output);
    free(connection);
}

static struct connection *connection_allocate(struct fastcgi_server *server) {
    struct connection *connection = LIST_FIRST(&server->spare);
    if (connection) {
        LIST_REMOVE(connection, links);
        server->spare_count--;
        return connection;
    }
    connection = calloc(1, sizeof(*connection));
    if (!connection)
        return NULL;
    connection->responder = responder_create(&server->spare_body);
    if (!connection->responder) {
        free(connection);
        return NULL;
    }
    connection->server = server;
    frame_init(&connection->scanner, server->options.body_max);
    connection->scanner.asks = server->options.wants_parts != NULL;
    buffer_init(&connection->input, FRAME_RECORD_MAX);
    output_init(&connection->output, server->options.blobs);
    return connection;
}

static void connection_recycle(struct connection *connection) {
    struct fastcgi_server *server = connection->server;
    if (server->destroyed || server->spare_count >= SPARE_MAX) {
        connection_free(connection);
        return;
    }
    frame_next(&connection->scanner);
    buffer_reset(&connection->scanner.reply, 0);
    buffer_reset(&connection->input, 0);
    LIST_INSERT_HEAD(&server->spare, connection, links);
    server->spare_count++;
}

static void on_poll_closed(uv_handle_t *handle) {
    struct connection *connection = handle->data;
    struct fastcgi_server *server = connection->server;
    connection_recycle(connection);
    server->handle_closed(server);
}

/* Closes. Its memory stays until the loop has closed the handle, so a caller may still look at the phase. */
void connection_close(struct connection *connection) {
    struct fastcgi_server *server = connection->server;
    bool unanswered = connection->phase == SERVING;
    INVARIANT(connection->phase != CLOSED);
    connection->phase = CLOSED;
    LIST_REMOVE(connection, links);
    turn_forget(&connection->go_on);
    turn_forget(&connection->tell);
    /* uv_close takes the descriptor out of the loop at once; before that it must not be closed. */
    uv_close((uv_handle_t *)&connection->poll, on_poll_closed);
    close(connection->descriptor);
    output_reset(&connection->output); /* at once: others may wait for the room */
    acceptor_closed(server->acceptor);
    if (!unanswered)
        return;
    server->options.abandoned(server->options.user, &connection->request);
    responder_drop(connection->responder);
}

/* The answer is with the kernel. Were input left unread, close(2) would reset the connection and could take
 * the answer with it. */
static void connection_finish(struct connection *connection) {
    char dropped[4096];
    size_t drained = 0;
    ssize_t n;
    do {
        n = recv(connection->descriptor, dropped, sizeof(dropped), MSG_DONTWAIT);
        drained += n > 0 ? (size_t)n : 0;
    } while (n > 0 && drained < DRAIN_MAX);
    connection_close(connection);
}

static void connection_fail(struct connection *connection, const char *reason) {
    stats_count(connection->server->options.context->stats, STAT_protocol_errors);
    LOG(LOG_WARN, "fastcgi_connection_closed", LOG_TEXT("reason", reason));
    connection_close(connection);
}

void connection_fail_memory(struct connection *connection) {
    LOG(LOG_ERROR, "fastcgi_no_memory", LOG_NUMBER("descriptor", connection->descriptor));
    connection_close(connection);
}

/* ---- bytes out ---- */

static void on_event(uv_poll_t *poll, int status, int events);

/* Asking again for what is watched already would cost a system call each time. */
static void watch(struct connection *connection, int events) {
    if (connection->watched == events)
        return;
    INVARIANT(uv_poll_start(&connection->poll, events, on_event) == 0);
    connection->watched = events;
}

bool connection_push(struct connection *connection) {
    size_t taken;
    switch (output_write(&connection->output, connection->descriptor, &taken)) {
    case OUTPUT_WRITTEN:
        return true;
    case OUTPUT_WAITS:
        if (taken > 0)
            connection->since_us = connection_now_us(connection);
        return true;
    case OUTPUT_GONE:
        connection_close(connection);
        return false;
    case OUTPUT_NO_MEMORY:
        connection_fail_memory(connection);
        return false;
    }
    return false;
}

void connection_settle(struct connection *connection) {
    if (output_waits(&connection->output)) {
        if (connection->phase != WRITING)
            connection->since_us = connection_now_us(connection);
        connection->phase = WRITING;
        watch(connection, UV_WRITABLE);
        return;
    }
    if (connection->last) {
        connection_finish(connection);
        return;
    }
    connection->phase = READING;
    watch(connection, UV_READABLE);
    if (!connection->scanning && connection->input.length > 0)
        turn_in_next(connection->server->options.context->turn, &connection->go_on);
}

/* Whether a part of an answer waits for the socket. */
static bool part_waits(const struct connection *connection) {
    return connection->sends_part && output_waits(&connection->output);
}

void connection_attend(struct connection *connection) {
    int in = connection->input.length < FRAME_RECORD_MAX ? UV_READABLE : UV_DISCONNECT;
    watch(connection, part_waits(connection) ? in | UV_WRITABLE : in);
}

void connection_say(struct connection *connection, struct bytes records) {
    uint64_t idle_since_us = connection->since_us;
    INVARIANT(connection->phase == READING);
    if (!output_say(&connection->output, records)) {
        connection_fail_memory(connection);
        return;
    }
    if (connection_push(connection))
        connection_settle(connection);
    if (connection->phase == READING)
        connection->since_us = idle_since_us;
}

/* ---- bytes in ---- */

/* Sends what the scanner answers by itself. */
static bool send_reply(struct connection *connection) {
    struct buffer *reply = &connection->scanner.reply;
    bool said = output_say(&connection->output, buffer_bytes(reply));
    buffer_reset(reply, 0);
    if (!said) {
        connection_fail_memory(connection);
        return false;
    }
    return connection_push(connection);
}

/* Takes the request that was scanned through libfcgi. False: the connection was closed. */
static bool take_request(struct connection *connection, enum frame_status status) {
    struct frame_scanner *scanner = &connection->scanner;
    bool has_body = status == FRAME_REQUEST || status == FRAME_LARGE;
    size_t body_length = has_body ? scanner->body_length : 0;
    if (!responder_take(connection->responder, buffer_bytes(&scanner->out), body_length)) {
        connection_fail(connection, "libfcgi did not take the request");
        return false;
    }
    connection->request = (struct fastcgi_request){.params = responder_params(connection->responder),
                                                   .body = responder_body(connection->responder),
                                                   .body_too_large = status == FRAME_TOO_LARGE,
                                                   .params_too_large = status == FRAME_PARAMS_TOO_LARGE};
    return true;
}

static void serve(struct connection *connection) {
    struct fastcgi_server *server = connection->server;
    /* A request may be parked for long: a large one is not kept twice. */
    buffer_reset(&connection->scanner.out, RECORDS_KEEP);
    connection->phase = SERVING;
    connection->carried = true;
    connection->told = 0;
    connection->reads_on = false;
    server->options.handler(server->options.user, &connection->request);
}

/* A body that is longer than usual has begun. */
static void serve_large(struct connection *connection) {
    const struct fastcgi_options *options = &connection->server->options;
    if (!take_request(connection, FRAME_LARGE))
        return;
    bool parts = options->wants_parts(options->user, &connection->request);
    frame_decide(&connection->scanner, parts);
    if (parts) {
        connection->request.body_goes_on = true;
        serve(connection);
    } else {
        responder_drop(connection->responder);
    }
}

static void hand_part(struct connection *connection) {
    const struct fastcgi_options *options = &connection->server->options;
    connection->reads_on = false;
    options->part(options->user, &connection->request, connection->scanner.part,
                  connection->scanner.complete);
}

/* Whether the scanner may go on: not while a handler has not asked for the next part of a body. */
static bool may_scan(const struct connection *connection) {
    const struct frame_scanner *scanner = &connection->scanner;
    if (connection->phase == SERVING)
        return !scanner->parts || connection->reads_on || scanner->complete;
    return connection->phase == READING && !connection->last;
}

/* The web server ended a request itself, or began one that is not served. */
static void end_request(struct connection *connection) {
    struct fastcgi_server *server = connection->server;
    bool unanswered = connection->phase == SERVING;
    connection->phase = READING;
    connection->last = !connection->scanner.keep;
    connection->receiving = false;
    if (!unanswered)
        return;
    server->options.abandoned(server->options.user, &connection->request);
    responder_drop(connection->responder);
}

/* Does what one outcome of the scanner asks for. False: nothing more is scanned in this turn. */
static bool act(struct connection *connection, enum frame_status status) {
    if (status == FRAME_INVALID) {
        connection_fail(connection, "not FastCGI, or over its limits");
        return false;
    }
    if (status == FRAME_ENDED)
        end_request(connection);
    if (connection->scanner.reply.length > 0 && !send_reply(connection))
        return false;
    if (status == FRAME_LARGE)
        serve_large(connection);
    else if (status == FRAME_PART)
        hand_part(connection);
    else if (status == FRAME_REQUEST || status == FRAME_TOO_LARGE || status == FRAME_PARAMS_TOO_LARGE) {
        if (take_request(connection, status))
            serve(connection);
    }
    return status != FRAME_INCOMPLETE && may_scan(connection);
}

/* Scans `bytes` and hands out what is complete; returns how many of them are done with. A handler that
 * answers at once brings the connection back to READING, so what a peer has pipelined is a loop here, not a
 * recursion. */
static size_t scan(struct connection *connection, struct bytes bytes, bool *more) {
    size_t used = 0;
    unsigned requests = 0;
    bool goes_on = may_scan(connection);
    connection->scanning = true;
    while (goes_on && requests++ < REQUESTS_PER_TURN) {
        size_t n = 0;
        struct bytes rest = {bytes.data + used, bytes.length - used};
        enum frame_status status = frame_scan(&connection->scanner, rest, &n);
        used += n;
        goes_on = act(connection, status);
    }
    connection->scanning = false;
    *more = goes_on && used < bytes.length;
    return used;
}

static void note_receiving(struct connection *connection) {
    bool receiving = connection->scanner.id != 0 || connection->input.length > 0;
    if (receiving && !connection->receiving)
        connection->since_us = connection_now_us(connection);
    connection->receiving = receiving;
}

/* Scans `bytes`, which are the input buffer's or new ones before which there are none, and keeps what is
 * left. */
static void take_input(struct connection *connection, struct bytes bytes) {
    bool more;
    size_t used = scan(connection, bytes, &more);
    if (connection->phase == CLOSED)
        return;
    if (bytes.data == connection->input.data) {
        buffer_consume(&connection->input, used);
        if (connection->input.length == 0)
            buffer_reset(&connection->input, 0);
    } else {
        buffer_append(&connection->input, bytes.data + used, bytes.length - used);
        if (connection->input.failed) {
            connection_fail_memory(connection);
            return;
        }
    }
    if (connection->phase == SERVING) {
        connection_attend(connection);
    } else if (connection->phase == READING) {
        note_receiving(connection);
        if (output_waits(&connection->output) || connection->last)
            connection_settle(connection);
        else if (more)
            turn_in_next(connection->server->options.context->turn, &connection->go_on);
    }
}

/* The peer has closed its end. While a request is with the handler it is abandoned: nginx closes both ways at
 * once when its client has left. */
static void peer_left(struct connection *connection) {
    if (connection->phase == READING && connection->receiving)
        connection_fail(connection, "cut off in a request");
    else
        connection_close(connection);
}

/* One read per event: what is left in the socket makes the next event. */
static void receive(struct connection *connection) {
    struct fastcgi_server *server = connection->server;
    struct buffer *input = &connection->input;
    char *to = server->scratch;
    size_t room = FRAME_RECORD_MAX - input->length;
    if (turn_is_scheduled(&connection->go_on) || room == 0)
        return;
    if (input->length > 0) {
        to = buffer_reserve(input, room);
        if (!to) {
            connection_fail_memory(connection);
            return;
        }
    }
    ssize_t n = read(connection->descriptor, to, room);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        peer_left(connection);
        return;
    }
    if (input->length > 0) {
        input->length += (size_t)n;
        take_input(connection, buffer_bytes(input));
    } else {
        take_input(connection, (struct bytes){to, (size_t)n});
    }
}

/* Tells the handler when a part of its answer is written. False: the connection serves no more. */
static bool tell_written(struct connection *connection) {
    const struct fastcgi_options *options = &connection->server->options;
    if (output_waits(&connection->output))
        return true;
    connection->sends_part = false;
    connection_attend(connection);
    options->written(options->user, &connection->request);
    return connection->phase == SERVING;
}

static void on_event(uv_poll_t *poll, int status, int events) {
    struct connection *connection = poll->data;
    if (connection->phase == CLOSED)
        return;
    if (status < 0 || events & UV_DISCONNECT) {
        peer_left(connection);
        return;
    }
    if (connection->phase == WRITING) {
        if (connection_push(connection))
            connection_settle(connection);
        return;
    }
    if (events & UV_WRITABLE && part_waits(connection) &&
        (!connection_push(connection) || !tell_written(connection)))
        return;
    if (events & UV_READABLE)
        receive(connection);
}

static void on_tell(void *user) {
    (void)tell_written(user);
}

static void on_go_on(void *user) {
    struct connection *connection = user;
    take_input(connection, buffer_bytes(&connection->input));
}

void connection_open(struct fastcgi_server *server, int descriptor) {
    struct connection *connection = connection_allocate(server);
    if (!connection || uv_poll_init(server->options.context->loop, &connection->poll, descriptor) != 0) {
        LOG(LOG_ERROR, "fastcgi_connection_refused", LOG_NUMBER("descriptor", descriptor));
        if (connection)
            connection_recycle(connection);
        close(descriptor);
        acceptor_closed(server->acceptor);
        return;
    }
    server->handles++;
    connection->poll.data = connection;
    connection->go_on = (struct turn_task){.run = on_go_on, .user = connection};
    connection->tell = (struct turn_task){.run = on_tell, .user = connection};
    connection->descriptor = descriptor;
    connection->phase = READING;
    connection->watched = 0;
    connection->receiving = false;
    connection->last = false;
    connection->sends_part = false;
    connection->carried = false;
    connection->told = 0;
    connection->since_us = connection_now_us(connection);
    LIST_INSERT_HEAD(&server->open, connection, links);
    watch(connection, UV_READABLE);
}

bool connection_busy(const struct connection *connection) {
    return connection->phase != READING || connection->receiving;
}

void connection_sweep(struct connection *connection, uint64_t now) {
    bool idle = connection->phase == READING && !connection->receiving;
    bool writing = connection->phase == WRITING || connection->sends_part;
    bool waits = connection->phase != SERVING || connection->sends_part || connection->reads_on;
    uint64_t limit_us = idle ? IDLE_US : writing ? WRITING_US : RECEIVING_US;
    if (!waits || now < connection->since_us || now - connection->since_us < limit_us)
        return;
    if (idle)
        connection_close(connection);
    else
        connection_fail(connection, writing ? "answer not taken" : "request not completed");
}
