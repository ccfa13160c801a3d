#include "store/remote/resolver.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache_server.h"
#include "inferonce/base/clock.h"
#include "names.h"
#include "unit.h"

#define DEADLINE_MS 5000

struct rig {
    uv_loop_t loop;
    struct resolver resolver;
    unsigned found;
};

static void found(void *user) {
    ((struct rig *)user)->found++;
}

static void rig_open(struct rig *rig, const char *host, uint16_t port) {
    struct server_address address = {.port = port};
    snprintf(address.host, sizeof(address.host), "%s", host);
    rig->found = 0;
    uv_loop_init(&rig->loop);
    resolver_init(&rig->resolver, &rig->loop, &address, found, rig);
}

static void rig_close(struct rig *rig) {
    resolver_fini(&rig->resolver);
    uv_run(&rig->loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(uv_loop_close(&rig->loop), 0);
}

static uint64_t now_ms(void) {
    const struct clock clock = {.fake = false};
    return clock_monotonic_us(&clock) / 1000;
}

static void late(uv_timer_t *timer) {
    *(bool *)timer->data = true;
}

/* Turns the loop until a look-up has ended. */
static bool ends(struct rig *rig) {
    bool is_late = false;
    unsigned before = rig->found;
    uv_timer_t deadline;
    uv_timer_init(&rig->loop, &deadline);
    deadline.data = &is_late;
    uv_timer_start(&deadline, late, DEADLINE_MS, 0);
    while (rig->found == before && !is_late)
        uv_run(&rig->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&deadline, NULL);
    uv_run(&rig->loop, UV_RUN_NOWAIT);
    CU_ASSERT_EQUAL(rig->found, before + 1);
    CU_ASSERT_TRUE(resolver_refresh(&rig->resolver));
    return !is_late;
}

/* False: there was no look-up to begin, or it did not end. */
static bool look_up(struct rig *rig) {
    return !resolver_refresh(&rig->resolver) && ends(rig);
}

static void test_numbers_and_paths(void) {
    static const char *const HOSTS[] = {"127.0.0.1", "::1", "/run/memcached.sock"};
    unsigned before = names_asked();
    for (unsigned i = 0; i < 3; i++) {
        struct rig rig;
        rig_open(&rig, HOSTS[i], i == 2 ? 0 : 11211);
        CU_ASSERT_TRUE(rig.resolver.known);
        CU_ASSERT_STRING_EQUAL(rig.resolver.numeric.host, HOSTS[i]);
        CU_ASSERT_TRUE(resolver_refresh(&rig.resolver));
        CU_ASSERT_FALSE(resolver_is_busy(&rig.resolver));
        rig_close(&rig);
    }
    CU_ASSERT_EQUAL(names_asked(), before);
}

static void test_a_name_that_moves(void) {
    struct rig rig;
    names_set("cache", NULL);
    rig_open(&rig, "cache", 11211);
    CU_ASSERT_TRUE(look_up(&rig));
    CU_ASSERT_FALSE(rig.resolver.known);
    names_set("cache", "127.0.0.3");
    CU_ASSERT_TRUE(look_up(&rig));
    CU_ASSERT_TRUE(rig.resolver.known);
    CU_ASSERT_STRING_EQUAL(rig.resolver.numeric.host, "127.0.0.3");
    CU_ASSERT_EQUAL(rig.resolver.numeric.port, 11211);
    names_set("cache", "::1");
    CU_ASSERT_TRUE(look_up(&rig));
    CU_ASSERT_STRING_EQUAL(rig.resolver.numeric.host, "::1");
    names_set("cache", NULL);
    CU_ASSERT_TRUE(look_up(&rig));
    CU_ASSERT_TRUE(rig.resolver.known);
    CU_ASSERT_STRING_EQUAL(rig.resolver.numeric.host, "::1");
    CU_ASSERT_EQUAL(names_asked_by_loop(), 0);
    rig_close(&rig);
}

/* One listens, the one in front of it does not. */
static void test_several_addresses(void) {
    struct cache_server server;
    struct rig rig;
    cache_servers_on_tcp(true);
    cache_server_start_memcached(&server);
    cache_servers_on_tcp(false);
    rig_open(&rig, "cache", (uint16_t)server.port);
    names_set("cache", "127.0.0.9 127.0.0.1 127.0.0.8");
    CU_ASSERT_TRUE(look_up(&rig));
    CU_ASSERT_STRING_EQUAL(rig.resolver.numeric.host, "127.0.0.1");
    cache_server_kill(&server);
    CU_ASSERT_TRUE(look_up(&rig));
    CU_ASSERT_STRING_EQUAL(rig.resolver.numeric.host, "127.0.0.9");
    rig_close(&rig);
    cache_server_end(&server);
}

static void test_waiting(void) {
    struct rig rig;
    names_set("cache", "127.0.0.3");
    rig_open(&rig, "cache", 11211);
    CU_ASSERT_FALSE(resolver_refresh(&rig.resolver));
    resolver_await(&rig.resolver, DEADLINE_MS);
    CU_ASSERT_TRUE(rig.resolver.known);
    uv_run(&rig.loop, UV_RUN_NOWAIT);
    CU_ASSERT_EQUAL(rig.found, 0);
    CU_ASSERT_FALSE(resolver_refresh(&rig.resolver)); /* what was waited for is not fresh any more */
    resolver_await(&rig.resolver, DEADLINE_MS);
    rig_close(&rig);
}

/* The look-up is in a thread, which begins when the machine lets it. */
static bool asks(unsigned before) {
    uint64_t deadline_ms = now_ms() + DEADLINE_MS;
    while (names_asked() == before && now_ms() < deadline_ms)
        sched_yield();
    return names_asked() == before + 1;
}

/* Nobody waits for a name server that is silent: not the set-up, not the loop, not the end. */
static void test_silence(void) {
    struct rig rig;
    names_set("cache", "127.0.0.3");
    names_silent(true);
    rig_open(&rig, "cache", 11211);
    unsigned before = names_asked();
    uint64_t began_ms = now_ms();
    CU_ASSERT_FALSE(resolver_refresh(&rig.resolver));
    CU_ASSERT_FALSE(resolver_refresh(&rig.resolver));
    resolver_await(&rig.resolver, 50);
    CU_ASSERT(now_ms() - began_ms >= 50);
    CU_ASSERT(now_ms() - began_ms < DEADLINE_MS);
    CU_ASSERT_FALSE(rig.resolver.known);
    CU_ASSERT_TRUE(resolver_is_busy(&rig.resolver));
    CU_ASSERT_TRUE(asks(before));
    uv_run(&rig.loop, UV_RUN_NOWAIT);
    rig_close(&rig);
    CU_ASSERT_EQUAL(rig.found, 0);
    names_silent(false);
}

/* An address that arrives too late for the set-up is used once it arrives. */
static void test_late(void) {
    struct rig rig;
    names_set("cache", "127.0.0.3");
    names_silent(true);
    rig_open(&rig, "cache", 11211);
    CU_ASSERT_FALSE(resolver_refresh(&rig.resolver));
    resolver_await(&rig.resolver, 1);
    names_silent(false);
    CU_ASSERT_TRUE(ends(&rig));
    CU_ASSERT_TRUE(rig.resolver.known);
    rig_close(&rig);
}

static const struct unit_case CASES[] = {
    {"numbers and paths are known", test_numbers_and_paths},
    {"a name that moves", test_a_name_that_moves},
    {"of several addresses the one that listens", test_several_addresses},
    {"waiting for a look-up", test_waiting},
    {"nobody waits for silence", test_silence},
    {"a look-up that ends late", test_late},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "resolver", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
