/* Makes normal forms and keys of long texts, in slices. */
#include "inferonce/cache/text_work.h"

#include <stdlib.h>

#include "cache/normalize.h"

struct text_work {
    struct text_work_request request;
    enum { NORMALIZES, PREPARES, HASHES } phase;
    size_t at;         /* the text */
    size_t begun;      /* in the storage: its normal form */
    size_t start;      /* and that of the first */
    struct bytes left; /* to be hashed, of the parameters or the text */
    struct normalizer normalizer;
    struct key_writer common, writer;
};

/* Bytes that are hashed for one of a budget, and what setting up a hash takes. */
#define HASHED_AT_ONCE 4
#define HASH_STEPS     32

static void begin_normalizing(struct text_work *work) {
    work->begun = work->request.storage->length;
    normalizer_begin(&work->normalizer, (enum cache_normalize)work->request.settings->cache_normalize,
                     work->request.texts[work->at], work->request.storage);
}

/* Only now does the storage stay where it is. */
static void point_into_storage(struct text_work *work) {
    const char *at = work->request.storage->data + work->start;
    for (size_t i = 0; i < work->request.n; i++) {
        work->request.texts[i].data = at;
        at += work->request.texts[i].length;
    }
}

static enum text_work_status normalize(struct text_work *work, size_t *budget) {
    switch (normalizer_go_on(&work->normalizer, budget)) {
    case NORMALIZE_MORE:
        return TEXT_WORK_MORE;
    case NORMALIZE_NO_MEMORY:
        return TEXT_WORK_NO_MEMORY;
    case NORMALIZE_DONE:
        break;
    }
    normalizer_fini(&work->normalizer);
    work->request.texts[work->at++].length = work->request.storage->length - work->begun;
    if (work->at < work->request.n) {
        begin_normalizing(work);
        return TEXT_WORK_MORE;
    }
    point_into_storage(work);
    text_key_begin(work->request.settings, &work->request.context, &work->common);
    work->left = work->request.context.parameters;
    work->phase = PREPARES;
    return TEXT_WORK_MORE;
}

/* False: not ready. */
static bool hash(struct text_work *work, struct key_writer *writer, size_t *budget) {
    if (work->left.length == 0)
        return true;
    size_t most = *budget > work->left.length / HASHED_AT_ONCE ? work->left.length : *budget * HASHED_AT_ONCE;
    size_t steps = (most + HASHED_AT_ONCE - 1) / HASHED_AT_ONCE;
    key_writer_add(writer, (struct bytes){work->left.data, most});
    *budget -= steps < *budget ? steps : *budget;
    work->left = (struct bytes){work->left.data + most, work->left.length - most};
    return work->left.length == 0;
}

static void begin_hashing(struct text_work *work) {
    work->writer = work->common;
    work->left = work->request.texts[work->at];
    key_writer_field(&work->writer, work->left.length);
}

/* Hashes the part of the key that all texts have in common. */
static enum text_work_status prepare(struct text_work *work, size_t *budget) {
    if (!hash(work, &work->common, budget))
        return TEXT_WORK_MORE;
    key_writer_field(&work->common, work->request.context.credential.length);
    key_writer_add(&work->common, work->request.context.credential);
    work->phase = HASHES;
    work->at = 0;
    begin_hashing(work);
    return TEXT_WORK_MORE;
}

static enum text_work_status make_key(struct text_work *work, size_t *budget) {
    if (!hash(work, &work->writer, budget))
        return TEXT_WORK_MORE;
    *budget -= HASH_STEPS < *budget ? HASH_STEPS : *budget;
    key_writer_end(&work->writer, &work->request.keys[work->at++]);
    if (work->at == work->request.n)
        return TEXT_WORK_DONE;
    begin_hashing(work);
    return TEXT_WORK_MORE;
}

static enum text_work_status step(struct text_work *work, size_t *budget) {
    switch (work->phase) {
    case NORMALIZES:
        return normalize(work, budget);
    case PREPARES:
        return prepare(work, budget);
    case HASHES:
        break;
    }
    return make_key(work, budget);
}

struct text_work *text_work_create(const struct text_work_request *request) {
    INVARIANT(request->n > 0);
    struct text_work *work = calloc(1, sizeof(*work));
    if (!work)
        return NULL;
    work->request = *request;
    work->start = request->storage->length;
    begin_normalizing(work);
    return work;
}

enum text_work_status text_work_go_on(struct text_work *work, size_t *budget) {
    enum text_work_status status = TEXT_WORK_MORE;
    while (status == TEXT_WORK_MORE && *budget > 0)
        status = step(work, budget);
    return status;
}

void text_work_destroy(struct text_work **work) {
    if (!*work)
        return;
    normalizer_fini(&(*work)->normalizer);
    free(*work);
    *work = NULL;
}
