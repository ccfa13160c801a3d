/* A request to /predict on its way: what one text (predict.c) and several (predict_batch.c) share. */
#ifndef INFERONCE_API_PREDICTION_H
#define INFERONCE_API_PREDICTION_H

#include "api/answer.h"
#include "api/body.h"
#include "inferonce/api/api.h"
#include "inferonce/cache/text_key.h"

struct predict_batch;
struct preparation;

/* Pooled; lives until its exchange was answered or abandoned. */
struct prediction {
    struct api *api;
    struct exchange *exchange;
    struct body body;
    struct bytes cache_namespace;
    uint64_t ttl_ms;
    uint64_t began_us;               /* monotonic */
    struct cache_request only;       /* of a request with one text */
    struct predict_batch *batch;     /* of one with several; NULL otherwise */
    struct preparation *preparation; /* while the body is read and worked on in slices; NULL otherwise */
    SLIST_ENTRY(prediction) free_links;
};

/* Fills in a request, without its key and its text; the caller adds `done` and `user`. */
void prediction_fill(const struct prediction *prediction, struct cache_request *request);

/* The credential that is part of the request's keys; length 0: none is. */
struct bytes prediction_credential(const struct prediction *prediction);

/* Adds a normalised text and its key, and the parameters that are in the body. */
void prediction_fill_text(const struct prediction *prediction, struct bytes text, const struct key *key,
                          struct cache_request *request);

/* Gives back the request's body and what was made of it: nobody needs its texts any more. */
void prediction_forget_body(struct prediction *prediction);

/* The parts of the request's keys beside the text. */
struct text_key_context prediction_key_context(const struct prediction *prediction);

/* For QUERY: starts the response with the entity tag of `parts`; true: as a 304, to which no body belongs.
 * False for other methods, where nothing was done. */
bool prediction_not_modified(struct prediction *prediction, const struct bytes *parts, size_t n);

/* Counts how long the answer took, by what X-Cache says of it or as a failure, and logs it when LOG_SLOW_MS
 * says so. `key`: NULL when there are several texts. */
void prediction_took(const struct prediction *prediction, enum x_cache x_cache, bool failed,
                     const struct key *key, uint64_t took_us);

/* Send the started response, or a problem; the prediction is gone when they return. */
void prediction_send(struct prediction *prediction, const struct piece *pieces, size_t n);
void prediction_problem(struct prediction *prediction, enum problem problem, const char *detail);

#endif
