/* The objects that the handlers of all endpoints share. */
#ifndef INFERONCE_API_API_H
#define INFERONCE_API_API_H

#include "inferonce/cache/cache.h"
#include "inferonce/http/exchange.h"

struct known_bodies;
struct pace;
struct prediction_pool;
struct slices;

/* A worker's. All borrowed but what says that it is owned. */
struct api {
    const struct context *context;
    struct cache *cache;
    struct store *store; /* for its figures, and for moving entries */
    struct blobs *blobs;
    struct prediction_pool *predictions; /* owned */
    struct known_bodies *known_bodies;   /* owned */
    struct slices *slices;               /* owned */
    struct pace *pace;                   /* owned */
    struct key default_generation_key;   /* of CACHE_NAMESPACE */
    bool draining;                       /* set by the worker: /readyz says so */
};

/* False: no memory. */
bool api_setup(struct api *api, struct error *error) MUST_CHECK;

/* The loop must be run once more. */
void api_teardown(struct api *api);

/* The namespace a request names, or the configured one. False: malformed, and the exchange was answered
 * (400). */
bool api_namespace(struct api *api, struct exchange *exchange, struct bytes *cache_namespace) MUST_CHECK;

/* How many workers live, those of other masters on the same mapping included, and for how long the mapping
 * has counted. */
unsigned api_workers(const struct api *api);
uint64_t api_uptime_us(const struct api *api);

/* The route in the keys of texts: /predict stores under it, purges by text find it. */
#define API_KEY_ROUTE "/predict"

#define API_NAMESPACE_MAX 64

/* Whether `name` can be a namespace: [A-Za-z0-9._-]{1,API_NAMESPACE_MAX}. */
bool api_namespace_is_valid(struct bytes name);

/* The generation key of a namespace; the configured one's is known already. */
void api_generation_key(const struct api *api, struct bytes cache_namespace, struct key *key);

#endif
