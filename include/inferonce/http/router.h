/* Method and path to handler.
 *
 * What is wrong with a request is answered in this order: 431, 404, 501, 405, who may (401, 403), 413, 415,
 * 400. Paths are compared as they came, byte by byte.
 *
 * The routes are a table. The router answers by itself what no handler needs to know of: HEAD where there is
 * GET, OPTIONS (204 and Allow), 405 with Allow, 501, 404, who may use admin routes (401, 403), and for routes
 * with a body 413, 415 and a body cut short (400, unless it comes in parts). */
#ifndef INFERONCE_HTTP_ROUTER_H
#define INFERONCE_HTTP_ROUTER_H

#include "inferonce/http/exchange.h"

enum route_flags {
    ROUTE_OPEN = 0,
    ROUTE_ADMIN =
        1,          /* bearer token, or clients on this machine when there is none; never stored by a cache */
    ROUTE_JSON = 2, /* has a body, which must be JSON by its Content-Type */
    ROUTE_LINES = 8, /* has a body of JSON lines of any length, which may come in parts (exchange.h) */
    ROUTE_PAGE =
        4 /* with ROUTE_ADMIN: HTML that holds no secret. A browser cannot send a bearer token with the
             first request of a page, so who may not, but would rather read HTML than a problem, gets
             the page as the body of the 401 or 403: the handler is called with exchange->refused set */
};

struct route {
    enum method method;
    const char *path; /* "/cache/{key}": the last segment may be a parameter, which matches one non-empty
                         segment without '/' */
    unsigned flags;
    void (*handle)(struct exchange *exchange, struct bytes parameter, void *context);
    enum counted_path counted_as; /* the same for each row of a path */
};

struct router {
    const struct route *routes; /* borrowed; an exact path wins over one with a parameter */
    size_t n;
    void *context;            /* handed to the handlers */
    struct bytes admin_token; /* borrowed; empty: only for clients on this machine that ask it by a loopback
                                 name, without a proxy between */
};

/* Whether a request whose body is too long to be handed over in one piece is answered by a handler that takes
 * it in parts: not one that is refused anyway. */
bool router_takes_parts(const struct router *router, const struct request *request);

/* The WWW-Authenticate of every 401. */
#define ROUTER_CHALLENGE "Bearer realm=\"inferonce\""

/* Answers the exchange or hands it to a route's handler, which does. `parameter` is borrowed from the
 * request. */
void router_dispatch(const struct router *router, struct exchange *exchange);

#endif
