/* Wakes workers through the shared mapping.
 *
 * follower   registers interest; looks at the store; waits
 * leader     puts into the store; reads the interest; marks the wake; writes the eventfd
 * follower   reads the eventfd; takes the marks
 *
 * Either the follower sees the entry or the leader sees the interest: each writes one place and then reads
 * the other's, which only sequentially consistent fences on both sides keep in order (acquire and release
 * would let the read overtake the write). The mark is made before the eventfd is written and taken after it
 * was read, so a mark that is missed now comes with a readable eventfd of its own.
 *
 * A leader killed between taking the interest and writing the eventfd is why the master wakes all when a
 * worker dies. */
#include <unistd.h>

#include "base/shared_layout.h"

_Static_assert(INTEREST_WORDS % 64 == 0, "the wakes of a slot are whole words");

void shared_interest_register(struct shared *shared, unsigned slot, uint64_t hash) {
    INVARIANT(slot < SLOTS_MAX);
    atomic_fetch_or_explicit(&shared->mapping->interest[shared_interest_word(hash)],
                             UINT64_C(1) << shared_place(slot), memory_order_seq_cst);
    atomic_thread_fence(memory_order_seq_cst);
}

static void notify(int descriptor) {
    uint64_t one = 1;
    /* It can only fail because the counter is full, and then the eventfd is readable as it should be. */
    ssize_t written = write(descriptor, &one, sizeof(one));
    (void)written;
}

void shared_tell_master(const struct shared *shared) {
    notify(shared->master_descriptor);
}

void shared_heard(const struct shared *shared) {
    uint64_t count;
    ssize_t length = read(shared->master_descriptor, &count, sizeof(count));
    (void)length;
}

static void wake_slot(struct shared *shared, unsigned slot, unsigned word) {
    atomic_fetch_or_explicit(&shared->mapping->wakes[slot][word / 64], UINT64_C(1) << (word % 64),
                             memory_order_release);
    notify(shared->wake_descriptors[slot]);
}

void shared_wake(struct shared *shared, uint64_t hash) {
    unsigned word = shared_interest_word(hash);
    _Atomic uint64_t *interest = &shared->mapping->interest[word];
    atomic_thread_fence(memory_order_seq_cst);
    if ((atomic_load_explicit(interest, memory_order_relaxed) & shared->place_mask) == 0)
        return;
    /* Other masters' bits stay, for a leader of their own to find. */
    uint64_t woken = atomic_fetch_and(interest, ~shared->place_mask) & shared->place_mask;
    while (woken != 0) {
        unsigned place = (unsigned)__builtin_ctzll(woken);
        woken &= woken - 1;
        wake_slot(shared, place, word);
        wake_slot(shared, shared_other_slot(place), word);
    }
}

void shared_wake_all(struct shared *shared) {
    for (unsigned slot = 0; slot < SLOTS_MAX; slot++) {
        if (!shared_slot_is_ours(shared, slot))
            continue;
        for (size_t word = 0; word < WAKE_WORDS; word++)
            atomic_store_explicit(&shared->mapping->wakes[slot][word], UINT64_MAX, memory_order_release);
        notify(shared->wake_descriptors[slot]);
    }
}

void shared_wakes_take(struct shared *shared, unsigned slot, uint64_t words[INTEREST_WORDS / 64]) {
    INVARIANT(slot < SLOTS_MAX);
    uint64_t count;
    /* Not readable (EAGAIN): a wake that was taken along with an earlier one; the marks tell. */
    ssize_t length = read(shared->wake_descriptors[slot], &count, sizeof(count));
    (void)length;
    for (size_t word = 0; word < WAKE_WORDS; word++) {
        _Atomic uint64_t *marks = &shared->mapping->wakes[slot][word];
        words[word] = atomic_load_explicit(marks, memory_order_relaxed) == 0
                          ? 0
                          : atomic_exchange_explicit(marks, 0, memory_order_acquire);
    }
}
