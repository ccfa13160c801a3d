/* Sums the counters of all workers. */
#include "inferonce/base/stats.h"

const struct stat_description STAT_DESCRIPTIONS[STATS_COUNT] = {
#define STATS_ROW(name, kind, help) {#name, kind, help},
    STATS(STATS_ROW)
#undef STATS_ROW
};

const char *const COUNTED_PATH_TEXTS[PATHS_COUNT] = {
#define COUNTED_PATHS_TEXT(name, path) [PATH_##name] = (path),
    COUNTED_PATHS(COUNTED_PATHS_TEXT)
#undef COUNTED_PATHS_TEXT
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
    for (size_t path = 0; path < PATHS_COUNT; path++)
        for (size_t i = 0; i < STATUS_CLASSES; i++)
            stats_raise(&into->responses[path][i],
                        atomic_load_explicit(&from->responses[path][i], memory_order_relaxed));
    for (size_t i = 0; i < HISTOGRAMS_COUNT; i++)
        histogram_merge(&into->histograms[i], &from->histograms[i]);
}

uint64_t stats_sum(const struct stats *slots, size_t n, enum statistic stat) {
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += atomic_load_explicit(&slots[i].value[stat], memory_order_relaxed);
    return sum;
}
