/* Generations: what makes an invalidation of everything O(1).
 *
 * Every namespace has a generation, a number in the store. An entry carries the one its inference began under
 * and is visible only while that is still current: equal, not greater. A purge writes a greater one. Numbers
 * are microseconds since 1970, so that one made anew after the old was lost (evicted, restarted) is greater
 * than any before: a lost generation means misses, never entries come back to life. */
#ifndef INFERONCE_CACHE_GENERATION_H
#define INFERONCE_CACHE_GENERATION_H

#include "inferonce/store/store.h"

#define GENERATION_LENGTH 8

/* The number as it is stored, little-endian. */
void generation_encode(uint64_t generation, char value[GENERATION_LENGTH]);

/* 0 when `value` is not one. */
uint64_t generation_decode(struct bytes value);

#endif
