/* All connections of a worker. */
#include "fastcgi/server.h"

#include <fcgiapp.h>
#include <limits.h>
#include <stdlib.h>

#include "fastcgi/oslayer.h"

#define SWEEP_MS   1000
#define BODY_LIMIT (1024 * 1024 * 1024)

/* Every handle of the server ends here; with the last one it ends itself. */
static void handle_closed(struct fastcgi_server *server) {
    server->handles--;
    if (!server->destroyed || server->handles > 0)
        return;
    while (!LIST_EMPTY(&server->spare)) {
        struct connection *connection = LIST_FIRST(&server->spare);
        LIST_REMOVE(connection, links);
        connection_free(connection);
    }
    buffer_fini(&server->spare_body);
    free(server);
}

static void on_sweep(uv_timer_t *timer) {
    struct fastcgi_server *server = timer->data;
    uint64_t now = clock_monotonic_us(server->options.context->clock);
    struct connection *next;
    for (struct connection *connection = LIST_FIRST(&server->open); connection; connection = next) {
        next = LIST_NEXT(connection, links);
        connection_sweep(connection, now);
    }
}

static void on_accepted(void *user, int descriptor) {
    struct fastcgi_server *server = user;
    server->crowded_since_us = 0;
    connection_open(server, descriptor);
}

static void on_short(void *user) {
    drain_make_room(user);
}

struct fastcgi_server *fastcgi_server_create(const struct fastcgi_options *options, struct error *error) {
    INVARIANT(options->body_max < BODY_LIMIT);
    if (FCGX_Init() != 0) {
        error_set(error, "libfcgi cannot be initialised");
        return NULL;
    }
    if (!oslayer_is_ours(error))
        return NULL;
    struct fastcgi_server *server = calloc(1, sizeof(*server));
    if (!server) {
        error_set(error, "out of memory");
        return NULL;
    }
    server->options = *options;
    buffer_init(&server->spare_body, INT_MAX);
    server->handle_closed = handle_closed;
    const struct acceptor_options acceptor = {.context = options->context,
                                              .listener = options->listener,
                                              .descriptors_reserved = options->descriptors_reserved,
                                              .accepted = on_accepted,
                                              .short_of_room = on_short,
                                              .user = server};
    server->acceptor = acceptor_create(&acceptor, error);
    if (!server->acceptor) {
        free(server);
        return NULL;
    }
    INVARIANT(uv_timer_init(options->context->loop, &server->sweep) == 0);
    server->sweep.data = server;
    server->handles = 1;
    INVARIANT(uv_timer_start(&server->sweep, on_sweep, SWEEP_MS, SWEEP_MS) == 0);
    return server;
}

void fastcgi_server_stop_accepting(struct fastcgi_server *server) {
    acceptor_stop(server->acceptor);
}

bool fastcgi_server_is_empty(const struct fastcgi_server *server) {
    return LIST_EMPTY(&server->open);
}

size_t fastcgi_server_busy(const struct fastcgi_server *server) {
    size_t busy = 0;
    for (struct connection *at = LIST_FIRST(&server->open); at; at = LIST_NEXT(at, links))
        busy += connection_busy(at);
    return busy;
}

static void on_handle_closed(uv_handle_t *handle) {
    handle_closed(handle->data);
}

void fastcgi_server_destroy(struct fastcgi_server **server) {
    struct fastcgi_server *ending = *server;
    if (!ending)
        return;
    *server = NULL;
    while (!LIST_EMPTY(&ending->open))
        connection_close(LIST_FIRST(&ending->open));
    acceptor_destroy(&ending->acceptor);
    ending->destroyed = true;
    uv_close((uv_handle_t *)&ending->sweep, on_handle_closed);
}
