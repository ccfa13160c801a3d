/* Writes an answer of the cache in HTTP: header fields and problems (HTTP.md, Response headers and
 * Errors). */
#ifndef INFERONCE_API_ANSWER_H
#define INFERONCE_API_ANSWER_H

#include "inferonce/base/histogram.h"
#include "inferonce/cache/request.h"
#include "inferonce/http/exchange.h"

/* The values of X-Cache, each with the histogram of its requests. */
enum x_cache { X_CACHE_HIT, X_CACHE_STALE, X_CACHE_PARTIAL, X_CACHE_MISS, X_CACHE_BYPASS };

const char *x_cache_text(enum x_cache x_cache);
enum histogram_name x_cache_histogram(enum x_cache x_cache);

/* Never PARTIAL, which is of several answers; for a failure the value of a success. */
enum x_cache answer_x_cache(const struct cache_answer *answer);

/* Adds X-Cache, X-Cache-Key (unless `key` is NULL), Cache-Status, Age and Server-Timing. `took_us` is from
 * the request's arrival to now. */
void answer_headers(struct response *response, const struct cache_answer *answer, enum x_cache x_cache,
                    const struct key *key, uint64_t took_us);

/* How a failure is told: the problem, its status (0: the problem's own) and detail. */
struct answer_problem {
    enum problem problem;
    int status;
    const char *detail;
    unsigned retry_after_s; /* 0: no Retry-After */
};

struct answer_problem answer_problem(const struct cache_answer *answer);

/* A weak entity tag of the result, with its quotes: two bodies that differ only in `cached` and
 * `inference_time_ms` have the same. */
#define ANSWER_ETAG_LENGTH 20
void answer_etag(const struct bytes *parts, size_t n, char etag[ANSWER_ETAG_LENGTH + 1]);

#endif
