/* The objects that the handlers of all endpoints share. */
#ifndef INFERONCE_API_API_H
#define INFERONCE_API_API_H

#include "inferonce/api/body.h"
#include "inferonce/cache/cache.h"
#include "inferonce/http/exchange.h"

struct known_bodies;
struct prediction_pool;
struct slices;

/* A worker's. All borrowed but what says that it is owned. */
struct api {
    const struct settings *settings;
    const struct clock *clock;
    struct cache *cache;
    struct store *store; /* for its figures alone */
    struct shared *shared;
    struct stats *stats; /* the worker's */
    struct blobs *blobs;
    uv_loop_t *loop;
    struct prediction_pool *predictions; /* owned */
    struct known_bodies *known_bodies;   /* owned */
    struct slices *slices;               /* owned */
    struct key default_generation_key;   /* of CACHE_NAMESPACE */
    bool draining;                       /* set by the worker: /readyz says so */
};

/* False: no memory. After the teardown the loop must be run once more. */
bool api_setup(struct api *api, struct error *error) MUST_CHECK;
void api_teardown(struct api *api);

/* The namespace a request names, or the configured one. False: malformed, and the exchange was answered
 * (400). */
bool api_namespace(struct api *api, struct exchange *exchange, struct bytes *cache_namespace) MUST_CHECK;

/* How many workers live, those of other masters on the same mapping included, and for how long the mapping
 * has counted. */
unsigned api_workers(const struct api *api);
uint64_t api_uptime_us(const struct api *api);

#define API_NAMESPACE_MAX 64

/* Whether `name` can be a namespace: [A-Za-z0-9._-]{1,API_NAMESPACE_MAX}. */
bool api_namespace_is_valid(struct bytes name);

/* Answers what body_read found wrong. */
void api_body_problem(struct exchange *exchange, enum body_status status, const struct body *body);

#endif
