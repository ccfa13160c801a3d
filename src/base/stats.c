/* Sums the counters of all workers. */
#include "inferonce/base/stats.h"

const struct stat_description STAT_DESCRIPTIONS[STATS_COUNT] = {
#define STATS_ROW(name, kind, help) {#name, kind, help},
    STATS(STATS_ROW)
#undef STATS_ROW
};

void stats_clear_gauges(struct stats *stats) {
    for (size_t i = 0; i < STATS_COUNT; i++)
        if (STAT_DESCRIPTIONS[i].kind == GAUGE)
            atomic_store_explicit(&stats->value[i], 0, memory_order_relaxed);
}

void stats_merge(struct stats *into, const struct stats *from) {
    for (size_t i = 0; i < STATS_COUNT; i++)
        if (STAT_DESCRIPTIONS[i].kind == COUNTER)
            stats_add(into, (enum statistic)i, atomic_load_explicit(&from->value[i], memory_order_relaxed));
    for (size_t i = 0; i < HISTOGRAMS_COUNT; i++)
        histogram_merge(&into->histograms[i], &from->histograms[i]);
}

uint64_t stats_sum(const struct stats *slots, size_t n, enum statistic stat) {
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += atomic_load_explicit(&slots[i].value[stat], memory_order_relaxed);
    return sum;
}
