/* The content of leases and outcomes: small items in a store, little-endian, fixed in length. Pure: no
 * clock, no store. */
#ifndef INFERONCE_CACHE_LEASE_H
#define INFERONCE_CACHE_LEASE_H

#include "inferonce/cache/key.h"
#include "inferonce/engine/engine.h"
#include "inferonce/store/store.h"

/* The owner of a lease: a worker, and the flight that it leads. */
struct lease_owner {
    uint64_t instance;    /* of the shared mapping: names the host, or the pool */
    uint64_t incarnation; /* of the slot */
    uint64_t nonce;       /* of the flight: names its outcome; never 0 */
    uint32_t slot;
};

/* Writes into `value`, which the result borrows. */
struct bytes lease_owner_encode(const struct lease_owner *owner, char value[STORE_SMALL_MAX]);
bool lease_owner_decode(struct bytes value, struct lease_owner *owner) MUST_CHECK;

/* A flight that stored nothing leaves an outcome for its followers. */
enum outcome_kind {
    OUTCOME_NONE, /* what was read is no outcome */
    OUTCOME_FAILED,
    OUTCOME_NOT_SHARED,  /* there is an answer, which may not be kept */
    OUTCOME_REFUSED,     /* the failure is about one credential */
    OUTCOME_ASKER_FAILED /* the failure is about the request that led (engine_answer.asker_only) */
};

struct outcome {
    enum outcome_kind kind;
    struct engine_answer failure; /* status, HTTP status, Retry-After, duration */
    struct key refusal;           /* REFUSED: key_of_refusal of that credential */
};

/* Writes into `value`, which the result borrows. */
struct bytes outcome_encode(const struct outcome *outcome, char value[STORE_SMALL_MAX]);

/* `failure.detail` is a literal. */
struct outcome outcome_decode(struct bytes value);

/* Whether a failure is about the credential of who asked, not about the text or the model: 401, 402, 403,
 * 429. */
bool outcome_is_refusal(const struct engine_answer *failure);

#endif
