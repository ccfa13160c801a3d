/* Private to the files of this folder, the lowest first: farewell.c (has peers end connections, behind an
 * answer), connection.c (one connection), answer.c (the handler's side of it), drain.c (has peers end idle
 * ones), server.c (all of them); the
 * contract for others is fastcgi/connection.h. */
#ifndef INFERONCE_FASTCGI_SERVER_H
#define INFERONCE_FASTCGI_SERVER_H

#include <sys/queue.h>
#include <uv.h>

#include "fastcgi/acceptor.h"
#include "fastcgi/frame.h"
#include "fastcgi/output.h"
#include "fastcgi/responder.h"
#include "inferonce/fastcgi/connection.h"

enum connection_phase { READING, SERVING, WRITING, CLOSED };

struct connection {
    struct fastcgi_request request; /* first: fastcgi_respond gets back to the connection */
    struct fastcgi_server *server;
    uv_poll_t poll;
    int descriptor;
    enum connection_phase phase;
    int watched;       /* uv_poll events asked for */
    bool receiving;    /* part of a request is here */
    bool scanning;     /* inside scan(), perhaps inside the handler that it called */
    bool last;         /* closes when the output is written */
    bool carried;      /* a request has come on it */
    unsigned told;     /* how often, since its last request, the peer was told to end it */
    uint64_t told_us;  /* the last time */
    uint64_t since_us; /* of what the timeouts measure: idle, receiving or writing */
    bool reads_on;     /* the next part of the body was asked for */
    bool sends_part;   /* of the answer; `written` was not called yet */
    struct frame_scanner scanner;
    struct responder *responder;
    struct buffer input; /* what the scanner did not take yet; mostly empty */
    struct output output;
    LIST_ENTRY(connection) links; /* among the open or the spare ones */
    struct turn_task go_on;       /* scheduled while there is input to go on with */
    struct turn_task tell;        /* scheduled when a part of the answer was written at once */
};

LIST_HEAD(connections, connection);

struct fastcgi_server {
    struct fastcgi_options options;
    struct acceptor *acceptor;
    uv_timer_t sweep;
    struct connections open;
    struct connections spare;
    size_t spare_count;
    struct buffer spare_body; /* memory of a large body, for the next one */
    size_t handles;           /* not closed yet */
    void (*handle_closed)(struct fastcgi_server *server);
    bool draining;
    uint64_t draining_since_us;
    uint64_t crowded_since_us; /* a connection waits for room; 0: none does */
    bool destroyed;
    /* Input is read into this first: most reads are whole requests and are never kept. */
    char scratch[FRAME_RECORD_MAX];
};

/* Takes `descriptor`; where there is no memory it is closed at once. */
void connection_open(struct fastcgi_server *server, int descriptor);

/* Closes; a request that was not answered is abandoned. The memory stays until the loop has closed the
 * handle, so a caller may still look at the phase. */
void connection_close(struct connection *connection);

/* For the handler's side. Writes what the socket takes; false: the peer is gone or there is no memory, and
 * the connection was closed. */
bool connection_push(struct connection *connection) MUST_CHECK;

/* Nothing is with the handler: waits until the output is written, then closes or takes the next request. */
void connection_settle(struct connection *connection);

/* A request is with the handler: waits for what can be read and written. */
void connection_attend(struct connection *connection);

void connection_fail_memory(struct connection *connection);

static inline uint64_t connection_now_us(const struct connection *connection) {
    return clock_monotonic_us(connection->server->options.context->clock);
}

/* Sends records that belong to no answer. The connection waits for a request; it may be closed. */
void connection_say(struct connection *connection, struct bytes records);

/* Closes it if it has been idle, receiving or writing for too long. Calls nobody back, and leaves the others
 * alone. */
void connection_sweep(struct connection *connection, uint64_t now);

/* Whether it has a request in part or whole, or an answer that is not written. */
bool connection_busy(const struct connection *connection);

/* Frees one whose handle is closed. */
void connection_free(struct connection *connection);

/* An answer is in `output`: while the server drains, or connections wait for room, the peer is told behind it
 * to end the connection. */
void farewell_answer(struct connection *connection, uint64_t now_us);

/* The record that has a peer end a connection, and what is to be noted when it was sent. */
extern const struct bytes FAREWELL;
void farewell_note(struct connection *connection, uint64_t now_us);

/* Whether a peer that was told at `since_us` would have ended the connection, if it knew the record. */
bool farewell_is_over(uint64_t since_us, uint64_t now_us);

/* A connection waits and there is no room: those that have been idle for longest are told to end. */
void drain_make_room(struct fastcgi_server *server);

#endif
