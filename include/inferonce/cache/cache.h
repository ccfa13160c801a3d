/* Decides what may be answered, and when: the one place where requests, entries and inferences meet.
 *
 * Each request is one look (store.h) at its entry and its namespace's generation. What is usable is answered
 * as soon as that is there. What is not joins a flight (flight.h) or, with no-store, has an inference of its
 * own.
 *
 *   LOOKING   the store is asked              -> answered
 *                                             -> LOOKING    its generation was just made
 *                                             -> WAITING
 *   WAITING   parked in a flight              -> answered
 *   SOLO      an inference for it alone       -> answered
 *
 * Nothing here blocks. A failure of the store never fails a request: what cannot be looked up is inferred. */
#ifndef INFERONCE_CACHE_CACHE_H
#define INFERONCE_CACHE_CACHE_H

#include "inferonce/cache/request.h"
#include "inferonce/store/store.h"

struct cache;

/* Borrows all of them; `blobs` may be NULL. Returns owned; NULL: error tells why. */
struct cache *cache_create(const struct context *context, struct store *store, struct engine *engine,
                           struct blobs *blobs, struct error *error) MUST_CHECK;

/* Drops all flights and requests without answering them; closes its handles, for which the loop must be run
 * once more. Before the engine and the store are. */
void cache_destroy(struct cache **cache);

/* Answers a request, never before this returns but for one with no-store that cannot be inferred. */
void cache_ask(struct cache *cache, struct cache_request *request);

/* The client has left: `done` is not called. An inference that runs goes on and is stored. */
void cache_forget(struct cache *cache, struct cache_request *request);

/* The worker is about to end, whatever is under way: what other workers wait for here is theirs to infer. */
void cache_give_up(struct cache *cache);

/* Inferences and lookups under way, with or without somebody waiting: what a draining worker lets end. */
size_t cache_busy(const struct cache *cache);

/* The worker was woken: another worker ended a flight for keys of these words, or somebody died (shared.h).
 */
void cache_woken(struct cache *cache, const uint64_t words[INTEREST_WORDS / 64]);

/* ---- what administrators do ---- */

/* How an administrative operation ended. PENDING: a cache server could not be told; it will be before it is
 * used again, and until then this host serves nothing from it. */
enum cache_admin_status { CACHE_ADMIN_OK, CACHE_ADMIN_MISSING, CACHE_ADMIN_PENDING, CACHE_ADMIN_ERROR };

/* `entry` is set and borrowed for the call when an entry was asked for and found. `count`: entries removed;
 * UINT64_MAX: not known. */
typedef void (*cache_admin_done)(void *user, enum cache_admin_status status, const struct entry *entry,
                                 uint64_t count);

/* Invalidates all entries of a namespace by raising its generation: none of them, and no answer that is being
 * inferred now, is seen once `done` was called. The memory store gives their room back before it calls
 * `done`, and so knows how many there were. */
void cache_purge(struct cache *cache, struct bytes cache_namespace, cache_admin_done done, void *user);

/* Invalidates one key, if it is of this namespace: the entry, and any answer for it that is being inferred
 * now. MISSING: there was no entry. */
void cache_remove(struct cache *cache, const struct key *key, struct bytes cache_namespace,
                  cache_admin_done done, void *user);

/* Looks at one entry, if it is of this namespace and current. Counts in no statistic. */
void cache_inspect(struct cache *cache, const struct key *key, struct bytes cache_namespace,
                   cache_admin_done done, void *user);

/* An administrative operation whose client has left: `done` is not called; what was begun is done all the
 * same. */
void cache_admin_forget(struct cache *cache, void *user);

#endif
