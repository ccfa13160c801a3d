/* Takes connections from the listener that all workers share, no more than this worker's share and its
 * descriptors allow.
 *
 *   LISTENING  polls the listener                              -> YIELDING, SHORT, STOPPED
 *   YIELDING   has clearly more connections than the mean:
 *              leaves the next one to another worker for a
 *              few milliseconds, or until it has fewer itself  -> LISTENING, STOPPED
 *   SHORT      descriptors or memory are short: lets
 *              connections wait in the backlog for a moment,
 *              or until one is closed                          -> LISTENING, STOPPED
 *   STOPPED    takes no more
 *
 * A connection that nobody else took meanwhile is taken after YIELDING, so that a stuck worker does not
 * starve it. */
#ifndef INFERONCE_FASTCGI_ACCEPTOR_H
#define INFERONCE_FASTCGI_ACCEPTOR_H

#include "inferonce/base/context.h"

/* Takes `descriptor`, which is non-blocking, and calls acceptor_closed when it is closed, be it at once. */
typedef void (*acceptor_accepted)(void *user, int descriptor);

/* Somebody waits to be accepted, and there is no room. Called about every 100 ms while that is so; may close
 * connections. */
typedef void (*acceptor_short)(void *user);

struct acceptor_options {
    const struct context *context; /* borrowed; without `shared` there is no balancing */
    int listener;                  /* borrowed until acceptor_destroy; made non-blocking */
    uint64_t descriptors_reserved; /* that connections must leave free; at least a quarter is */
    acceptor_accepted accepted;
    acceptor_short short_of_room;
    void *user;
};

struct acceptor;

/* Starts to accept. NULL: error tells why. Returns owned. */
struct acceptor *acceptor_create(const struct acceptor_options *options, struct error *error);

/* A connection that it handed out was closed. The count of open ones is kept here and in the scoreboard. */
void acceptor_closed(struct acceptor *acceptor);

/* Whether somebody waited when it last looked, and there was no room. */
bool acceptor_is_short(const struct acceptor *acceptor);

/* Takes what waits in the backlog, whose clients may have sent their requests already, and then no more, for
 * good. The listener is not watched any more afterwards: its owner may close it. */
void acceptor_stop(struct acceptor *acceptor);

/* Stops; the loop must be run once more for its handles to close. Nulls the pointer. */
void acceptor_destroy(struct acceptor **acceptor);

#endif
