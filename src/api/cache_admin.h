/* The cache's administration: statistics, looking at an entry, purging. */
#ifndef INFERONCE_API_CACHE_ADMIN_H
#define INFERONCE_API_CACHE_ADMIN_H

#include "inferonce/http/exchange.h"

/* GET /cache/stats (cache_stats.c) */
void cache_admin_stats(struct exchange *exchange, struct bytes parameter, void *api);

/* DELETE /cache: everything of the namespace */
void cache_admin_clear(struct exchange *exchange, struct bytes parameter, void *api);

/* GET and DELETE /cache/{key} */
void cache_admin_get(struct exchange *exchange, struct bytes parameter, void *api);
void cache_admin_delete(struct exchange *exchange, struct bytes parameter, void *api);

/* POST /cache/purge: by text, by key, by namespace */
void cache_admin_purge(struct exchange *exchange, struct bytes parameter, void *api);

#endif
