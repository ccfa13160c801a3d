/* Copies of a request's texts and fields for an inference: the request may leave before it ends. The bytes of
 * all copies that a worker holds have a limit. */
#ifndef INFERONCE_CACHE_TEXTS_H
#define INFERONCE_CACHE_TEXTS_H

#include "inferonce/cache/request.h"

/* The most bytes of texts and parameters that wait in one worker; beyond: overload. */
#define TEXTS_BYTES_MAX (UINT64_C(256) << 20)

/* A worker's. */
struct texts_limit {
    uint64_t bytes;
    struct stats *stats; /* borrowed: parked_bytes, refused_texts */
};

/* The copies of one inference. Zero-initialised: nothing is kept. */
struct texts {
    struct buffer bytes;
    struct buffer text; /* a long text that was taken over from the request; else it is among the bytes */
    struct bytes cache_namespace;
};

/* Fills the job's text, parameters, credential and trace, and `cache_namespace`, with copies. Text and
 * parameters are those of the request, or of `other` where the request gave its own back. False: no memory,
 * or over the limit; nothing is kept. */
bool texts_keep(struct texts_limit *limit, struct texts *texts, struct engine_job *job,
                const struct cache_request *request, const struct engine_job *other) MUST_CHECK;

void texts_release(struct texts_limit *limit, struct texts *texts);

/* An inference has what it needs of the request, whose text and parameters are given back. */
void texts_copied(struct cache_request *request);

#endif
