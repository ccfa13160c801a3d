/* Whether a cache server has forgotten purges.
 *
 * Each purge and each removal writes its time to STORE_LAST_PURGE too, ahead of itself, on every server. A
 * host reads it back once a second, with a server's figures, and whenever it probes a server; so it learns of
 * the purges of other hosts. A server has forgotten some when it comes back with a time from before one that
 * it had itself (a Redis that starts from an older snapshot, a replica that lagged and was promoted), or is
 * behind the others while it is used (another host cannot reach it). Which purges they were is not
 * known: everything is invalidated there before the server is used again. */
#ifndef INFERONCE_STORE_REMOTE_HISTORY_H
#define INFERONCE_STORE_REMOTE_HISTORY_H

#include "store/remote/server.h"

/* The time of a purge that is made now: after all that this host knows of, which it is from now on. */
uint64_t history_next(struct pendings *pendings, uint64_t now_us);

/* A server was read: `number`, 0 when it has none. With `probing` it is about to be used. False: it has
 * forgotten purges, and too much is pending already for what would make up for them. */
bool history_read(struct remote_server *server, uint64_t number, bool probing) MUST_CHECK;

/* A server has taken this generation's number. */
void history_written(struct remote_server *server, const uint8_t *key, uint64_t number);

#endif
