/* The counters: one list, from which come the struct, the names in /cache/stats, /metrics and the help texts.
 *
 * Each worker writes its own slot in the shared mapping without locks; readers sum over all slots. Counters
 * of a worker that died stay in its slot; its gauges are cleared when the slot is given to the next one. */
#ifndef INFERONCE_BASE_STATS_H
#define INFERONCE_BASE_STATS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "inferonce/base/histogram.h"

/* X(name, kind, help). Names are those of HTTP.md's statistics and are public. */
#define STATS(X)                                                                                       \
    X(hits, COUNTER, "Requests answered from a stored entry")                                          \
    X(misses, COUNTER, "Requests for which no usable entry existed")                                   \
    X(bypasses, COUNTER, "Requests whose directives asked for a new inference")                        \
    X(stale_hits, COUNTER, "Hits answered from an entry past its lifetime")                            \
    X(coalesced, COUNTER, "Requests that shared the inference of another one")                         \
    X(shared_answers, COUNTER, "Requests answered by the inference of another one")                    \
    X(expired, COUNTER, "Entries removed because their lifetime was over")                             \
    X(evictions, COUNTER, "Entries removed to make room for others")                                   \
    X(stores, COUNTER, "Entries written")                                                              \
    X(store_errors, COUNTER, "Operations that the cache failed to do")                                 \
    X(rejected_entries, COUNTER, "Entries read or written that did not pass the checks")               \
    X(purges, COUNTER, "Invalidations, of everything or of single entries")                            \
    X(exported_entries, COUNTER, "Entries written by exports")                                         \
    X(imported_entries, COUNTER, "Entries stored by imports")                                          \
    X(inferences, COUNTER, "Inferences started")                                                       \
    X(inference_errors, COUNTER, "Inferences that failed")                                             \
    X(inferences_without_connection, COUNTER,                                                          \
      "Inferences that failed because this host lacked descriptors or memory for a connection")        \
    X(inference_us_saved, COUNTER, "Microseconds of inference that answers did not cost")              \
    X(not_storable, COUNTER, "Results that the model's server does not allow to keep")                 \
    X(upstream_retries, COUNTER, "Calls to the model for texts of a call of several that failed")      \
    X(upstream_rejections, COUNTER, "Answers of the model's server that refuse the request")           \
    X(upstream_bad_answers, COUNTER, "Answers of the model's server without a result for each text")   \
    X(upstream_answers_2xx, COUNTER, "Answers of the model's server with a status of 200 to 299")      \
    X(upstream_answers_3xx, COUNTER, "Answers of the model's server with a status of 300 to 399")      \
    X(upstream_answers_4xx, COUNTER, "Answers of the model's server with a status of 400 to 499")      \
    X(upstream_answers_5xx, COUNTER, "Answers of the model's server with a status of 500 to 599")      \
    X(requests, COUNTER, "Requests received, of every kind")                                           \
    X(responses_2xx, COUNTER, "Requests answered with a status of 200 to 299")                         \
    X(responses_3xx, COUNTER, "Requests answered with a status of 300 to 399")                         \
    X(responses_4xx, COUNTER, "Requests answered with a status of 400 to 499")                         \
    X(responses_5xx, COUNTER, "Requests answered with a status of 500 to 599")                         \
    X(rejected_requests, COUNTER, "Requests answered 4xx or 5xx")                                      \
    X(log_lines_lost, COUNTER, "Log lines of workers that standard error did not take")                \
    X(protocol_errors, COUNTER, "FastCGI connections closed because of what the peer sent or did not") \
    X(connections_refused, COUNTER, "Times that accepting was put off because descriptors were short") \
    X(refused_texts, COUNTER, "Requests refused because too many bytes of texts were waiting")         \
    X(refused_answers, COUNTER, "Large answers refused because too much waited to be read")            \
    X(in_flight, GAUGE, "Inferences running now")                                                      \
    X(parked, GAUGE, "Requests waiting for an inference now")                                          \
    X(parked_bytes, GAUGE, "Bytes of texts that wait for an inference now")                            \
    X(held_bytes, GAUGE, "Bytes of answers held for clients that did not read them yet")               \
    X(queue, GAUGE, "Inferences waiting for a free place now")                                         \
    X(model_unreachable, GAUGE, "Workers whose last attempts did not reach the model's server")

enum statistic {
#define STATS_ENUM(name, kind, help) STAT_##name,
    STATS(STATS_ENUM)
#undef STATS_ENUM
        STATS_COUNT
};

enum stat_kind { COUNTER, GAUGE };

/* X(name, path). The paths of api/routes.c, by which answers are counted; `other` has those to requests of
 * any other path. */
#define COUNTED_PATHS(X)             \
    X(other, "other")                \
    X(predict, "/predict")           \
    X(cache_stats, "/cache/stats")   \
    X(cache_purge, "/cache/purge")   \
    X(cache_export, "/cache/export") \
    X(cache_import, "/cache/import") \
    X(cache, "/cache")               \
    X(cache_entry, "/cache/{key}")   \
    X(metrics, "/metrics")           \
    X(dashboard, "/dashboard")       \
    X(healthz, "/healthz")           \
    X(readyz, "/readyz")             \
    X(openapi, "/openapi.json")

enum counted_path {
#define COUNTED_PATHS_ENUM(name, path) PATH_##name,
    COUNTED_PATHS(COUNTED_PATHS_ENUM)
#undef COUNTED_PATHS_ENUM
        PATHS_COUNT
};

extern const char *const COUNTED_PATH_TEXTS[PATHS_COUNT];

/* 2xx to 5xx. */
#define STATUS_CLASSES 4

struct stat_description {
    const char *name;
    enum stat_kind kind;
    const char *help;
};

extern const struct stat_description STAT_DESCRIPTIONS[STATS_COUNT];

/* One worker's numbers. Its owner is the only writer. */
struct stats {
    _Alignas(64) _Atomic uint64_t value[STATS_COUNT];
    _Atomic uint64_t responses[PATHS_COUNT][STATUS_CLASSES];
    struct histogram histograms[HISTOGRAMS_COUNT];
};

/* By the counter's only writer: no locked instruction is needed. */
static inline void stats_raise(_Atomic uint64_t *counter, uint64_t n) {
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + n, memory_order_relaxed);
}

static inline void stats_add(struct stats *stats, enum statistic stat, uint64_t n) {
    stats_raise(&stats->value[stat], n);
}

static inline void stats_count(struct stats *stats, enum statistic stat) {
    stats_add(stats, stat, 1);
}

static inline void stats_time(struct stats *stats, enum histogram_name name, uint64_t us) {
    histogram_add(&stats->histograms[name], us);
}

_Static_assert(STAT_responses_5xx - STAT_responses_2xx == STATUS_CLASSES - 1 &&
                   STAT_upstream_answers_5xx - STAT_upstream_answers_2xx == STATUS_CLASSES - 1,
               "the rows of a class follow each other");

/* Counts an HTTP status of 200 to 599 in the row of its class; `first` is that of 2xx. */
static inline void stats_count_class(struct stats *stats, enum statistic first, int status) {
    stats_count(stats, first + (unsigned)status / 100 - 2);
}

/* Counts an answer with a status of 200 to 599, by its path too. */
static inline void stats_count_response(struct stats *stats, enum counted_path path, int status) {
    stats_raise(&stats->responses[path][status / 100 - 2], 1);
    stats_count_class(stats, STAT_responses_2xx, status);
}

/* For gauges. Going below zero is a bug of the caller. */
static inline void stats_subtract(struct stats *stats, enum statistic stat, uint64_t n) {
    stats_add(stats, stat, (uint64_t)0 - n);
}

/* Zeroes the gauges, leaves the counters. */
void stats_clear_gauges(struct stats *stats);

/* Adds counters and histograms of one to another, which nobody else writes meanwhile. */
void stats_merge(struct stats *into, const struct stats *from);

/* The sum over `n` slots. */
uint64_t stats_sum(const struct stats *slots, size_t n, enum statistic stat);

#endif
