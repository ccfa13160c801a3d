/* What memcached servers say of themselves, asked once a second over connections of its own, never waited
 * for. Private to the memcached store. */
#ifndef INFERONCE_STORE_MEMCACHED_STATS_H
#define INFERONCE_STORE_MEMCACHED_STATS_H

#include <uv.h>

#include "inferonce/store/store.h"

struct memcached_server;
struct memcached_stats;

/* `servers` is borrowed. Returns owned; NULL: no memory. */
struct memcached_stats *memcached_stats_create(uv_loop_t *loop, const struct memcached_server *servers,
                                               unsigned n);

/* Closes its handles, for which the loop must be run once more. NULL is accepted. */
void memcached_stats_destroy(struct memcached_stats **stats);

/* Sets items, memory and evictions to what the server said last; UINT64_MAX when it said nothing lately. */
void memcached_stats_tell(const struct memcached_stats *stats, unsigned server, struct store_server *figures);

#endif
