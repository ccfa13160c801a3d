/* The numbers of STORE_GENERATION: a fixed table, without a lock. Private to the memory store.
 *
 * A namespace has the number at the place that its hash names, and shares it with every other that falls
 * there: a purge of one purges all of them, which costs misses and never a wrong answer. A number only rises,
 * and none makes way for another, so that no client pushes one out by inventing namespaces.
 *
 * Numbers that only rare events raise (store_generation_is_rare) have places of their own behind those of the
 * namespaces, so that none of them purges anything that it does not mean.
 *
 * A place is one word, which a process that is killed cannot leave half written: the number, which has room
 * for microseconds since 1970 until the year 2112, and a check of it, for a table that is found in a file. */
#ifndef INFERONCE_STORE_MEMORY_GENERATION_H
#define INFERONCE_STORE_MEMORY_GENERATION_H

#include <stdatomic.h>
#include <stdint.h>

#include "inferonce/store/store.h"

#define MEMORY_GENERATIONS 65536
#define MEMORY_RARE        4096

/* In the mapping; all zeros: there are none. */
struct memory_generations {
    _Atomic uint64_t places[MEMORY_GENERATIONS + MEMORY_RARE];
};

/* Empties the places whose check fails, of a table that was found in a file. */
void memory_generations_setup(struct memory_generations *generations);

/* STORE_OK and the number, or STORE_MISSING. */
enum store_status memory_generation_get(const struct memory_generations *generations, const uint8_t *key,
                                        uint64_t *number);

/* Raises it to `number`, or by 1 when it is not below already. STORE_OK; STORE_ERROR: there is no such
 * number. */
enum store_status memory_generation_put(struct memory_generations *generations, const uint8_t *key,
                                        uint64_t number);

/* STORE_OK, STORE_EXISTS, or STORE_ERROR as above. */
enum store_status memory_generation_add(struct memory_generations *generations, const uint8_t *key,
                                        uint64_t number);

/* STORE_OK or STORE_MISSING. */
enum store_status memory_generation_remove(struct memory_generations *generations, const uint8_t *key);

#endif
