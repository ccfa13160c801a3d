/* The operations of administrators: purge a namespace, remove a key, inspect an entry. Each is a short
 * conversation with the store, in an object of its own; none is on the path of a request. The contracts are
 * those of cache_purge, cache_remove and cache_inspect (cache.h). */
#ifndef INFERONCE_CACHE_PURGE_H
#define INFERONCE_CACHE_PURGE_H

#include "inferonce/cache/cache.h"

struct purges;

/* Borrows both. Returns owned; NULL: error tells why. */
struct purges *purges_create(const struct context *context, struct store *store,
                             struct error *error) MUST_CHECK;
void purges_destroy(struct purges **purges);

void purges_namespace(struct purges *purges, struct bytes cache_namespace, cache_admin_done done, void *user);
void purges_key(struct purges *purges, const struct key *key, struct bytes cache_namespace,
                cache_admin_done done, void *user);
void purges_look(struct purges *purges, const struct key *key, struct bytes cache_namespace,
                 cache_admin_done done, void *user);
void purges_forget(struct purges *purges, void *user);

#endif
