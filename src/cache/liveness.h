/* Whether a worker that leads is still there, told through the servers that several hosts share.
 *
 * A worker that holds a lease, or asks for one, renews an item of its own, named by its mapping, its slot and
 * the slot's incarnation, every half second. Followers fetch it together with the lease. An owner whose item
 * has been missing for LIVENESS_PATIENCE_US is dead: killed, stopped, redeployed or cut off; which of them
 * does not matter, since two inferences of one text are better than none. Within one host the master knows
 * sooner (shared_owner_is_dead), and the memory store has nobody else. */
#ifndef INFERONCE_CACHE_LIVENESS_H
#define INFERONCE_CACHE_LIVENESS_H

#include "inferonce/cache/key.h"
#include "inferonce/store/store.h"

/* How long an item lasts. memcached adds up to a second; together with the patience it is less than three. */
#define LIVENESS_MS          1000
#define LIVENESS_RENEW_MS    500
#define LIVENESS_PATIENCE_US UINT64_C(800000)

struct liveness {
    struct store *store;
    const struct clock *clock;
    bool told;         /* the store is on servers: the item is written, and looked for */
    struct key key;    /* of the item; of this incarnation */
    size_t leases;     /* held or asked for */
    uint64_t until_us; /* monotonic: when the item was last written, and what it lasts */
    uv_timer_t *timer; /* runs while there are leases; freed by its close callback */
};

/* Borrows both. False: no memory. */
bool liveness_init(struct liveness *liveness, const struct context *context, struct store *store) MUST_CHECK;
void liveness_fini(struct liveness *liveness);

/* A lease is about to be asked for: the item goes out ahead of it, unless it is there. */
void liveness_begin(struct liveness *liveness);

/* The lease is not held any more, or was not had. */
void liveness_end(struct liveness *liveness);

#endif
