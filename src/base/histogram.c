/* Sorts durations into buckets. */
#include "inferonce/base/histogram.h"

const uint64_t HISTOGRAM_BOUND_US[HISTOGRAM_BUCKETS - 1] = HISTOGRAM_BOUNDS;

const struct histogram_description HISTOGRAM_DESCRIPTIONS[HISTOGRAMS_COUNT] = {
#define HISTOGRAMS_DESCRIBE(name, family, label, help) [HISTOGRAM_##name] = {#name, family, label, help},
    HISTOGRAMS(HISTOGRAMS_DESCRIBE)
#undef HISTOGRAMS_DESCRIBE
};

static void add(_Atomic uint64_t *number, uint64_t n) {
    atomic_store_explicit(number, atomic_load_explicit(number, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

void histogram_add(struct histogram *histogram, uint64_t us) {
    unsigned bucket = 0;
    while (bucket < HISTOGRAM_BUCKETS - 1 && us > HISTOGRAM_BOUND_US[bucket])
        bucket++;
    add(&histogram->buckets[bucket], 1);
    add(&histogram->sum_us, us);
}

void histogram_merge(struct histogram *into, const struct histogram *from) {
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        add(&into->buckets[i], atomic_load_explicit(&from->buckets[i], memory_order_relaxed));
    add(&into->sum_us, atomic_load_explicit(&from->sum_us, memory_order_relaxed));
}

uint64_t histogram_count(const struct histogram *histogram) {
    uint64_t count = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        count += atomic_load_explicit(&histogram->buckets[i], memory_order_relaxed);
    return count;
}

double histogram_quantile_us(const struct histogram *histogram, double q) {
    uint64_t count = histogram_count(histogram);
    double rank = q * (double)count, below = 0;
    if (count == 0)
        return HISTOGRAM_NOTHING;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        double here = (double)atomic_load_explicit(&histogram->buckets[i], memory_order_relaxed);
        double start = i > 0 ? (double)HISTOGRAM_BOUND_US[i - 1] : 0;
        if (here > 0 && below + here >= rank)
            return start + ((double)HISTOGRAM_BOUND_US[i] - start) * (rank - below) / here;
        below += here;
    }
    return (double)HISTOGRAM_BOUND_US[HISTOGRAM_BUCKETS - 2];
}
