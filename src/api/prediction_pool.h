/* Predictions with the memory of their bodies, kept for the next requests. */
#ifndef INFERONCE_API_PREDICTION_POOL_H
#define INFERONCE_API_PREDICTION_POOL_H

#include "inferonce/base/error.h"

struct api;
struct exchange;
struct prediction;
struct prediction_pool;

/* Returns owned; NULL: no memory. */
struct prediction_pool *prediction_pool_create(void) MUST_CHECK;
void prediction_pool_destroy(struct prediction_pool **pool);

/* One for this exchange, whose `state` it becomes; NULL: no memory. */
struct prediction *prediction_take(struct api *api, struct exchange *exchange) MUST_CHECK;
void prediction_release(struct prediction *prediction);

#endif
