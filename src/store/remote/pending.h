/* Invalidations that a cache server could not be told: remembered in the shared mapping, for all workers of
 * this host, until the server was told.
 *
 * While there is one for a server, no worker serves anything from it. Any of them may do what is pending;
 * that two do the same is harmless, because an invalidation repeated invalidates only more. A worker that is
 * killed while it writes here leaves at most an unfinished place, whose invalidation nobody acknowledged. */
#ifndef INFERONCE_STORE_REMOTE_PENDING_H
#define INFERONCE_STORE_REMOTE_PENDING_H

#include <pthread.h>
#include <stdatomic.h>

#include "inferonce/store/store.h"

/* Beside purges and removals what history.h adds for each server. */
#define PENDING_MAX (512 + 2 * SERVERS_MAX)

struct pending {
    uint64_t number; /* names it; 0: an empty place */
    uint64_t server; /* pending_server */
    enum store_kind kind;
    uint8_t key[STORE_KEY_LENGTH];
    uint64_t epoch;        /* GENERATION: raise it, at least to this; ENTRY: the tombstone's */
    uint64_t tombstone_ms; /* ENTRY */
};

/* In the mapping; all zeros but for the lock: nothing is pending. */
struct pendings {
    pthread_mutex_t lock;     /* robust */
    _Atomic uint64_t waiting; /* bit server % 64: there may be one for it; read without the lock */
    uint64_t numbers;
    _Atomic uint32_t unknown;    /* 1: what was pending in a former run is lost (pending_assume_all) */
    _Atomic uint64_t last_purge; /* of any host, that this one knows of; microseconds since 1970 */
    struct {
        uint64_t server; /* 0: none */
        uint64_t last_purge;
    } had[SERVERS_MAX]; /* the last purge that a server once reported or accepted */
    struct pending places[PENDING_MAX];
};

/* Makes the lock. What was pending in a file that is used again (not `fresh`) still is. */
void pendings_setup(struct pendings *pendings, bool fresh);

/* Names a server the same way in all workers, and after a restart with other settings. */
uint64_t pending_server(const char *name);

/* Remembers one, whose `number` is 0. False: there is no place for it. */
bool pending_add(struct pendings *pendings, const struct pending *pending) MUST_CHECK;

/* How many invalidations there are for this server; the time of the last purge, which goes with them, does
 * not count. */
uint64_t pending_count(struct pendings *pendings, uint64_t server);

/* Whether there is anything for this server. Cheap while there is nothing: no lock, no search. */
bool pending_has(struct pendings *pendings, uint64_t server);

/* The next one for this server whose number is above `after`; false: there is none. */
bool pending_next(struct pendings *pendings, uint64_t server, uint64_t after, struct pending *pending);

/* It was done. A later one for the same key has another number and stays. */
void pending_done(struct pendings *pendings, uint64_t number);

/* The last purge that is known of; learning an earlier one changes nothing. */
uint64_t pending_last_purge(const struct pendings *pendings);
void pending_learn_purge(struct pendings *pendings, uint64_t number);

/* The last purge that this server is known to have had; 0: none. */
uint64_t pending_server_purge(struct pendings *pendings, uint64_t server);

/* The server has one of this time. An earlier one changes nothing. */
void pending_server_has_purge(struct pendings *pendings, uint64_t server, uint64_t number);

/* When what was pending in a former run is not known, adds for each of these servers, once, that everything
 * is invalidated before the server is used. For every worker as it starts; that two do it is harmless. False:
 * there is no place. */
bool pending_assume_all(struct pendings *pendings, const uint64_t *servers, unsigned n,
                        uint64_t now_us) MUST_CHECK;

/* Whether there is any, for any server. */
static inline bool pending_any(const struct pendings *pendings) {
    return atomic_load_explicit(&pendings->waiting, memory_order_acquire) != 0;
}

#endif
