/* Keeps the objects of requests for the next ones. */
#include "api/prediction_pool.h"

#include <stdlib.h>

#include "api/prediction.h"

/* How many predictions are kept for the next requests. */
#define POOLED_MAX 256

struct prediction_pool {
    SLIST_HEAD(free_predictions, prediction) free;
    size_t n_free;
};

struct prediction_pool *prediction_pool_create(void) {
    return calloc(1, sizeof(struct prediction_pool));
}

static void destroy(struct prediction *prediction) {
    body_fini(&prediction->body);
    free(prediction);
}

void prediction_pool_destroy(struct prediction_pool **pool) {
    if (!*pool)
        return;
    struct prediction *prediction;
    while ((prediction = SLIST_FIRST(&(*pool)->free)) != NULL) {
        SLIST_REMOVE_HEAD(&(*pool)->free, free_links);
        destroy(prediction);
    }
    free(*pool);
    *pool = NULL;
}

struct prediction *prediction_take(struct api *api, struct exchange *exchange) {
    struct prediction_pool *pool = api->predictions;
    struct prediction *prediction = SLIST_FIRST(&pool->free);
    if (prediction) {
        SLIST_REMOVE_HEAD(&pool->free, free_links);
        pool->n_free--;
    } else {
        prediction = calloc(1, sizeof(*prediction));
        if (!prediction)
            return NULL;
        body_init(&prediction->body);
    }
    prediction->api = api;
    prediction->exchange = exchange;
    prediction->batch = NULL;
    prediction->preparation = NULL;
    prediction->began_us = clock_monotonic_us(api->context->clock);
    exchange->state = prediction;
    return prediction;
}

void prediction_release(struct prediction *prediction) {
    struct prediction_pool *pool = prediction->api->predictions;
    if (pool->n_free == POOLED_MAX) {
        destroy(prediction);
        return;
    }
    body_reset(&prediction->body);
    SLIST_INSERT_HEAD(&pool->free, prediction, free_links);
    pool->n_free++;
}
