/* The probe of a memcached server beside what is under way on its connection. */
#include "memcached_rig.h"

#define PATIENT_MS 10000

static struct cache_server process;
static struct rig rig;
static struct memcached_server *server;

static bool figures_are_known(void) {
    return server->known && !server->asking;
}

static bool figures_are_awaited(void) {
    return server->asking;
}

static bool is_probed(void) {
    return server->remote.state == REMOTE_PROBING;
}

static bool probe_has_ended(void) {
    return !is_probed();
}

static bool is_used(void) {
    return server->remote.state == REMOTE_USED;
}

/* Turns the loop until the condition holds. */
static void await_that(bool (*condition)(void)) {
    bool is_late = false;
    uv_timer_t deadline;
    uv_timer_init(&rig.loop, &deadline);
    deadline.data = &is_late;
    uv_timer_start(&deadline, late, DEADLINE_MS, 0);
    while (!condition() && !is_late)
        uv_run(&rig.loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&deadline, NULL);
    uv_run(&rig.loop, UV_RUN_NOWAIT);
    CU_ASSERT_FALSE_FATAL(is_late);
}

/* Another worker says that the server has to be told something. */
static void add_pending(void) {
    struct pending pending = {.server = server->remote.id, .kind = STORE_GENERATION, .key = {7}, .epoch = 1};
    CU_ASSERT_FATAL(pending_add(&rig.pendings, &pending));
    CU_ASSERT_FALSE(remote_server_is_used(&server->remote));
}

/* The server is slow to give its figures: the probe goes out on the connection on which they are awaited. */
static void test_while_figures_are_awaited(void) {
    cache_server_start_memcached(&process);
    rig_open(&rig, &process, 1, PATIENT_MS);
    server = &memcached_of(rig.store)->servers[0];
    await_that(figures_are_known);
    cache_server_halt(&process);
    await_that(figures_are_awaited);
    add_pending();
    await_that(is_probed);
    CU_ASSERT_TRUE(server->asking);
    cache_server_continue(&process);
    await_that(probe_has_ended);
    CU_ASSERT_NOT_EQUAL(server->remote.state, REMOTE_AWAY);
    await_that(is_used);
    CU_ASSERT_EQUAL(rig.returns, 1);
    CU_ASSERT_FALSE(pending_has(&rig.pendings, server->remote.id));
    await_that(figures_are_known);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY, 1).status, STORE_MISSING);
    CU_ASSERT_EQUAL(errors(&rig), 0);
    rig_close(&rig);
    cache_server_end(&process);
}

static const struct unit_case CASES[] = {
    {"while figures are awaited", test_while_figures_are_awaited},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "memcached_probe", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
