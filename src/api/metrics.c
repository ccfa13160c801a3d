/* Writes GET /metrics, for Prometheus and as OpenMetrics. */
#include "api/metrics.h"

#include <inttypes.h>
#include <stdlib.h>

#include "inferonce/api/api.h"
#include "inferonce/http/accept.h"

enum format { TEXT, OPENMETRICS };

enum family_kind { FAMILY_COUNTER, FAMILY_GAUGE, FAMILY_HISTOGRAM, FAMILY_INFO };

/* The two formats differ in what a family is called. In OpenMetrics its samples have a suffix by their type
 * and the family has none; in the text format the family is called what its samples are, and there is no type
 * info. */
static const struct {
    const char *suffix;
    const char *type[2]; /* by format */
} KINDS[] = {
    [FAMILY_COUNTER] = {"_total", {"counter", "counter"}},
    [FAMILY_GAUGE] = {"", {"gauge", "gauge"}},
    [FAMILY_HISTOGRAM] = {"", {"histogram", "histogram"}},
    [FAMILY_INFO] = {"_info", {"gauge", "info"}},
};

struct exposition {
    struct buffer *out; /* remembers for all when there was no memory */
    enum format format;
};

/* Begins a family. `help` needs no escapes: no backslash, quote or line feed. `unit` is the end of the name,
 * or NULL. */
static void family(struct exposition *exposition, enum family_kind kind, const char *name, const char *unit,
                   const char *help) {
    struct buffer *out = exposition->out;
    enum format format = exposition->format;
    const char *suffix = format == TEXT ? KINDS[kind].suffix : "";
    buffer_append_format(out, "# HELP inferonce_%s%s %s\n", name, suffix, help);
    buffer_append_format(out, "# TYPE inferonce_%s%s %s\n", name, suffix, KINDS[kind].type[format]);
    if (unit && format == OPENMETRICS)
        buffer_append_format(out, "# UNIT inferonce_%s%s %s\n", name, suffix, unit);
}

static void counter(struct exposition *exposition, const char *name, const char *help, uint64_t value) {
    family(exposition, FAMILY_COUNTER, name, NULL, help);
    buffer_append_format(exposition->out, "inferonce_%s_total %" PRIu64 "\n", name, value);
}

static void gauge(struct exposition *exposition, const char *name, const char *unit, const char *help,
                  uint64_t value) {
    family(exposition, FAMILY_GAUGE, name, unit, help);
    buffer_append_format(exposition->out, "inferonce_%s %" PRIu64 "\n", name, value);
}

/* `sample` with a value in seconds. In whole numbers, because what is summed over years has more digits than
 * a double. */
static void seconds(struct exposition *exposition, const char *sample, uint64_t us) {
    buffer_append_format(exposition->out, "inferonce_%s %" PRIu64 ".%06" PRIu64 "\n", sample, us / 1000000,
                         us % 1000000);
}

static void append_statistics(struct exposition *exposition, const struct shared *shared) {
    for (unsigned stat = 0; stat < STATS_COUNT; stat++) {
        const struct stat_description *its = &STAT_DESCRIPTIONS[stat];
        uint64_t value = shared_stat(shared, stat);
        if (stat == STAT_inference_us_saved)
            continue;
        if (its->kind == COUNTER)
            counter(exposition, its->name, its->help, value);
        else
            gauge(exposition, its->name, NULL, its->help, value);
    }
    family(exposition, FAMILY_COUNTER, "inference_seconds_saved", NULL,
           "Seconds of inference that hits and shared answers did not cost");
    seconds(exposition, "inference_seconds_saved_total", shared_stat(shared, STAT_inference_us_saved));
}

static void append_responses(struct exposition *exposition, const struct shared *shared) {
    family(exposition, FAMILY_COUNTER, "http_requests", NULL,
           "Requests answered, by route and class of status");
    for (unsigned path = 0; path < PATHS_COUNT; path++)
        for (unsigned class = 0; class < STATUS_CLASSES; class ++)
            buffer_append_format(exposition->out,
                                 "inferonce_http_requests_total{route=\"%s\",status=\"%uxx\"} %" PRIu64 "\n",
                                 COUNTED_PATH_TEXTS[path], class + 2, shared_responses(shared, path, class));
}

static void bucket(struct exposition *exposition, const struct histogram_description *its, const char *bound,
                   uint64_t count) {
    buffer_append_format(exposition->out, "inferonce_%s_bucket{%s%sle=\"%s\"} %" PRIu64 "\n", its->family,
                         its->label, its->label[0] ? "," : "", bound, count);
}

/* A name of a family's sample, with the label that is not of its buckets. */
static void sample_name(char *name, size_t size, const struct histogram_description *its,
                        const char *suffix) {
    snprintf(name, size, its->label[0] ? "%s_%s{%s}" : "%s_%s", its->family, suffix, its->label);
}

/* Buckets are cumulated, and the last one is the count, also while workers write. */
static void append_histogram(struct exposition *exposition, const struct shared *shared,
                             enum histogram_name histogram) {
    const struct histogram_description *its = &HISTOGRAM_DESCRIPTIONS[histogram];
    struct histogram sum;
    char name[128];
    uint64_t count = 0;
    shared_histogram(shared, histogram, &sum);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        char bound[32] = "+Inf";
        count += sum.buckets[i];
        if (i < HISTOGRAM_BUCKETS - 1)
            snprintf(bound, sizeof(bound), "%.6g", (double)HISTOGRAM_BOUND_US[i] / 1e6);
        bucket(exposition, its, bound, count);
    }
    sample_name(name, sizeof(name), its, "sum");
    seconds(exposition, name, sum.sum_us);
    sample_name(name, sizeof(name), its, "count");
    buffer_append_format(exposition->out, "inferonce_%s %" PRIu64 "\n", name, count);
}

static void append_histograms(struct exposition *exposition, const struct shared *shared) {
    for (unsigned histogram = 0; histogram < HISTOGRAMS_COUNT; histogram++) {
        const struct histogram_description *its = &HISTOGRAM_DESCRIPTIONS[histogram];
        if (its->help[0])
            family(exposition, FAMILY_HISTOGRAM, its->family, "seconds", its->help);
        append_histogram(exposition, shared, histogram);
    }
}

/* `part` of `whole` with four decimals; 0 of nothing. */
static void ratio(struct exposition *exposition, const char *name, const char *help, uint64_t part,
                  uint64_t whole) {
    family(exposition, FAMILY_GAUGE, name, NULL, help);
    buffer_append_format(exposition->out, "inferonce_%s %.4f\n", name,
                         whole > 0 ? (double)part / (double)whole : 0.0);
}

static void append_ratios(struct exposition *exposition, const struct shared *shared) {
    uint64_t hits = shared_stat(shared, STAT_hits);
    uint64_t asked = hits + shared_stat(shared, STAT_misses) + shared_stat(shared, STAT_bypasses);
    ratio(exposition, "answered_without_inference", "Share of requests that cost no inference of their own",
          hits + shared_stat(shared, STAT_shared_answers), asked);
}

/* A figure that the backend has not is left out. */
static void figure(struct exposition *exposition, const char *name, const char *unit, const char *help,
                   uint64_t value) {
    if (value != UINT64_MAX)
        gauge(exposition, name, unit, help, value);
}

static void server_gauge(struct exposition *exposition, const char *name, const char *server,
                         uint64_t value) {
    buffer_append_format(exposition->out, "inferonce_%s{server=\"", name);
    for (const char *c = server; *c; c++)
        buffer_append_format(exposition->out, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
    buffer_append_format(exposition->out, "\"} %" PRIu64 "\n", value);
}

/* Cache servers alone: the host's memory has none. */
static void append_servers(struct exposition *exposition, const struct store_figures *figures) {
    if (figures->n_servers == 0)
        return;
    family(exposition, FAMILY_GAUGE, "backend_server_up", NULL, "1 while the cache server is used");
    for (unsigned i = 0; i < figures->n_servers; i++)
        server_gauge(exposition, "backend_server_up", figures->servers[i].name, figures->servers[i].up);
    family(exposition, FAMILY_GAUGE, "backend_server_pending", NULL,
           "Invalidations that the cache server has still to be told");
    for (unsigned i = 0; i < figures->n_servers; i++)
        server_gauge(exposition, "backend_server_pending", figures->servers[i].name,
                     figures->servers[i].pending);
}

static void append_store(struct exposition *exposition, struct store *store) {
    struct store_figures figures;
    store_figures(store, &figures);
    figure(exposition, "size", NULL, "Entries stored now", figures.size);
    figure(exposition, "max_size", NULL, "The most entries that are kept", figures.max_size);
    figure(exposition, "memory_bytes", "bytes", "Memory that the entries take", figures.memory_bytes);
    family(exposition, FAMILY_GAUGE, "backend_degraded", NULL,
           "1 while the cache backend cannot be relied on");
    buffer_append_format(exposition->out, "inferonce_backend_degraded{type=\"%s\"} %d\n", store_name(store),
                         figures.degraded);
    append_servers(exposition, &figures);
}

static uint32_t connections(const struct shared *shared, unsigned slot) {
    return atomic_load_explicit(&shared->slots[slot].connections, memory_order_relaxed);
}

static uint64_t draining(const struct shared *shared) {
    uint64_t n = 0;
    for (unsigned slot = 0; slot < SLOTS_MAX; slot++)
        n += shared_slot_lives(shared, slot) &&
             atomic_load_explicit(&shared->slots[slot].draining, memory_order_relaxed);
    return n;
}

static bool is_up(const struct shared *shared, unsigned place) {
    return shared_slot_lives(shared, place) || shared_slot_lives(shared, shared_other_slot(place));
}

/* Places that have a worker, and those of this master that should have one. */
static bool is_used(const struct shared *shared, unsigned place) {
    return is_up(shared, place) || shared_slot_is_ours(shared, place);
}

static void append_workers(struct exposition *exposition, const struct api *api) {
    const struct shared *shared = api->context->shared;
    gauge(exposition, "workers", NULL, "Worker processes that live", api_workers(api));
    counter(exposition, "worker_restarts", "How often a worker was replaced because it had died",
            shared_restarts(shared));
    gauge(exposition, "workers_draining", NULL, "Workers that answer what they have and take nothing new",
          draining(shared));
    family(exposition, FAMILY_GAUGE, "worker_up", NULL, "1 while the worker lives");
    for (unsigned place = 0; place < WORKERS_MAX; place++) {
        if (is_used(shared, place))
            buffer_append_format(exposition->out, "inferonce_worker_up{worker=\"%u\"} %d\n", place,
                                 is_up(shared, place));
    }
    family(exposition, FAMILY_GAUGE, "worker_connections", NULL,
           "FastCGI connections that the worker has open");
    for (unsigned place = 0; place < WORKERS_MAX; place++) {
        if (is_used(shared, place))
            buffer_append_format(exposition->out, "inferonce_worker_connections{worker=\"%u\"} %" PRIu32 "\n",
                                 place,
                                 connections(shared, place) + connections(shared, shared_other_slot(place)));
    }
}

/* That of the worker whose clock is furthest off. */
static int64_t clock_skew_us(const struct shared *shared) {
    int64_t most_us = 0;
    for (unsigned slot = 0; slot < SLOTS_MAX; slot++) {
        int64_t skew_us = atomic_load_explicit(&shared->slots[slot].clock_skew_us, memory_order_relaxed);
        if (shared_slot_lives(shared, slot) && llabs(skew_us) > llabs(most_us))
            most_us = skew_us;
    }
    return most_us;
}

static void append_program(struct exposition *exposition, const struct api *api) {
    family(exposition, FAMILY_GAUGE, "uptime_seconds", "seconds", "Time since counting began");
    seconds(exposition, "uptime_seconds", api_uptime_us(api));
    family(exposition, FAMILY_GAUGE, "clock_skew_seconds", "seconds",
           "By how much this host's clock is behind that of the cache servers, and is corrected");
    buffer_append_format(exposition->out, "inferonce_clock_skew_seconds %" PRId64 "\n",
                         clock_skew_us(api->context->shared) / 1000000);
    family(exposition, FAMILY_INFO, "build", NULL, "The program that is running");
    buffer_append_text(exposition->out, "inferonce_build_info{version=\"" INFERONCE_VERSION "\"} 1\n");
    uint64_t reloads, refused;
    shared_reloads(api->context->shared, &reloads, &refused);
    counter(exposition, "reloads", "How often the program was executed anew, in place", reloads);
    counter(exposition, "reloads_refused", "Reloads that a wrong configuration, or program, prevented",
            refused);
}

static enum format negotiate(const struct field_lines *accept) {
    static const struct media_type AS_TEXT = {"text", "plain", "0.0.4"};
    static const struct media_type AS_OPENMETRICS = {"application", "openmetrics-text", "1.0.0"};
    return accept_quality(accept, &AS_OPENMETRICS) > accept_quality(accept, &AS_TEXT) ? OPENMETRICS : TEXT;
}

void metrics_get(struct exchange *exchange, struct bytes parameter, void *context) {
    static const char *const CONTENT_TYPES[] = {
        [TEXT] = "text/plain; version=0.0.4; charset=utf-8",
        [OPENMETRICS] = "application/openmetrics-text; version=1.0.0; charset=utf-8",
    };
    const struct api *api = context;
    (void)parameter;
    struct exposition exposition = {&exchange->response.body, negotiate(&exchange->request.accept)};
    response_start(&exchange->response, 200, CONTENT_TYPES[exposition.format]);
    append_statistics(&exposition, api->context->shared);
    append_responses(&exposition, api->context->shared);
    append_histograms(&exposition, api->context->shared);
    append_ratios(&exposition, api->context->shared);
    append_store(&exposition, api->store);
    append_workers(&exposition, api);
    append_program(&exposition, api);
    if (exposition.format == OPENMETRICS)
        buffer_append_text(exposition.out, "# EOF\n");
    exchange_send(exchange);
}
