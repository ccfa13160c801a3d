/* Bodies that were hits a while ago, byte by byte, and the keys they came to: who sends one again needs
 * neither reading as JSON nor normalising nor SHA-256, which for a text of 3 KB is a fifth of what a worker
 * does for a hit.
 *
 * Nothing is taken on trust: a body counts as known when all its bytes, and all else that its key was made
 * of, are the same. What is remembered is a worker's own, of fixed size, and forgotten in the order in which
 * it came; what is forgotten is read again. */
#ifndef INFERONCE_API_KNOWN_BODIES_H
#define INFERONCE_API_KNOWN_BODIES_H

#include "inferonce/base/buffer.h"
#include "inferonce/cache/key.h"

/* Bytes of memory for bodies, and the most that one body may take of it: a known one has to be read at once
 * where the cache has no answer for it after all, and that must take less than a slice (api/slices.h). */
#define KNOWN_BODIES_BYTES (UINT64_C(2) << 20)
#define KNOWN_BODY_MAX     (16u * 1024)

/* All that a key depends on from request to request. */
struct known_body {
    struct bytes body;
    struct bytes cache_namespace;
    struct bytes credential;
};

struct known_bodies;

/* Returns owned; NULL: no memory. */
struct known_bodies *known_bodies_create(void) MUST_CHECK;
void known_bodies_destroy(struct known_bodies **known);

/* False: not known, and `key` is untouched. Takes time in the length of the body. */
bool known_bodies_find(const struct known_bodies *known, const struct known_body *body,
                       struct key *key) MUST_CHECK;

/* Copies. A body that is too large is not remembered. */
void known_bodies_remember(struct known_bodies *known, const struct known_body *body, const struct key *key);

#endif
