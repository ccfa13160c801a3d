/* The generations of namespaces, read without a lock. Private to the memory store.
 *
 * A table of sets of MEMORY_GENERATION_WAYS places; a namespace has its place in the set that its key names.
 * When a set is full, the place that was written longest ago, of those not read since the last such choice,
 * is given up: everything of its namespace is then missing and gets a new generation, greater than the lost
 * one.
 *
 * Writers hold `lock`. A place's `version` is odd while its content is between two states. Readers look at it
 * before and after (a sequence lock); when it stays odd its writer is slow or was killed, and they take the
 * lock, which tells. */
#ifndef INFERONCE_STORE_MEMORY_GENERATION_H
#define INFERONCE_STORE_MEMORY_GENERATION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "inferonce/store/store.h"

#define MEMORY_GENERATIONS     4096
#define MEMORY_GENERATION_WAYS 16

struct memory_generation {
    _Alignas(64) _Atomic uint32_t version;
    _Atomic uint32_t used;   /* 1: read since places were last compared */
    _Atomic uint64_t key[4]; /* STORE_KEY_LENGTH bytes */
    _Atomic uint64_t value;
    _Atomic uint64_t written; /* place in the order of writes; 0: empty */
    _Atomic uint64_t check;   /* of key, value and `written`, for who finds the table in a file */
};

/* In the mapping; all zeros but the lock: empty. */
struct memory_generations {
    pthread_mutex_t lock;
    uint64_t writes; /* behind the lock */
    struct memory_generation places[MEMORY_GENERATIONS];
};

/* Makes the lock; empties the places whose check fails, all zeros excepted. With `fresh` the places are not
 * looked at. */
void memory_generations_setup(struct memory_generations *generations, bool fresh);

/* STORE_OK and the value, STORE_MISSING, or STORE_ERROR when the lock is broken. */
enum store_status memory_generation_get(struct memory_generations *generations, const uint8_t *key,
                                        uint64_t *value);

/* Raises it to `value`, or by 1 when it is not below already. STORE_OK or STORE_ERROR. */
enum store_status memory_generation_put(struct memory_generations *generations, const uint8_t *key,
                                        uint64_t value);

/* STORE_OK, STORE_EXISTS or STORE_ERROR. */
enum store_status memory_generation_add(struct memory_generations *generations, const uint8_t *key,
                                        uint64_t value);

/* STORE_OK, STORE_MISSING or STORE_ERROR. */
enum store_status memory_generation_remove(struct memory_generations *generations, const uint8_t *key);

#endif
