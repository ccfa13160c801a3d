/* Flights: all requests that wait for one inference, here, in other workers and on other hosts.
 *
 * A flight is named by its key, its generation and its epoch, the time of the last invalidation that its
 * first request had seen: a request from after a purge meets no flight from before it.
 *
 * One worker leads: the one whose `add` of the flight's lease succeeded. The others follow. The leader stores
 * the entry, removes the lease and wakes the workers of its host that registered interest (base/shared.h);
 * they find the entry. What cannot be found in the store (a failure, an answer that may not be kept) the
 * leader leaves as an OUTCOME item under its nonce, for seconds, for those who followed that very inference
 * and nobody else: an error is passed on, never cached. Followers of a leader on another host look again
 * every 10 to 100 ms, all of a turn together.
 *
 * Where credentials are not part of the key (CACHE_SHARE_AUTHORIZED=on) a flight has the one of its first
 * request. If the model refuses that (401, 402, 403, 429), the refusal is passed on to those who gave the
 * same, here and elsewhere: the outcome has a digest by which they know. The others start over, in a flight
 * which one of them leads with its own credential: each costs one inference at most, and a good one serves
 * the rest.
 *
 * Each request has its own time, from its arrival, where the engine bounds it (engine_limit_us): a request
 * whose time is over fails with ENGINE_TIMEOUT, and the flight goes on for the others. When the inference
 * ends only because the request that led had no more time, or its client no place in the queue, the others
 * start over: in a new flight, which one of them leads, each a few times and not beyond its own time.
 *
 * A lease names its owner by instance (of the shared mapping), slot and epoch of the slot. When the owner is
 * known to be dead (the master says so, or its liveness item is missing: liveness.h) the followers go on to
 * the lease's next number, where again one of them wins; nobody removes another's lease, so two cannot remove
 * each other's.
 *
 * An answer is a log that grows (flight.h): a request with `more` reads it as it comes, from the beginning
 * whenever it joins; the others get it whole at its end. The states are in flight.c. */
#ifndef INFERONCE_CACHE_FLIGHTS_H
#define INFERONCE_CACHE_FLIGHTS_H

#include "inferonce/base/shared.h"
#include "inferonce/cache/request.h"
#include "inferonce/store/store.h"

struct flights;

/* Borrows all of them; `blobs` may be NULL. Returns owned; NULL: error tells why. */
struct flights *flights_create(const struct context *context, struct store *store, struct engine *engine,
                               struct blobs *blobs, struct error *error) MUST_CHECK;
void flights_destroy(struct flights **flights);

/* Parks `request` in the flight of its key and `epoch`, starting one if there is none. `generation` is what
 * the entry will carry; 0: it is not known (the store failed), the answer is not stored and not shared beyond
 * this worker. The request may be answered before this returns only if it cannot be parked (overload, no
 * memory). */
void flights_join(struct flights *flights, struct cache_request *request, uint64_t epoch,
                  uint64_t generation);

/* Infers for this request alone: nothing is shared, nothing stored (no-store). */
void flights_solo(struct flights *flights, struct cache_request *request);

/* Starts a flight nobody waits for, to replace a stale entry, unless one is under way here or elsewhere.
 * Copies what it needs of `request`. */
void flights_refresh(struct flights *flights, struct cache_request *request, uint64_t epoch,
                     uint64_t generation);

/* The request's client has left. It is out of its flight when this returns. */
void flights_leave(struct flights *flights, struct cache_request *request);

/* Looks again at what was followed in these words. */
void flights_woken(struct flights *flights, const uint64_t words[INTEREST_WORDS / 64]);

/* The worker ends whatever is under way: its leases are given back, so that others go on at once. */
void flights_give_up(struct flights *flights);

/* Flights under way. */
size_t flights_count(const struct flights *flights);

/* For how long a tombstone must stand, so that no flight that began before it is still to end. */
uint64_t flights_tombstone_ms(const struct settings *settings);

#endif
