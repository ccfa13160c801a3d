/* Durations by worker, for Prometheus' histograms: how many took no longer than each of a few bounds, and
 * their sum. Written without locks by the slot's worker, summed by the reader, as the counters are (stats.h).
 */
#ifndef INFERONCE_BASE_HISTOGRAM_H
#define INFERONCE_BASE_HISTOGRAM_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* X(name, family, label, help). Rows of one family stand together; the label is empty where it has one row.
 * Those of requests are what X-Cache says, and `failed`. */
#define HISTOGRAMS(X)                                                                                  \
    X(hit, "request_duration_seconds", "cache=\"hit\"", "Time from a request for texts to its answer") \
    X(stale, "request_duration_seconds", "cache=\"stale\"", "")                                        \
    X(partial, "request_duration_seconds", "cache=\"partial\"", "")                                    \
    X(miss, "request_duration_seconds", "cache=\"miss\"", "")                                          \
    X(bypass, "request_duration_seconds", "cache=\"bypass\"", "")                                      \
    X(failed, "request_duration_seconds", "cache=\"failed\"", "")                                      \
    X(inference, "inference_duration_seconds", "",                                                     \
      "Time from the start of an inference to its result; failures are not in it")                     \
    X(first_byte, "upstream_first_byte_seconds", "",                                                   \
      "Time from a request to the model's server to the first byte of its answer")

enum histogram_name {
#define HISTOGRAMS_ENUM(name, family, label, help) HISTOGRAM_##name,
    HISTOGRAMS(HISTOGRAMS_ENUM)
#undef HISTOGRAMS_ENUM
        HISTOGRAMS_COUNT
};

struct histogram_description {
    const char *name;
    const char *family; /* in seconds */
    const char *label;
    const char *help; /* of the family, with its first row; otherwise empty */
};

extern const struct histogram_description HISTOGRAM_DESCRIPTIONS[HISTOGRAMS_COUNT];

/* Upper bounds in microseconds; one bucket more has what is longer. */
#define HISTOGRAM_BOUNDS                                                                                \
    {                                                                                                   \
        100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, \
            5000000, 10000000, 30000000, 60000000                                                       \
    }
#define HISTOGRAM_BUCKETS 19

extern const uint64_t HISTOGRAM_BOUND_US[HISTOGRAM_BUCKETS - 1];

struct histogram {
    _Atomic uint64_t buckets[HISTOGRAM_BUCKETS]; /* each by itself, not cumulated */
    _Atomic uint64_t sum_us;
};

void histogram_add(struct histogram *histogram, uint64_t us);

/* Adds one to another, which nobody else writes meanwhile. */
void histogram_merge(struct histogram *into, const struct histogram *from);

/* No duration was counted. */
#define HISTOGRAM_NOTHING (-1.0)

uint64_t histogram_count(const struct histogram *histogram);

/* The duration in microseconds that a share `q` of those counted did not exceed, by interpolation within its
 * bucket, as Prometheus' histogram_quantile does. A duration beyond the last bound counts as that bound.
 * HISTOGRAM_NOTHING: there were none. */
double histogram_quantile_us(const struct histogram *histogram, double q);

#endif
