/* Prepares the request to the cache, for a body that is too long for one turn: it is read, its texts are
 * normalised, their keys are made, all in slices (api/slices.h).
 *
 *   READING  the body           -> WORKING  it has texts
 *                               -> told     it has none, or something is wrong
 *   WORKING  normal forms, keys -> told
 *
 * It is gone once `done` was called, or when it is forgotten. */
#ifndef INFERONCE_API_PREPARATION_H
#define INFERONCE_API_PREPARATION_H

#include "api/body.h"
#include "api/slices.h"
#include "inferonce/api/api.h"
#include "inferonce/cache/text_work.h"

struct preparation;

/* How it ended: what was read is in the body. */
struct prepared {
    enum body_status status;
    /* Normal forms, in the exchange's scratch, and their keys; borrowed for the call. n 0: the body has no
     * texts. */
    const struct bytes *texts;
    const struct key *keys;
    size_t n;
};

typedef void (*preparation_done)(void *user, const struct prepared *prepared);

struct preparation_request {
    struct api *api;
    struct exchange *exchange;
    struct body *body;
    enum body_kind kind;
    struct text_key_context context; /* without the parameters, which are in the body */
    preparation_done done;           /* from a later turn */
    void *user;
};

/* Whether a request's body takes longer than a slice may, so that it has to be prepared. */
bool preparation_is_needed(const struct exchange *exchange);

/* Begins. All in `request` is borrowed until the end. NULL: no memory. */
struct preparation *preparation_begin(const struct preparation_request *request) MUST_CHECK;

/* The client has left: `done` is not called. Nulls the pointer; NULL: nothing. */
void preparation_forget(struct preparation **preparation);

#endif
