/* How long an entry is kept: the laps that it is spared as the head of the log passes it. Private to the
 * memory store.
 *
 * The log is a clock (CLOCK, Corbato 1968): room is made at the head, and an entry with laps left is moved to
 * the tail instead of evicted, one lap poorer. CACHE_EVICTION=recency gives one lap for any hit. With `cost`
 * an entry gets laps by its worth, the seconds of inference that a byte of it saves, in terms of what is
 * usual, when it is written and, more, with each hit: by cost, size and frequency, as
 * GreedyDual-Size-Frequency ranks entries (Cherkasova, HP Laboratories 1998), without a heap that every hit
 * would have to change. */
#ifndef INFERONCE_STORE_MEMORY_WORTH_H
#define INFERONCE_STORE_MEMORY_WORTH_H

#include <stdint.h>

/* Times what is usual. */
#define MEMORY_WORTH_MAX 63

/* The most laps: an entry that is not asked for any more is gone after so many. */
#define MEMORY_LAPS_MAX 255

/* The costs and lengths of the latest entries: sums in which an entry counts less with each that follows. In
 * the mapping, written by the holder of a part's `writer`. */
struct memory_usual {
    uint64_t cost_us;
    uint64_t bytes;
};

/* Counts an entry in, and returns its worth. */
uint8_t memory_worth(struct memory_usual *usual, uint64_t cost_us, uint64_t bytes);

/* The cost of an entry of this worth and length, about. */
uint64_t memory_worth_cost_us(const struct memory_usual *usual, uint8_t worth, uint64_t bytes);

/* An entry that was hit. */
static inline uint8_t memory_laps_of_hit(unsigned laps, unsigned worth) {
    laps += 1 + 2 * worth;
    return laps < MEMORY_LAPS_MAX ? (uint8_t)laps : MEMORY_LAPS_MAX;
}

#endif
