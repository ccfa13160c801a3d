#include "api/metrics.h"

#include <stdlib.h>

#include "service.h"
#include "store/backend.h"

/* Checks the values; the end-to-end tests check the grammar, with a parser. */

#define OPENMETRICS "HTTP_ACCEPT=application/openmetrics-text; version=1.0.0"

static struct sent *scrape(const char *fields) {
    struct sent *sent = service_ask("GET", "/metrics", fields, NULL);
    CU_ASSERT_EQUAL_FATAL(sent->status, 200);
    return sent;
}

/* Whether the answer has the line, whole. */
static bool has(const struct sent *sent, const char *line) {
    char sought[256];
    snprintf(sought, sizeof(sought), "\n%s\n", line);
    return strncmp(sent->body, sought + 1, strlen(sought + 1)) == 0 || strstr(sent->body, sought);
}

static void check_value(const struct sent *sent, const char *name, const char *suffix, uint64_t value) {
    char line[256];
    snprintf(line, sizeof(line), "inferonce_%s%s %llu", name, suffix, (unsigned long long)value);
    CU_ASSERT(has(sent, line));
}

static void check_line(const struct sent *sent, const char *keyword, const char *name, const char *suffix,
                       const char *text) {
    char line[256];
    snprintf(line, sizeof(line), "# %s inferonce_%s%s %s", keyword, name, suffix, text);
    CU_ASSERT(has(sent, line));
}

/* Every row of STATS, each with a value of its own. */
static void check_statistics(const struct sent *sent, const char *suffix_of_families) {
    for (unsigned stat = 0; stat < STATS_COUNT; stat++) {
        const struct stat_description *its = &STAT_DESCRIPTIONS[stat];
        bool counts = its->kind == COUNTER;
        if (stat == STAT_inference_us_saved) /* in seconds, below */
            continue;
        check_line(sent, "HELP", its->name, counts ? suffix_of_families : "", its->help);
        check_line(sent, "TYPE", its->name, counts ? suffix_of_families : "", counts ? "counter" : "gauge");
        uint64_t since = stat == STAT_responses_2xx; /* this answer itself */
        check_value(sent, its->name, counts ? "_total" : "", service_counted(stat) - since);
    }
    CU_ASSERT_PTR_NULL(strstr(sent->body, "_us_saved"));
    check_line(sent, "TYPE", "inference_seconds_saved", suffix_of_families, "counter");
    CU_ASSERT(has(sent, "inferonce_inference_seconds_saved_total 12.000345"));
}

static void count_all(void) {
    for (unsigned stat = 0; stat < STATS_COUNT; stat++)
        stats_add(service.worker.stats, stat, 1000 + stat);
    stats_add(service.worker.stats, STAT_inference_us_saved,
              12000345 - service_counted(STAT_inference_us_saved));
}

static void test_every_statistic(void) {
    service_setup(NULL);
    count_all();
    check_statistics(scrape(NULL), "_total");
    check_statistics(scrape(OPENMETRICS), "");
    stats_clear_gauges(service.worker.stats);
    service_teardown();
}

static void test_sums_over_workers(void) {
    service_setup(NULL);
    unsigned other = service.shared.claimed[0] + 1;
    stats_add(service.worker.stats, STAT_hits, 3);
    stats_add(&service.shared.stats[other], STAT_hits, 4); /* it has died */
    check_value(scrape(NULL), "hits", "_total", 7);
    service_teardown();
}

static void test_large_numbers(void) {
    service_setup(NULL);
    stats_add(service.worker.stats, STAT_hits, UINT64_MAX);
    stats_add(service.worker.stats, STAT_inference_us_saved, UINT64_MAX);
    struct sent *sent = scrape(NULL);
    CU_ASSERT(has(sent, "inferonce_hits_total 18446744073709551615"));
    CU_ASSERT(has(sent, "inferonce_inference_seconds_saved_total 18446744073709.551615"));
    service_teardown();
}

static void test_formats(void) {
    service_setup(NULL);
    struct sent *text = scrape(NULL);
    CU_ASSERT_STRING_EQUAL(service_header(text, "Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
    CU_ASSERT_STRING_EQUAL(service_header(text, "Cache-Control"), "no-store");
    CU_ASSERT_PTR_NULL(strstr(text->body, "# EOF"));
    CU_ASSERT_PTR_NULL(strstr(text->body, "# UNIT"));
    check_line(text, "TYPE", "build_info", "", "gauge");
    CU_ASSERT(has(text, "inferonce_build_info{version=\"" INFERONCE_VERSION "\"} 1"));

    struct sent *open = scrape(OPENMETRICS);
    CU_ASSERT_STRING_EQUAL(service_header(open, "Content-Type"),
                           "application/openmetrics-text; version=1.0.0; charset=utf-8");
    CU_ASSERT_STRING_EQUAL(open->body + open->body_length - strlen("\n# EOF\n"), "\n# EOF\n");
    check_line(open, "TYPE", "build", "", "info");
    check_line(open, "UNIT", "memory_bytes", "", "bytes");
    check_line(open, "UNIT", "uptime_seconds", "", "seconds");
    CU_ASSERT(has(open, "inferonce_build_info{version=\"" INFERONCE_VERSION "\"} 1"));
    service_teardown();
}

/* The text format unless the other one is asked for by name, and more so. */
static void test_negotiation(void) {
    static const struct {
        const char *accept;
        bool openmetrics;
    } ROWS[] = {
        {"HTTP_ACCEPT=*/*", false},
        {"HTTP_ACCEPT=application/json", false},
        {"HTTP_ACCEPT=text/plain, application/openmetrics-text", false},
        {"HTTP_ACCEPT=text/plain;q=0.5, application/openmetrics-text;q=0.6", true},
        {"HTTP_ACCEPT=application/openmetrics-text;version=0.0.1, text/plain;q=0.1", false},
        {"HTTP_ACCEPT=text/plain;version=1.0.0, application/openmetrics-text;q=0.1", true},
    };
    service_setup(NULL);
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++)
        CU_ASSERT_EQUAL(strstr(scrape(ROWS[i].accept)->body, "# EOF\n") != NULL, ROWS[i].openmetrics);
    service_teardown();
}

static void few(struct settings *settings) {
    settings->cache_max_size = 50;
}

static void test_store(void) {
    service_setup(few);
    service_predict(NULL, "{\"text\":\"one\"}");
    service_predict(NULL, "{\"text\":\"two\"}");
    struct store_figures figures;
    store_figures(service.worker.store, &figures);
    struct sent *sent = scrape(NULL);
    check_value(sent, "size", "", 2);
    check_value(sent, "max_size", "", 50);
    check_value(sent, "memory_bytes", "", figures.memory_bytes);
    CU_ASSERT(has(sent, "inferonce_backend_degraded{type=\"memory\"} 0"));
    service_teardown();
}

static void lost(struct store *store, struct store_figures *figures) {
    (void)store;
    *figures = (struct store_figures){
        .size = UINT64_MAX, .max_size = UINT64_MAX, .memory_bytes = UINT64_MAX, .degraded = true};
}

/* A figure that the backend does not know is left out. */
static void test_lost_store(void) {
    service_setup(NULL);
    const struct store_operations *operations = service.worker.store->operations;
    struct store_operations degraded = *operations;
    degraded.figures = lost;
    service.worker.store->operations = &degraded;
    struct sent *sent = scrape(NULL);
    CU_ASSERT(has(sent, "inferonce_backend_degraded{type=\"memory\"} 1"));
    CU_ASSERT_PTR_NULL(strstr(sent->body, "size"));
    CU_ASSERT_PTR_NULL(strstr(sent->body, "memory_bytes"));
    service.worker.store->operations = operations;
    service_teardown();
}

static void two_servers(struct store *store, struct store_figures *figures) {
    (void)store;
    *figures = (struct store_figures){
        .n_servers = 2,
        .servers = {{.name = "127.0.0.1:11211", .up = true}, {.name = "unix:/a\"b\\c", .pending = 3}}};
}

/* Names are escaped: a path may hold what ends a label. */
static void test_servers(void) {
    service_setup(NULL);
    CU_ASSERT_PTR_NULL(strstr(scrape(NULL)->body, "backend_server"));
    const struct store_operations *operations = service.worker.store->operations;
    struct store_operations remote = *operations;
    remote.figures = two_servers;
    service.worker.store->operations = &remote;
    struct sent *sent = scrape(NULL);
    CU_ASSERT(has(sent, "inferonce_backend_server_up{server=\"127.0.0.1:11211\"} 1"));
    CU_ASSERT(has(sent, "inferonce_backend_server_up{server=\"unix:/a\\\"b\\\\c\"} 0"));
    CU_ASSERT(has(sent, "inferonce_backend_server_pending{server=\"unix:/a\\\"b\\\\c\"} 3"));
    service.worker.store->operations = operations;
    service_teardown();
}

static void test_workers(void) {
    char line[128];
    service_setup(NULL);
    unsigned slot = service.shared.claimed[0], other = slot + 1;
    atomic_store(&service.shared.slots[slot].connections, 7);
    shared_slot_assign(&service.shared, other, 1001); /* another master's */
    struct sent *sent = scrape(NULL);
    check_value(sent, "workers", "", 2);
    snprintf(line, sizeof(line), "inferonce_worker_connections{worker=\"%u\"} 7", slot);
    CU_ASSERT(has(sent, line));
    snprintf(line, sizeof(line), "inferonce_worker_up{worker=\"%u\"} 1", other);
    CU_ASSERT(has(sent, line));

    /* A worker that leaves and its successor are one line. */
    unsigned successor = shared_other_slot(slot);
    shared_slot_assign(&service.shared, successor, 1002);
    atomic_store(&service.shared.slots[successor].connections, 2);
    shared_slot_assign(&service.shared, slot, 0);
    sent = scrape(NULL);
    check_value(sent, "workers", "", 2);
    snprintf(line, sizeof(line), "inferonce_worker_connections{worker=\"%u\"} 2", slot);
    CU_ASSERT(has(sent, line));
    snprintf(line, sizeof(line), "worker=\"%u\"", successor);
    CU_ASSERT_PTR_NULL(strstr(sent->body, line));

    shared_slot_assign(&service.shared, other, 0);
    shared_slot_assign(&service.shared, successor, 0);
    sent = scrape(NULL);
    check_value(sent, "workers", "", 0);
    snprintf(line, sizeof(line), "inferonce_worker_up{worker=\"%u\"} 0", slot);
    CU_ASSERT(has(sent, line)); /* ours is missed */
    snprintf(line, sizeof(line), "worker=\"%u\"", other);
    CU_ASSERT_PTR_NULL(strstr(sent->body, line)); /* whose master it was is not known */
    service_teardown();
}

static void test_uptime(void) {
    service_setup(NULL);
    CU_ASSERT(has(scrape(NULL), "inferonce_uptime_seconds 0.000000"));
    service_wait_ms(61005);
    CU_ASSERT(has(scrape(NULL), "inferonce_uptime_seconds 61.005000"));
    service.clock.wall_us = service.shared.started_us - 1; /* set back */
    CU_ASSERT(has(scrape(NULL), "inferonce_uptime_seconds 0.000000"));
    service_teardown();
}

static void test_head(void) {
    service_setup(NULL);
    struct sent *head = service_ask("HEAD", "/metrics", NULL, NULL);
    CU_ASSERT_EQUAL(head->status, 200);
    CU_ASSERT(atoi(service_header(head, "Content-Length")) > 1000);
    service_teardown();
}

/* Whichever allocation is the first that fails, the answer is a 500 and not half of the figures. */
static void test_without_memory(void) {
    unsigned failures = 0;
    int status = 0;
    unit_allocations_count_start();
    for (unsigned n = 1; status != 200; n++) {
        service_setup(NULL);
        service.fail_at = n;
        struct sent *sent = service_ask("GET", "/metrics", OPENMETRICS, NULL);
        status = sent->status;
        failures += status == 500;
        CU_ASSERT_FATAL(status == 500 || (status == 200 && strstr(sent->body, "\n# EOF\n")));
        service_teardown();
    }
    /* A sanitizer has an allocator of its own, where none fails and none is counted. */
    CU_ASSERT(failures > 2 || unit_allocations_count() == 0);
}

static const struct unit_case CASES[] = {
    {"every statistic", test_every_statistic},
    {"sums over workers", test_sums_over_workers},
    {"large numbers", test_large_numbers},
    {"the two formats", test_formats},
    {"which one is asked for", test_negotiation},
    {"the store's figures", test_store},
    {"a lost store", test_lost_store},
    {"cache servers", test_servers},
    {"workers", test_workers},
    {"uptime", test_uptime},
    {"HEAD", test_head},
    {"no memory", test_without_memory},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "metrics", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
