/* Claims on the places of a shared mapping, as locks on bytes of its file. */
#include "base/shared_places.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "inferonce/base/log.h"

#define SETUP_LOCK WORKERS_MAX

/* For the processes of a pool that was killed to be gone, at most. */
#define DYING_WAIT_MS 3000
#define DYING_LOOK_MS 20

_Static_assert(WORKERS_MAX == 64, "a word of interest has one bit for each place");

static struct flock lock_of(short type, unsigned first, unsigned n) {
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = first, .l_len = n};
}

/* True when it was taken or given back; false with errno. */
static bool lock_set(int descriptor, int command, short type, unsigned at) {
    struct flock lock = lock_of(type, at, 1);
    int result;
    do {
        result = fcntl(descriptor, command, &lock);
    } while (result < 0 && errno == EINTR);
    return result == 0;
}

bool shared_setup_begin(int descriptor) {
    return lock_set(descriptor, F_OFD_SETLKW, F_WRLCK, SETUP_LOCK);
}

void shared_setup_end(int descriptor) {
    if (!lock_set(descriptor, F_OFD_SETLK, F_UNLCK, SETUP_LOCK))
        LOG(LOG_ERROR, "cache_file_not_unlocked", LOG_TEXT("reason", strerrordesc_np(errno)));
}

/* A pool that was killed: the kernel gives its claims back one after the other. */
static bool look_again(unsigned *looks) {
    const struct timespec pause = {.tv_nsec = DYING_LOOK_MS * 1000000L};
    if (*looks == 0)
        return false;
    --*looks;
    nanosleep(&pause, NULL);
    return true;
}

static unsigned looks_for(bool wait) {
    return wait ? DYING_WAIT_MS / DYING_LOOK_MS : 0;
}

bool shared_places_are_free(int descriptor, bool wait) {
    unsigned looks = looks_for(wait);
    bool others;
    do {
        struct flock lock = lock_of(F_WRLCK, 0, WORKERS_MAX);
        others = fcntl(descriptor, F_OFD_GETLK, &lock) < 0 || lock.l_type != F_UNLCK;
    } while (others && look_again(&looks));
    return !others;
}

static bool has_claimed(const struct shared *shared, unsigned place) {
    bool claimed = false;
    for (unsigned i = 0; i < shared->workers; i++)
        claimed = claimed || shared->claimed[i] == place;
    return claimed;
}

/* Takes what is free of the places. False: locking failed, with errno. */
static bool claim_free(struct shared *shared, unsigned workers) {
    for (unsigned place = 0; place < WORKERS_MAX && shared->workers < workers; place++) {
        if (has_claimed(shared, place))
            continue;
        if (shared->descriptor < 0 || lock_set(shared->descriptor, F_OFD_SETLK, F_WRLCK, place))
            shared->claimed[shared->workers++] = place;
        else if (errno != EAGAIN && errno != EACCES)
            return false;
    }
    return true;
}

bool shared_places_claim(struct shared *shared, unsigned workers, const char *path, bool wait,
                         struct error *error) {
    unsigned looks = looks_for(wait);
    do {
        if (!claim_free(shared, workers)) {
            error_set_errno(error, errno, "%s: cannot lock", path);
            return false;
        }
    } while (shared->workers < workers && look_again(&looks));
    if (shared->workers == workers)
        return true;
    error_set(error, "%s: %u workers wanted, but of its %d places only %u are not taken by other pools", path,
              workers, WORKERS_MAX, shared->workers);
    return false;
}

static void close_wake(struct shared *shared, unsigned slot) {
    if (shared->wake_descriptors[slot] >= 0)
        close(shared->wake_descriptors[slot]);
    shared->wake_descriptors[slot] = -1;
}

void shared_places_give_back(struct shared *shared, unsigned kept) {
    while (shared->workers > kept) {
        unsigned place = shared->claimed[--shared->workers];
        close_wake(shared, place);
        close_wake(shared, shared_other_slot(place));
        shared->place_mask &= ~(UINT64_C(1) << place);
        if (shared->descriptor >= 0 && !lock_set(shared->descriptor, F_OFD_SETLK, F_UNLCK, place))
            LOG(LOG_WARN, "cache_file_unlock_failed", LOG_NUMBER("errno", errno));
    }
}

unsigned shared_reap(struct shared *shared) {
    unsigned reaped = 0;
    for (unsigned slot = 0; slot < SLOTS_MAX; slot++) {
        unsigned place = shared_place(slot);
        if (shared->descriptor < 0 || shared_slot_is_ours(shared, slot) ||
            atomic_load(&shared->slots[slot].pid) == 0)
            continue;
        /* The claim is held for the moment, so that no new pool takes the place while it is cleared. */
        if (!lock_set(shared->descriptor, F_OFD_SETLK, F_WRLCK, place))
            continue;
        shared_slot_assign(shared, slot, 0);
        reaped++;
        if (!lock_set(shared->descriptor, F_OFD_SETLK, F_UNLCK, place))
            LOG(LOG_WARN, "cache_file_unlock_failed", LOG_NUMBER("errno", errno));
    }
    return reaped;
}
