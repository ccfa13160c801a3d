/* FastCGI connections on the worker's loop: bytes in, one complete request at a time out, the answer's bytes
 * back.
 *
 * Non-blocking throughout. A peer that is slow, silent, cuts off or lies costs its own connection only:
 *   - a request that is not complete 30 s after its first byte, or an answer of which the peer takes nothing
 *     for 400 s, closes the connection: longer than web servers wait for a client that pauses;
 *   - an idle kept connection is closed after 300 s, later than nginx's keepalive_timeout (60 s), because a
 *     POST that nginx sends on a connection we are closing becomes a 502;
 *   - at the limit of connections, and while it drains, peers are told to end kept connections: by an empty
 *     STDERR record on an idle one and behind each answer. A web server does not use such a connection again
 *     and closes it. One that does not know the record loses the connection a second later, while it is idle
 *     or right behind an answer;
 *   - while a request is being answered nothing more is read beyond one input buffer;
 *   - new connections are taken as long as descriptors are left (RLIMIT_NOFILE less a reserve); then they
 *     wait in the backlog until one of those that have been idle for longest has ended.
 *
 * Kept connections do not spread over the workers by themselves. The worker whose count in the scoreboard is
 * clearly above the mean of those that live leaves the listener alone for some milliseconds, so that another
 * one takes the connection (fastcgi/acceptor.h).
 *
 *   READING  collects a request             -> SERVING
 *                                           -> WRITING  a reply to the server itself
 *                                           -> CLOSED
 *   SERVING  a request is with the handler, which may send parts of its answer, and be sent parts of its body
 *                                           -> READING, WRITING
 *                                           -> CLOSED   peer gone: it is abandoned
 *   WRITING  what the socket did not take   -> READING  kept
 *                                           -> CLOSED
 */
#ifndef INFERONCE_FASTCGI_CONNECTION_H
#define INFERONCE_FASTCGI_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "inferonce/base/blob.h"
#include "inferonce/base/buffer.h"
#include "inferonce/base/context.h"

struct fastcgi_request {
    char *const *params;   /* "NAME=value", NULL-terminated, as sent (one name may stand several times),
                              libfcgi's FCGI_ROLE before them; borrowed until the answer */
    struct bytes body;     /* all of STDIN, or the beginning of it; borrowed until the answer */
    bool body_goes_on;     /* the rest comes in parts, each when fastcgi_read_on asks for it */
    bool body_too_large;   /* STDIN passed body_max and was dropped */
    bool params_too_large; /* PARAMS passed FRAME_PARAMS_MAX: they were dropped, and so was the body */
    void *user;            /* the handler's own */
};

/* A request is complete. The handler answers it with fastcgi_respond, exactly once, now or later, unless it
 * is told before that the peer has left. It must not destroy the server. */
typedef void (*fastcgi_handler)(void *user, struct fastcgi_request *request);

/* The peer of a request that was not answered yet has left (closed its end, or half of it), or the web server
 * aborted it. The request and all it lent are gone when this returns; it must not be answered. */
typedef void (*fastcgi_abandoned)(void *user, struct fastcgi_request *request);

/* A body is longer than body_max: whether the handler takes it in parts. False: it is dropped, and the
 * request comes with body_too_large when it has ended. The request is lent for the call. */
typedef bool (*fastcgi_wants_parts)(void *user, const struct fastcgi_request *request);

/* The next part of a body, borrowed for the call; with `last` it is empty, and the body has ended. */
typedef void (*fastcgi_part)(void *user, struct fastcgi_request *request, struct bytes part, bool last);

/* The part of the answer that was sent last is with the socket. */
typedef void (*fastcgi_written)(void *user, struct fastcgi_request *request);

struct fastcgi_options {
    const struct context *context; /* without `shared` there is no balancing */
    int listener;                  /* borrowed; made non-blocking */
    size_t body_max;               /* below 1 GB */
    uint64_t descriptors_reserved; /* that connections must leave free */
    struct blobs *blobs;           /* borrowed until the loop has closed the handles */
    fastcgi_handler handler;
    fastcgi_abandoned abandoned;
    fastcgi_wants_parts wants_parts; /* NULL: no body is taken in parts */
    fastcgi_part part;
    fastcgi_written written; /* NULL: no answer is sent in parts */
    void *user;
};

struct fastcgi_server;

/* Calls FCGX_Init (which takes over SIGPIPE, SIGUSR1 and SIGTERM: install handlers after it), asserts that
 * the OS layer is ours, starts accepting. NULL: error tells why. Returns owned. */
struct fastcgi_server *fastcgi_server_create(const struct fastcgi_options *options, struct error *error);

/* Answers: `pieces` one after the other are what goes to STDOUT (CGI header, blank line, body). They may lie
 * in what the request lent. The bytes are written before this returns as far as the socket takes them; of the
 * rest, pieces that lie in blobs are kept by a reference, others are copied. The request and all it lent are
 * gone when this returns. */
void fastcgi_respond(struct fastcgi_request *request, const struct piece *pieces, size_t n);

/* Sends the next part of an answer, whose length is not known before; none is under way. The bytes, at least
 * one, are borrowed until `written` was called, in a later turn of the loop, or the request was abandoned.
 * How much waits for a client that is slow is thereby the handler's to decide. The end is fastcgi_respond,
 * with the last pieces or none, when no part is under way. False: the peer is gone, the request was
 * abandoned, and is gone when this returns. */
bool fastcgi_send_part(struct fastcgi_request *request, struct bytes part) MUST_CHECK;

/* Asks for the next part of a body that goes on; `part` is called once for it, in a later turn. Until then
 * the peer is not read from, but for what one input buffer takes. */
void fastcgi_read_on(struct fastcgi_request *request);

/* Answers up to this length are taken even when the worker holds as much as it may: the limit of connections
 * times this is little. */
#define FASTCGI_ALWAYS_TAKEN (64u * 1024)

/* Whether the worker may hold `length` bytes more until they are read. Where it may not, an answer with so
 * many that lie in no blob closes the connection if its peer does not read it at once. */
bool fastcgi_has_room(struct fastcgi_request *request, uint64_t length);

/* The body and what else only reading it needed are given back; the parameters stay. For a request that waits
 * and whose body is not needed any more. */
void fastcgi_forget_body(struct fastcgi_request *request);

/* Stops accepting, for good; what is connected is served on, kept connections too. */
void fastcgi_server_stop_accepting(struct fastcgi_server *server);

/* After that: has peers end their connections without losing a request. To be called again every 20 ms until
 * the server is empty. A connection that has not carried a request yet is served, and never closed. */
void fastcgi_server_drain(struct fastcgi_server *server);

/* Whether no connection is open. */
bool fastcgi_server_is_empty(const struct fastcgi_server *server);

/* Connections with a request that was received, in part or whole, and not answered and written yet. */
size_t fastcgi_server_busy(const struct fastcgi_server *server);

/* Closes everything, abandoning what was not answered; the loop must be run once more for the handles to
 * close. Nulls the pointer. */
void fastcgi_server_destroy(struct fastcgi_server **server);

#endif
