/* The operations of administrators: purge a namespace, remove a key, inspect an entry. Each is a short
 * conversation with the store, in an object of its own; none is on the path of a request. The contracts are
 * those of cache_purge, cache_remove and cache_inspect (cache.h). */
#ifndef INFERONCE_CACHE_ADMIN_H
#define INFERONCE_CACHE_ADMIN_H

#include "inferonce/cache/cache.h"

struct admin;

/* Borrows both. Returns owned; NULL: error tells why. */
struct admin *admin_create(const struct context *context, struct store *store,
                           struct error *error) MUST_CHECK;
void admin_destroy(struct admin **admin);

void admin_purge(struct admin *admin, struct bytes cache_namespace, cache_admin_done done, void *user);
void admin_remove(struct admin *admin, const struct key *key, struct bytes cache_namespace,
                  cache_admin_done done, void *user);
void admin_inspect(struct admin *admin, const struct key *key, struct bytes cache_namespace,
                   cache_admin_done done, void *user);
void admin_forget(struct admin *admin, void *user);

#endif
