/* Writes GET /cache/stats. */
#include <jansson.h>
#include <math.h>

#include "api/cache_admin.h"
#include "inferonce/api/api.h"

/* Enough for every number here, and few enough to hide what binary fractions add. */
#define REAL_DIGITS 12

/* Takes `value`. A NULL value, for which there was no memory, makes the object incomplete, which `complete`
 * remembers. */
static void set(json_t *object, bool *complete, const char *name, json_t *value) {
    *complete = json_object_set_new(object, name, value) == 0 && *complete;
}

static void set_number(json_t *object, bool *complete, const char *name, uint64_t number) {
    set(object, complete, name, json_integer((json_int_t)number));
}

static void set_rounded(json_t *object, bool *complete, const char *name, double number, double decimals) {
    set(object, complete, name, json_real(round(number * decimals) / decimals));
}

static void set_figure(json_t *object, bool *complete, const char *name, uint64_t figure) {
    set(object, complete, name, figure == UINT64_MAX ? json_null() : json_integer((json_int_t)figure));
}

static void set_ratio(json_t *object, bool *complete, const char *name, uint64_t part, uint64_t whole) {
    set_rounded(object, complete, name, whole > 0 ? (double)part / (double)whole : 0.0, 1e4);
}

/* The members that come first, in the order of the contract (HTTP.md, Statistics). */
static void set_overview(json_t *stats, bool *complete, const struct api *api,
                         const struct store_figures *figures) {
    uint64_t hits = shared_stat(api->context->shared, STAT_hits);
    uint64_t misses = shared_stat(api->context->shared, STAT_misses);
    uint64_t bypasses = shared_stat(api->context->shared, STAT_bypasses);
    uint64_t shared_answers = shared_stat(api->context->shared, STAT_shared_answers);
    set_number(stats, complete, "hits", hits);
    set_number(stats, complete, "misses", misses);
    set_ratio(stats, complete, "hit_ratio", hits, hits + misses);
    set_ratio(stats, complete, "answered_without_inference", hits + shared_answers, hits + misses + bypasses);
    set_figure(stats, complete, "size", figures->size);
    set_figure(stats, complete, "max_size", figures->max_size);
    /* With cache servers in their own words; what the host's memory evicts while it stands in is not it. */
    set_figure(stats, complete, "evictions",
               figures->n_servers > 0 ? figures->evictions
                                      : shared_stat(api->context->shared, STAT_evictions));
    uint64_t ttl_ms = api->context->settings->cache_ttl_ms;
    if (ttl_ms % 1000 == 0)
        set_number(stats, complete, "ttl_seconds", ttl_ms / 1000);
    else
        set_rounded(stats, complete, "ttl_seconds", (double)ttl_ms / 1e3, 1e3);
    if (figures->memory_bytes == UINT64_MAX)
        set(stats, complete, "memory_mb", json_null());
    else
        set_rounded(stats, complete, "memory_mb", (double)figures->memory_bytes / 1048576.0, 1e4);
    if (figures->n_servers > 0)
        set(stats, complete, "scope", json_string("server"));
}

/* The other counters, in the order of their table; one of them is shown in seconds instead. */
static void set_counters(json_t *stats, bool *complete, const struct shared *shared) {
    for (unsigned stat = 0; stat < STATS_COUNT; stat++) {
        const char *name = STAT_DESCRIPTIONS[stat].name;
        if (stat != STAT_inference_us_saved && !json_object_get(stats, name))
            set_number(stats, complete, name, shared_stat(shared, stat));
    }
    set_rounded(stats, complete, "inference_seconds_saved",
                (double)shared_stat(shared, STAT_inference_us_saved) / 1e6, 1e3);
}

static void set_quantile(json_t *object, bool *complete, const char *name, const struct histogram *histogram,
                         double q) {
    double us = histogram_quantile_us(histogram, q);
    if (us == HISTOGRAM_NOTHING)
        set(object, complete, name, json_null());
    else
        set_rounded(object, complete, name, us / 1e3, 1e3);
}

static json_t *duration_of(const struct histogram *histogram, bool *complete) {
    json_t *duration = json_object();
    json_t *buckets = json_array();
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        *complete =
            json_array_append_new(buckets, json_integer((json_int_t)histogram->buckets[i])) == 0 && *complete;
    set_number(duration, complete, "count", histogram_count(histogram));
    set_quantile(duration, complete, "p50_ms", histogram, 0.5);
    set_quantile(duration, complete, "p95_ms", histogram, 0.95);
    set_quantile(duration, complete, "p99_ms", histogram, 0.99);
    set(duration, complete, "buckets", buckets);
    return duration;
}

static json_t *durations_of(const struct shared *shared, bool *complete) {
    json_t *durations = json_object();
    for (unsigned histogram = 0; histogram < HISTOGRAMS_COUNT; histogram++) {
        struct histogram sum;
        shared_histogram(shared, histogram, &sum);
        set(durations, complete, HISTOGRAM_DESCRIPTIONS[histogram].name, duration_of(&sum, complete));
    }
    return durations;
}

/* Without them a reader of buckets would have to know this version of the program. */
static json_t *duration_bounds(bool *complete) {
    json_t *bounds = json_array();
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS - 1; i++)
        *complete =
            json_array_append_new(bounds, json_real((double)HISTOGRAM_BOUND_US[i] / 1e3)) == 0 && *complete;
    return bounds;
}

static json_t *server_of(const struct store_server *figures, bool *complete) {
    json_t *server = json_object();
    set(server, complete, "name", json_string(figures->name));
    set(server, complete, "state", json_string(figures->up ? "up" : "down"));
    set_number(server, complete, "pending", figures->pending);
    set_figure(server, complete, "size", figures->items);
    set_figure(server, complete, "memory_bytes", figures->memory_bytes);
    set_figure(server, complete, "evictions", figures->evictions);
    return server;
}

static json_t *backend_of(const struct api *api, const struct store_figures *figures, bool *complete) {
    json_t *backend = json_object();
    json_t *servers = json_array();
    for (unsigned i = 0; i < figures->n_servers; i++)
        *complete =
            json_array_append_new(servers, server_of(&figures->servers[i], complete)) == 0 && *complete;
    set(backend, complete, "type", json_string(store_name(api->store)));
    set(backend, complete, "state", json_string(figures->degraded ? "degraded" : "ok"));
    set(backend, complete, "servers", servers);
    return backend;
}

static void set_processes(json_t *stats, bool *complete, const struct api *api) {
    uint64_t reloads, refused;
    shared_reloads(api->context->shared, &reloads, &refused);
    set_number(stats, complete, "workers", api_workers(api));
    set_number(stats, complete, "worker_restarts", shared_restarts(api->context->shared));
    set_number(stats, complete, "reloads", reloads);
    set_number(stats, complete, "reloads_refused", refused);
}

static json_t *stats_of(const struct api *api, bool *complete) {
    struct store_figures figures;
    json_t *stats = json_object();
    store_figures(api->store, &figures);
    set_overview(stats, complete, api, &figures);
    set_counters(stats, complete, api->context->shared);
    set(stats, complete, "durations", durations_of(api->context->shared, complete));
    set(stats, complete, "duration_bounds_ms", duration_bounds(complete));
    set_number(stats, complete, "uptime_seconds", api_uptime_us(api) / 1000000);
    set_processes(stats, complete, api);
    set(stats, complete, "backend", backend_of(api, &figures, complete));
    return stats;
}

/* Writes the text itself: json_dumps overlooks it when there is no memory for the name of a member, and
 * leaves that out. */
static int append_text(const char *text, size_t length, void *body) {
    struct buffer *buffer = body;
    buffer_append(buffer, text, length);
    return buffer->failed ? -1 : 0;
}

void cache_admin_stats(struct exchange *exchange, struct bytes parameter, void *context) {
    struct buffer *body = &exchange->response.body;
    bool complete = true;
    (void)parameter;
    json_t *stats = stats_of(context, &complete);
    response_start(&exchange->response, 200, "application/json");
    complete = complete && json_dump_callback(stats, append_text, body,
                                              JSON_COMPACT | JSON_REAL_PRECISION(REAL_DIGITS)) == 0;
    json_decref(stats);
    if (complete && !body->failed)
        exchange_send(exchange);
    else
        exchange_problem(exchange, PROBLEM_INTERNAL, "no memory for the statistics", NULL);
}
