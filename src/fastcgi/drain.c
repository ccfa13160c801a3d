/* Has the peers of idle connections end them: all in a drain, some where others wait for room. */
#include <errno.h>
#include <sys/socket.h>

#include "fastcgi/server.h"

/* Told on an idle connection no more often than that for one request: the second time is for a peer whose
 * read of the last answer ended just before the record behind it. */
#define TELL_MAX 2

/* Connections that are told to make room in one turn. */
#define ROOM_BURST 16

/* Whether it has carried a request and waits for the next one, of which nothing has arrived. A connection
 * that has carried none is left alone: no web server sends a request anew that it lost on one. */
static bool is_idle(const struct connection *connection) {
    char byte;
    if (connection->phase != READING || !connection->carried || connection->receiving ||
        turn_is_scheduled(&connection->go_on))
        return false;
    return recv(connection->descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/* Tells an idle connection's peer, or closes it where the peer has not heeded. May close it; leaves the
 * others alone. */
static void tell(struct connection *connection, uint64_t now_us) {
    if (!is_idle(connection))
        return;
    if (connection->told < TELL_MAX) {
        farewell_note(connection, now_us);
        connection_say(connection, FAREWELL);
    } else if (farewell_is_over(connection->told_us, now_us)) {
        connection_close(connection);
    }
}

void fastcgi_server_drain(struct fastcgi_server *server) {
    uint64_t now_us = clock_monotonic_us(server->options.context->clock);
    struct connection *next;
    if (!server->draining)
        server->draining_since_us = now_us;
    server->draining = true;
    for (struct connection *connection = LIST_FIRST(&server->open); connection; connection = next) {
        next = LIST_NEXT(connection, links);
        tell(connection, now_us);
    }
}

/* Puts it among the `n` that have been idle for longest, which are in order, unless those are full of longer
 * idle ones. Returns their number. */
static size_t insert(struct connection **longest, size_t n, struct connection *connection) {
    size_t at = n < ROOM_BURST ? n : ROOM_BURST - 1;
    if (n == ROOM_BURST && longest[at]->since_us <= connection->since_us)
        return n;
    for (; at > 0 && longest[at - 1]->since_us > connection->since_us; at--)
        longest[at] = longest[at - 1];
    longest[at] = connection;
    return n < ROOM_BURST ? n + 1 : n;
}

void drain_make_room(struct fastcgi_server *server) {
    struct connection *longest[ROOM_BURST] = {NULL};
    uint64_t now_us = clock_monotonic_us(server->options.context->clock);
    size_t n = 0;
    if (server->crowded_since_us == 0)
        server->crowded_since_us = now_us;
    for (struct connection *at = LIST_FIRST(&server->open); at; at = LIST_NEXT(at, links))
        if (at->phase == READING && at->carried && !at->receiving)
            n = insert(longest, n, at);
    for (size_t i = 0; i < n; i++)
        tell(longest[i], now_us);
}
