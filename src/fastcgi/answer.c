/* The handler's side of a connection: answers, in one piece or in parts, and the rest of long bodies. */
#include "fastcgi/server.h"

static struct connection *connection_of(struct fastcgi_request *request) {
    return (struct connection *)(void *)request; /* its first member */
}

bool fastcgi_has_room(struct fastcgi_request *request, uint64_t length) {
    return length <= FASTCGI_ALWAYS_TAKEN ||
           blobs_have_room(connection_of(request)->server->options.blobs, length);
}

void fastcgi_forget_body(struct fastcgi_request *request) {
    struct connection *connection = connection_of(request);
    INVARIANT(connection->phase == SERVING);
    responder_forget_body(connection->responder);
    request->body = (struct bytes){NULL, 0};
}

void fastcgi_respond(struct fastcgi_request *request, const struct piece *pieces, size_t n) {
    struct connection *connection = connection_of(request);
    INVARIANT(connection->phase == SERVING);
    bool whole = output_answer(&connection->output, connection->scanner.id, pieces, n);
    connection->phase = WRITING;
    connection->last = !connection->scanner.keep;
    connection->receiving = false;
    connection->since_us = connection_now_us(connection);
    farewell_answer(connection, connection->since_us);
    frame_next(&connection->scanner);
    if (!whole)
        connection_fail_memory(connection);
    else
        whole = connection_push(connection);
    responder_drop(connection->responder); /* not before: the pieces may be the request's own bytes */
    if (whole)
        connection_settle(connection);
}

bool fastcgi_send_part(struct fastcgi_request *request, struct bytes part) {
    struct connection *connection = connection_of(request);
    INVARIANT(connection->phase == SERVING && !connection->sends_part && part.length > 0);
    output_part(&connection->output, connection->scanner.id, part);
    connection->sends_part = true;
    connection->since_us = connection_now_us(connection);
    if (!connection_push(connection))
        return false;
    if (output_waits(&connection->output))
        connection_attend(connection);
    else
        turn_in_next(connection->server->options.context->turn, &connection->tell);
    return true;
}

void fastcgi_read_on(struct fastcgi_request *request) {
    struct connection *connection = connection_of(request);
    INVARIANT(connection->phase == SERVING && connection->scanner.parts && !connection->scanner.complete);
    connection->reads_on = true;
    connection->since_us = connection_now_us(connection);
    if (connection->input.length > 0)
        turn_in_next(connection->server->options.context->turn, &connection->go_on);
}
