/* Shows the entries of a region one after the other. Private to the memory store. */
#ifndef INFERONCE_STORE_MEMORY_WALK_H
#define INFERONCE_STORE_MEMORY_WALK_H

#include "store/memory/region.h"

/* The contract is store_walk's (store.h); for all parts. */
bool memory_walk(const struct memory_context *context, uint64_t *cursor, struct buffer *scratch,
                 store_walked walked, void *user) MUST_CHECK;

#endif
