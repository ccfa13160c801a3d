/* Robust process-shared mutexes: a holder may be killed at any instruction. Private to the
 * store: the locks of the memory store and of the pending invalidations. */
#ifndef INFERONCE_STORE_MEMORY_LOCK_H
#define INFERONCE_STORE_MEMORY_LOCK_H

#include <errno.h>
#include <pthread.h>

enum memory_lock_outcome {
    MEMORY_LOCKED,
    MEMORY_LOCKED_AFTER_DEATH, /* the holder was killed; memory_lock_recovered, once what it protects is whole
                                  again */
    MEMORY_LOCK_BROKEN         /* not taken, and never will be until the region is set up anew */
};

/* Makes the lock, whatever was there before. */
void memory_lock_init(pthread_mutex_t *lock);

static inline enum memory_lock_outcome memory_lock_take(pthread_mutex_t *lock) {
    int outcome = pthread_mutex_lock(lock);
    if (outcome == 0)
        return MEMORY_LOCKED;
    return outcome == EOWNERDEAD ? MEMORY_LOCKED_AFTER_DEATH : MEMORY_LOCK_BROKEN;
}

/* Without it the mutex would be unusable for ever once it is given back. */
void memory_lock_recovered(pthread_mutex_t *lock);

/* A lock that cannot be given back would stop everyone; this process ends instead, and leaves it to the next
 * one as a dead holder. */
void memory_lock_give(pthread_mutex_t *lock);

#endif
