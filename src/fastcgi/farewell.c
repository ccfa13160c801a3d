/* Has peers end kept connections, so that none is closed under a request that is on its way.
 *
 * The record is an empty piece of STDERR for request 1, which a web server skips where it waits for an
 * answer. On an idle connection it is unexpected input, and behind an answer it is input that follows the
 * end: nginx does not use such a connection again and closes it. A close by us, before the peer knows, would
 * cross requests that it sends meanwhile. */
#include <errno.h>
#include <sys/socket.h>

#include "inferonce/fastcgi/server.h"

/* Told on an idle connection no more often than that for one request: the second time is for a peer whose
 * read of the last answer ended just before the record behind it. */
#define TELL_MAX 2

/* A peer that knows the record has closed within milliseconds. One that still has the connection now does not
 * know it. */
#define HEED_US (1000 * 1000)

/* Connections that are told to make room in one turn. */
#define ROOM_BURST 16

static const char RECORD[8] = {1, 7, 0, 1, 0, 0, 0, 0};

static bool is_over(uint64_t since_us, uint64_t now_us) {
    return now_us >= since_us && now_us - since_us >= HEED_US;
}

static void note_told(struct connection *connection, uint64_t now_us) {
    connection->told++;
    connection->told_us = now_us;
}

void farewell_answer(struct connection *connection, uint64_t now_us) {
    struct fastcgi_server *server = connection->server;
    bool crowded = acceptor_is_short(server->acceptor);
    if ((!server->draining && !crowded) || !connection->scanner.keep ||
        !output_say(&connection->output, (struct bytes){RECORD, sizeof(RECORD)}))
        return;
    note_told(connection, now_us);
    /* The peer may not know the record: it would go on for ever. Behind the answer a close is safest. */
    if (is_over(server->draining ? server->draining_since_us : server->crowded_since_us, now_us))
        connection->last = true;
}

/* Whether it has carried a request and waits for the next one, of which nothing has arrived. A connection
 * that has carried none is left alone: no web server sends a request anew that it lost on one. */
static bool is_idle(const struct connection *connection) {
    char byte;
    if (connection->phase != READING || !connection->carried || connection->receiving || connection->pending)
        return false;
    return recv(connection->descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/* Tells an idle connection's peer, or closes it where the peer has not heeded. May close it; leaves the
 * others alone. */
static void tell(struct connection *connection, uint64_t now_us) {
    if (!is_idle(connection))
        return;
    if (connection->told < TELL_MAX) {
        note_told(connection, now_us);
        connection_say(connection, (struct bytes){RECORD, sizeof(RECORD)});
    } else if (is_over(connection->told_us, now_us)) {
        connection_close(connection);
    }
}

void fastcgi_server_drain(struct fastcgi_server *server) {
    uint64_t now_us = clock_monotonic_us(server->options.clock);
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

void farewell_make_room(struct fastcgi_server *server) {
    struct connection *longest[ROOM_BURST] = {NULL};
    uint64_t now_us = clock_monotonic_us(server->options.clock);
    size_t n = 0;
    if (server->crowded_since_us == 0)
        server->crowded_since_us = now_us;
    for (struct connection *at = LIST_FIRST(&server->open); at; at = LIST_NEXT(at, links))
        if (at->phase == READING && at->carried && !at->receiving)
            n = insert(longest, n, at);
    for (size_t i = 0; i < n; i++)
        tell(longest[i], now_us);
}
