#include "fastcgi/acceptor.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "inferonce/base/log.h"
#include "unit.h"

#define CLIENTS_MAX 64

static uv_loop_t loop;
static struct context context;
static int listener;
static struct sockaddr_un address;
static socklen_t address_length;
static struct shared_slot slots[SLOTS_MAX];
static struct shared shared;
static struct stats stats;
static struct clock fake_clock;
static struct acceptor *acceptor;
static uint64_t reserved;
static int accepted[CLIENTS_MAX];
static unsigned accepted_count;
static unsigned short_count; /* how often it said that it has no room */
static int clients[CLIENTS_MAX];
static unsigned clients_count;

static void on_accepted(void *user, int descriptor) {
    (void)user;
    accepted[accepted_count++] = descriptor;
}

static void on_short(void *user) {
    (void)user;
    short_count++;
}

static void begin(bool balanced) {
    struct error error;
    CU_ASSERT_EQUAL_FATAL(uv_loop_init(&loop), 0);
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    address = (struct sockaddr_un){.sun_family = AF_UNIX};
    /* An address of the kernel's choice, without a file. */
    CU_ASSERT_EQUAL_FATAL(bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
    address_length = sizeof(address);
    CU_ASSERT_EQUAL_FATAL(getsockname(listener, (struct sockaddr *)&address, &address_length), 0);
    CU_ASSERT_EQUAL_FATAL(listen(listener, CLIENTS_MAX), 0);
    memset(slots, 0, sizeof(slots));
    memset(&stats, 0, sizeof(stats));
    shared = (struct shared){.slots = slots, .place_mask = 0xf};
    fake_clock = (struct clock){.fake = true, .monotonic_us = 60ULL * 1000 * 1000};
    accepted_count = 0;
    short_count = 0;
    clients_count = 0;
    context = (struct context){
        .loop = &loop, .clock = &fake_clock, .shared = balanced ? &shared : NULL, .slot = 3, .stats = &stats};
    const struct acceptor_options options = {.context = &context,
                                             .listener = listener,
                                             .descriptors_reserved = reserved,
                                             .accepted = on_accepted,
                                             .short_of_room = on_short};
    acceptor = acceptor_create(&options, &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(acceptor);
}

static void end(void) {
    acceptor_destroy(&acceptor);
    CU_ASSERT_PTR_NULL(acceptor);
    uv_run(&loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(uv_loop_close(&loop), 0);
    for (unsigned i = 0; i < accepted_count; i++)
        close(accepted[i]);
    for (unsigned i = 0; i < clients_count; i++)
        close(clients[i]);
    close(listener);
}

static void connect_one(void) {
    int descriptor = socket(AF_UNIX, SOCK_STREAM, 0);
    CU_ASSERT_EQUAL_FATAL(connect(descriptor, (struct sockaddr *)&address, address_length), 0);
    clients[clients_count++] = descriptor;
}

static void connect_many(unsigned n) {
    for (unsigned i = 0; i < n; i++)
        connect_one();
}

/* Runs two turns that do not wait: the ready events, and those that they start. */
static void turn(void) {
    uv_run(&loop, UV_RUN_NOWAIT);
    uv_run(&loop, UV_RUN_NOWAIT);
}

static bool run_until_accepted(unsigned n) {
    time_t deadline = time(NULL) + 10;
    while (accepted_count < n && time(NULL) < deadline)
        uv_run(&loop, UV_RUN_NOWAIT); /* one that waited would wait for ever, should nothing come */
    return accepted_count == n;
}

static void close_one(void) {
    close(accepted[--accepted_count]);
    acceptor_closed(acceptor);
}

static void set_worker(unsigned slot, unsigned connections) {
    slots[slot].pid = 1000 + (int32_t)slot;
    slots[slot].connections = connections;
    slots[slot].heartbeat_us = fake_clock.monotonic_us;
}

static void test_takes_all_without_a_scoreboard(void) {
    begin(false);
    connect_many(40);
    CU_ASSERT_TRUE(run_until_accepted(40));
    end();
}

static void test_publishes_its_count(void) {
    begin(true);
    connect_many(3);
    CU_ASSERT_TRUE(run_until_accepted(3));
    CU_ASSERT_EQUAL(slots[3].connections, 3);
    close_one();
    CU_ASSERT_EQUAL(slots[3].connections, 2);
    end();
}

static void test_accepts_when_counts_are_equal(void) {
    begin(true);
    set_worker(0, 0);
    set_worker(1, 0);
    connect_one();
    turn();
    CU_ASSERT_EQUAL(accepted_count, 1);
    end();
}

static void test_leaves_the_next_one_to_others(void) {
    begin(true);
    set_worker(0, 0);
    connect_many(2);
    uv_run(&loop, UV_RUN_NOWAIT);
    CU_ASSERT_EQUAL(accepted_count, 1); /* 1 and 0: the mean is one half */
    set_worker(0, 1);                   /* another one came to the other worker */
    CU_ASSERT_TRUE(run_until_accepted(2));
    end();
}

static void test_takes_what_nobody_else_took(void) {
    begin(true);
    set_worker(0, 0); /* lives, but never takes any */
    connect_many(5);
    CU_ASSERT_TRUE(run_until_accepted(5));
    end();
}

static void test_some_unevenness_is_left_alone(void) {
    begin(true);
    set_worker(0, 16);
    connect_many(22);
    CU_ASSERT_TRUE(run_until_accepted(16)); /* one burst */
    uv_run(&loop, UV_RUN_NOWAIT);
    /* 20 and 16: not over 9/8 of their mean, 18; 21 and 16: 21 > 20.8 */
    CU_ASSERT_EQUAL(accepted_count, 21);
    end();
}

static void test_only_those_that_live_count(void) {
    begin(true);
    set_worker(0, 0);
    slots[0].pid = 0;
    set_worker(1, 0);
    slots[1].draining = 1;
    set_worker(2, 0);
    slots[2].heartbeat_us = fake_clock.monotonic_us - 6ULL * 1000 * 1000;
    connect_many(10);
    uv_run(&loop, UV_RUN_NOWAIT);
    CU_ASSERT_EQUAL(accepted_count, 10); /* in one turn, without a pause */
    end();
}

/* Pools that share a CACHE_PATH have a scoreboard in common, not a listener. */
static void test_other_pools_do_not_count(void) {
    begin(true);
    set_worker(4, 0);
    set_worker(WORKERS_MAX + 5, 0);
    connect_many(10);
    uv_run(&loop, UV_RUN_NOWAIT);
    CU_ASSERT_EQUAL(accepted_count, 10); /* in one turn, without a pause */
    end();
}

static void test_a_successor_counts(void) {
    begin(true);
    set_worker(WORKERS_MAX, 0);
    connect_many(2);
    uv_run(&loop, UV_RUN_NOWAIT);
    CU_ASSERT_EQUAL(accepted_count, 1);
    end();
}

static void test_listens_again_when_its_own_close(void) {
    begin(true);
    set_worker(0, 1);
    connect_many(3);
    uv_run(&loop, UV_RUN_NOWAIT);
    CU_ASSERT_EQUAL(accepted_count, 2); /* 2 and 1: 2 > 1.69 */
    close_one();
    uv_run(&loop, UV_RUN_NOWAIT);
    CU_ASSERT_EQUAL(accepted_count, 2);
    end();
}

static void test_stops(void) {
    begin(false);
    connect_one();
    CU_ASSERT_TRUE(run_until_accepted(1));
    acceptor_stop(acceptor);
    connect_one();
    turn();
    CU_ASSERT_EQUAL(accepted_count, 1);
    close_one();
    turn();
    CU_ASSERT_EQUAL(accepted_count, 0);
    end();
}

static void test_takes_what_waits_before_it_stops(void) {
    begin(false);
    connect_one();
    connect_one();
    acceptor_stop(acceptor);
    CU_ASSERT_EQUAL(accepted_count, 2);
    end();
}

/* Opens descriptors until there is none left. */
static unsigned use_up(int *descriptors, unsigned max) {
    unsigned n = 0;
    while (n < max && (descriptors[n] = dup(listener)) >= 0)
        n++;
    return n;
}

static void test_waits_when_descriptors_are_short(void) {
    struct rlimit before;
    int used[256];
    begin(false);
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &before), 0);
    connect_many(2);
    struct rlimit low = {.rlim_cur = 128, .rlim_max = before.rlim_max};
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &low), 0);
    unsigned n = use_up(used, 256);
    turn();
    CU_ASSERT_EQUAL(accepted_count, 0);
    CU_ASSERT_TRUE(stats.value[STAT_connections_refused] >= 1);
    while (n > 0)
        close(used[--n]);
    CU_ASSERT_TRUE(run_until_accepted(2));
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &before), 0);
    end();
}

static void check_reserve(uint64_t descriptors_reserved, unsigned connections) {
    struct rlimit before;
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit low = {.rlim_cur = 64, .rlim_max = before.rlim_max};
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &low), 0);
    reserved = descriptors_reserved;
    begin(false);
    reserved = 0;
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &before), 0);
    connect_many(connections + 2);
    CU_ASSERT_TRUE(run_until_accepted(connections));
    turn();
    CU_ASSERT_EQUAL(accepted_count, connections);
    CU_ASSERT_TRUE(stats.value[STAT_connections_refused] >= 1);
    CU_ASSERT_EQUAL(short_count, stats.value[STAT_connections_refused]);
    CU_ASSERT(acceptor_is_short(acceptor));
    close_one();
    turn(); /* at once, not after a pause */
    CU_ASSERT_EQUAL(accepted_count, connections);
    close_one();
    turn();
    CU_ASSERT_EQUAL(accepted_count, connections);
    CU_ASSERT_FALSE(acceptor_is_short(acceptor)); /* all were taken */
    end();
}

static void test_keeps_a_reserve_of_descriptors(void) {
    check_reserve(0, 48);
    check_reserve(10, 48);
}

static void test_keeps_what_the_settings_need(void) {
    check_reserve(40, 24);
}

static const struct unit_case CASES[] = {
    {"takes all without a scoreboard", test_takes_all_without_a_scoreboard},
    {"publishes its count", test_publishes_its_count},
    {"accepts when counts are equal", test_accepts_when_counts_are_equal},
    {"leaves the next one to others when above the mean", test_leaves_the_next_one_to_others},
    {"takes what nobody else took", test_takes_what_nobody_else_took},
    {"leaves some unevenness alone", test_some_unevenness_is_left_alone},
    {"counts only workers that live", test_only_those_that_live_count},
    {"does not count workers of other pools", test_other_pools_do_not_count},
    {"counts a successor", test_a_successor_counts},
    {"listens again when its own connections close", test_listens_again_when_its_own_close},
    {"stops", test_stops},
    {"takes what waits before it stops", test_takes_what_waits_before_it_stops},
    {"lets connections wait when descriptors are short", test_waits_when_descriptors_are_short},
    {"keeps a reserve of descriptors", test_keeps_a_reserve_of_descriptors},
    {"descriptors that the settings need are kept", test_keeps_what_the_settings_need},
};

int main(int argc, char *argv[]) {
    log_setup(LOG_ERROR, LOG_LOGFMT, STDERR_FILENO); /* refusals are expected */
    return unit_main(argc, argv, "acceptor", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
