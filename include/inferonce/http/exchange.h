/* One request and its response, on its way through the handlers.
 *
 *   BEGUN      exchange_begin; a handler has it          -> STREAMING, SENT, LEFT
 *   STREAMING  by exchange_stream: the answer goes out in parts of a length that is not known before
 *                                                        -> SENT, LEFT
 *   SENT       by exchange_send, exchange_send_pieces, exchange_problem or exchange_end; gone when that returns
 *   LEFT       the client left before: exchange_abandon calls `abandoned`, if it is set; gone when that returns
 *
 * Exchanges are pooled with their buffers. Every other answer has the Content-Length of its body; one that
 * cannot be built (no memory, or past the limits of http/response.h) becomes a 500. */
#ifndef INFERONCE_HTTP_EXCHANGE_H
#define INFERONCE_HTTP_EXCHANGE_H

#include <sys/queue.h>

#include "inferonce/base/stats.h"
#include "inferonce/fastcgi/connection.h"
#include "inferonce/http/problem.h"
#include "inferonce/http/request.h"
#include "inferonce/http/response.h"

struct exchange {
    struct request request;
    struct response response;
    struct buffer scratch; /* the handler's, for what must live as long as the exchange; empty at the start */
    void *state;           /* the handler's own; NULL at the start */
    void (*abandoned)(struct exchange *exchange); /* set by a handler that answers later */
    void (*written)(struct exchange *exchange);   /* set by a handler that streams */
    /* Set by a handler whose request goes on (request.body_goes_on). */
    void (*part)(struct exchange *exchange, struct bytes part, bool last);
    bool head;              /* HEAD: the body is measured but not sent */
    bool no_store;          /* the answer gets Cache-Control: no-store, as every error does */
    int refused;            /* 401 or 403: the handler of a ROUTE_PAGE is to answer with this; 0 otherwise */
    enum counted_path path; /* the router's: the answer is counted under it */

    /* private to exchange.c */
    struct fastcgi_request *transport;
    struct exchange_pool *pool;
    SLIST_ENTRY(exchange) links;
};

struct exchange_pool;

/* `stats` is borrowed; counts `requests`, the responses and `rejected_requests`. Returns owned; NULL: no
 * memory. */
struct exchange_pool *exchange_pool_create(struct stats *stats);

/* After the FastCGI server, so that every exchange was answered or abandoned. */
void exchange_pool_destroy(struct exchange_pool **pool);

/* Takes a received request and sets transport->user. NULL when there is no memory; the request was answered
 * (500) then. */
struct exchange *exchange_begin(struct exchange_pool *pool, struct fastcgi_request *transport);

/* The transport says that the client has left. */
void exchange_abandon(struct exchange *exchange);

/* Sends exchange->response, which was started, with response.body as the body. */
void exchange_send(struct exchange *exchange);

/* The same with a body of several pieces, borrowed for the call. HEAD, 204 and 304 send none of it. Where
 * too much waits for clients to read it, a large body that lies in no blob becomes a 503. */
void exchange_send_pieces(struct exchange *exchange, const struct piece *pieces, size_t n);

/* Sends the head of exchange->response, which was started, without a Content-Length: parts follow. `written`
 * is called in a later turn, after this and each part: then the next one may be sent. False: nobody reads on,
 * since the client has left, wanted nothing but the head, or there was no memory; `abandoned` was called, and
 * the exchange is gone. */
bool exchange_stream(struct exchange *exchange);

/* Sends a part, of one byte at least, which is borrowed until `written`. False: the client has left, as
 * above. */
bool exchange_send_part(struct exchange *exchange, struct bytes part);

/* The end of a stream, when the last part is written. */
void exchange_end(struct exchange *exchange);

/* Asks for the next part of a body that goes on: `part` is called once, in a later turn; with `last` the part
 * is empty, and the body has ended. */
void exchange_read_on(struct exchange *exchange);

/* For the transport: a part was written, or has come. */
void exchange_written(struct exchange *exchange);
void exchange_part(struct exchange *exchange, struct bytes part, bool last);

/* For a handler that answers later: the request's body and `scratch` are given back, the rest stays. */
void exchange_forget_body(struct exchange *exchange);

/* Sends a problem and nothing else. */
void exchange_problem(struct exchange *exchange, enum problem problem, const char *detail,
                      const char *pointer);

#endif
