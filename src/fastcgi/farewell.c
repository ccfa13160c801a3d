/* Has peers end kept connections, so that none is closed under a request that is on its way.
 *
 * The record is an empty piece of STDERR for request 1, which a web server skips where it waits for an
 * answer. On an idle connection it is unexpected input, and behind an answer it is input that follows the
 * end: nginx does not use such a connection again and closes it. A close by us, before the peer knows, would
 * cross requests that it sends meanwhile. */
#include "fastcgi/server.h"

/* A peer that knows the record has closed within milliseconds. One that still has the connection now does not
 * know it. */
#define HEED_US (1000 * 1000)

const struct bytes FAREWELL = {"\1\7\0\1\0\0\0", 8};

bool farewell_is_over(uint64_t since_us, uint64_t now_us) {
    return now_us >= since_us && now_us - since_us >= HEED_US;
}

void farewell_note(struct connection *connection, uint64_t now_us) {
    connection->told++;
    connection->told_us = now_us;
}

void farewell_answer(struct connection *connection, uint64_t now_us) {
    struct fastcgi_server *server = connection->server;
    bool crowded = acceptor_is_short(server->acceptor);
    if ((!server->draining && !crowded) || !connection->scanner.keep ||
        !output_say(&connection->output, FAREWELL))
        return;
    farewell_note(connection, now_us);
    /* The peer may not know the record: it would go on for ever. Behind the answer a close is safest. */
    if (farewell_is_over(server->draining ? server->draining_since_us : server->crowded_since_us, now_us))
        connection->last = true;
}
