/* Writes an answer of the cache in HTTP: header fields and problems (HTTP.md, Response headers and
 * Errors). */
#ifndef INFERONCE_API_ANSWER_H
#define INFERONCE_API_ANSWER_H

#include "inferonce/cache/request.h"
#include "inferonce/http/exchange.h"

/* "HIT", "MISS", "BYPASS", "STALE"; for a failure what the request would have been. */
const char *answer_x_cache(const struct cache_answer *answer);

/* Adds X-Cache, X-Cache-Key (unless `key` is NULL), Cache-Status, Age and Server-Timing. `took_us` is from
 * the request's arrival to now. */
void answer_headers(struct response *response, const struct cache_answer *answer, const char *x_cache,
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
