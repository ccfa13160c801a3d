/* The contract of store/store.h holds for every backend alike: each test opens a store on every row of
 * BACKENDS, with two workers. A backend that completes later does so on the rig's loop. */
#ifndef INFERONCE_TESTS_BACKENDS_H
#define INFERONCE_TESTS_BACKENDS_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "cache_server.h"
#include "inferonce/store/memory.h"
#include "inferonce/store/store.h"
#include "unit.h"

#define WORKERS 2

struct rig {
    struct settings settings;
    struct clock clock;
    struct shared shared;
    uv_loop_t loop;
    struct turn *turn;
    struct context context[WORKERS];
    char path[512];               /* of a file, or empty */
    struct store *store[WORKERS]; /* as each worker has it */
    struct cache_server servers[3];
    unsigned n_servers;
};

/* setup     fills settings and shared; the stores are opened afterwards
 * advance   lets `ms` milliseconds pass
 * one       what one worker writes the others read
 * remote    it is on servers: time is the real one, figures are the servers' and come later */
struct backend {
    const char *name;
    void (*setup)(struct rig *rig);
    void (*advance)(struct rig *rig, uint64_t ms);
    void (*teardown)(struct rig *rig);
    bool one;
    bool remote;
};

static const struct backend *backend;

static inline void need(bool condition, const char *what) {
    if (condition)
        return;
    fprintf(stderr, "store: cannot set up: %s\n", what);
    exit(2);
}

/* ---- memory ---- */

static inline void memory_map(struct rig *rig) {
    struct error error = {""};
    struct memory_layout layout = memory_layout_of(&rig->settings, WORKERS);
    rig->clock = (struct clock){.fake = true, .monotonic_us = 1000000, .wall_us = 1700000000000000};
    need(shared_create(&rig->shared, WORKERS, rig->path, memory_region_bytes(&layout),
                       memory_region_tag(&layout), &error),
         error.text);
    size_t wiped = memory_region_setup(rig->shared.region, &layout, rig->shared.fresh, &rig->clock);
    need(wiped == 0, "a shard was wiped");
    shared_ready(&rig->shared);
}

static inline void memory_per_worker(struct rig *rig) {
    rig->settings.cache_scope = CACHE_SCOPE_WORKER;
    memory_map(rig);
}

static inline void memory_in_file(struct rig *rig) {
    const char *folder = getenv("TMPDIR");
    snprintf(rig->path, sizeof(rig->path), "%s/inferonce-store-test-XXXXXX", folder ? folder : "/tmp");
    int descriptor = mkstemp(rig->path);
    need(descriptor >= 0, "a temporary file");
    close(descriptor);
    memory_map(rig);
}

static inline void memory_advance(struct rig *rig, uint64_t ms) {
    rig->clock.monotonic_us += ms * 1000;
    rig->clock.wall_us += ms * 1000;
}

static inline void memory_teardown(struct rig *rig) {
    shared_destroy(&rig->shared);
    if (rig->path[0])
        unlink(rig->path);
}

/* ---- servers ---- */

static inline void remote_setup(struct rig *rig) {
    rig->settings.store_timeout_ms = 2000; /* a busy machine is not what is tested here */
    memory_map(rig);
    rig->clock.fake = false;
}

static inline void memcached_setup(struct rig *rig, unsigned n, bool on_tcp) {
    size_t length = 0;
    cache_servers_on_tcp(on_tcp);
    for (unsigned i = 0; i < n; i++) {
        cache_server_start_memcached(&rig->servers[i]);
        length += (size_t)snprintf(rig->settings.memcached_servers + length,
                                   sizeof(rig->settings.memcached_servers) - length, "%s%s", i > 0 ? "," : "",
                                   rig->servers[i].address);
    }
    rig->n_servers = n;
    rig->settings.cache_backend = CACHE_BACKEND_MEMCACHED;
    remote_setup(rig);
}

static inline void memcached_one(struct rig *rig) {
    memcached_setup(rig, 1, false);
}

static inline void memcached_three(struct rig *rig) {
    memcached_setup(rig, 3, false);
}

static inline void memcached_one_on_tcp(struct rig *rig) {
    memcached_setup(rig, 1, true);
}

static inline void memcached_three_on_tcp(struct rig *rig) {
    memcached_setup(rig, 3, true);
}

static inline void redis_setup(struct rig *rig, bool on_tcp) {
    cache_servers_on_tcp(on_tcp);
    cache_server_start_redis(&rig->servers[0], "open sesame");
    rig->n_servers = 1;
    rig->settings.cache_backend = CACHE_BACKEND_REDIS;
    remote_setup(rig);
}

static inline void redis_one(struct rig *rig) {
    redis_setup(rig, false);
    snprintf(rig->settings.redis_url, sizeof(rig->settings.redis_url), "unix://:open%%20sesame@%s",
             rig->servers[0].path);
}

/* With a user, and in a database of its own. */
static inline void redis_on_tcp(struct rig *rig) {
    redis_setup(rig, true);
    snprintf(rig->settings.redis_url, sizeof(rig->settings.redis_url), "redis://default:open%%20sesame@%s/7",
             rig->servers[0].address);
}

/* Servers have clocks of their own. */
static inline void remote_advance(struct rig *rig, uint64_t ms) {
    struct timespec pause = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)rig;
    nanosleep(&pause, NULL);
}

static inline void remote_teardown(struct rig *rig) {
    for (unsigned i = 0; i < rig->n_servers; i++)
        cache_server_end(&rig->servers[i]);
    memory_teardown(rig);
}

static const struct backend BACKENDS[] = {
    {"memory, shared", memory_map, memory_advance, memory_teardown, true, false},
    {"memory, per worker", memory_per_worker, memory_advance, memory_teardown, false, false},
    {"memory, in a file", memory_in_file, memory_advance, memory_teardown, true, false},
    {"memcached, one server", memcached_one, remote_advance, remote_teardown, true, true},
    {"memcached, three servers", memcached_three, remote_advance, remote_teardown, true, true},
    {"Redis", redis_one, remote_advance, remote_teardown, true, true},
    {"memcached on TCP, one server", memcached_one_on_tcp, remote_advance, remote_teardown, true, true},
    {"memcached on TCP, three servers", memcached_three_on_tcp, remote_advance, remote_teardown, true, true},
    {"Redis on TCP, database 7", redis_on_tcp, remote_advance, remote_teardown, true, true},
};

/* ---- rig ---- */

static inline void rig_open(struct rig *rig) {
    *rig = (struct rig){.path = ""};
    settings_defaults(&rig->settings);
    need(uv_loop_init(&rig->loop) == 0, "a loop");
    rig->turn = turn_create(&rig->loop, NULL);
    need(rig->turn != NULL, "turns of the loop");
    backend->setup(rig);
    for (unsigned slot = 0; slot < WORKERS; slot++) {
        rig->context[slot] = (struct context){
            &rig->settings, &rig->shared, slot, &rig->loop, &rig->clock, &rig->shared.stats[slot], rig->turn};
        struct error error = {""};
        rig->store[slot] = store_open(&rig->context[slot], &error);
        need(rig->store[slot] != NULL, error.text);
    }
}

static inline void rig_close(struct rig *rig) {
    for (unsigned slot = 0; slot < WORKERS; slot++) {
        store_close(&rig->store[slot]);
        CU_ASSERT_PTR_NULL(rig->store[slot]);
    }
    turn_destroy(&rig->turn);
    backend->teardown(rig);
    uv_run(&rig->loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(uv_loop_close(&rig->loop), 0);
}

/* Runs the cases on every backend; the program's exit code. */
static inline int contract_main(int argc, char *argv[], const char *subject, const struct unit_case *cases,
                                size_t n) {
    int failed = 0;
    for (size_t i = 0; i < sizeof(BACKENDS) / sizeof(BACKENDS[0]); i++) {
        char name[64];
        backend = &BACKENDS[i];
        snprintf(name, sizeof(name), "%s: %s", subject, backend->name);
        failed |= unit_main(argc, argv, name, cases, n);
    }
    return failed;
}

#endif
