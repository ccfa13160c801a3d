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

uint64_t stats_sum(const struct stats *slots, size_t n, enum statistic stat) {
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += atomic_load_explicit(&slots[i].value[stat], memory_order_relaxed);
    return sum;
}
