/* Robust locks between processes. */
#include "store/memory/lock.h"

#include <string.h>

#include "inferonce/base/error.h"

void memory_lock_init(pthread_mutex_t *lock) {
    pthread_mutexattr_t attributes;
    memset(lock, 0, sizeof(*lock));
    INVARIANT(pthread_mutexattr_init(&attributes) == 0);
    INVARIANT(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0);
    INVARIANT(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) == 0);
    INVARIANT(pthread_mutex_init(lock, &attributes) == 0);
    INVARIANT(pthread_mutexattr_destroy(&attributes) == 0);
}

void memory_lock_recovered(pthread_mutex_t *lock) {
    INVARIANT(pthread_mutex_consistent(lock) == 0);
}

void memory_lock_give(pthread_mutex_t *lock) {
    INVARIANT(pthread_mutex_unlock(lock) == 0);
}
