#include "store/remote/server.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "inferonce/base/server_address.h"
#include "unit.h"

#define NOW_US   UINT64_C(1764000000000000)
#define HAD      (NOW_US - 2000000)
#define TOLD     (NOW_US - 1000000)
#define TOLD_MAX 8

/* A server that restores, whose probes and tellings the test ends. */
struct rig {
    uv_loop_t loop;
    struct clock clock;
    struct settings settings;
    struct context context;
    struct pendings *pendings;
    struct remote_server server;
    unsigned probes, returns, n_told;
    struct pending told[TOLD_MAX];
};

static struct rig rig;

static void probe(struct remote_server *server) {
    (void)server;
    rig.probes++;
}

static void tell(struct remote_server *server, const struct pending *pending) {
    CU_ASSERT_FATAL(rig.n_told < TOLD_MAX);
    rig.told[rig.n_told++] = *pending;
    remote_server_told(server, true);
}

static void returns(void *user) {
    (void)user;
    rig.returns++;
}

static void setup(void) {
    static const struct remote_server_operations OPERATIONS = {
        .restores = true, .probe = probe, .tell = tell};
    struct server_address address = {.port = 0};
    memset(&rig, 0, sizeof(rig));
    snprintf(address.host, sizeof(address.host), "/nowhere.sock");
    settings_defaults(&rig.settings);
    uv_loop_init(&rig.loop);
    rig.clock = (struct clock){.fake = true, .wall_us = NOW_US, .monotonic_us = 1000000};
    rig.context = (struct context){.settings = &rig.settings, .loop = &rig.loop, .clock = &rig.clock};
    rig.pendings =
        mmap(NULL, sizeof(*rig.pendings), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CU_ASSERT_FATAL(rig.pendings != MAP_FAILED);
    pendings_setup(rig.pendings, true);
    const struct remote_options remote = {.pendings = rig.pendings, .returns = returns};
    CU_ASSERT_FATAL(remote_server_init(&rig.server, &OPERATIONS, &remote, &rig.context, &address));
    struct remote_server *servers[] = {&rig.server};
    remote_server_find(servers, 1);
}

static void teardown(void) {
    remote_server_fini(&rig.server);
    uv_run(&rig.loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(uv_loop_close(&rig.loop), 0);
    munmap(rig.pendings, sizeof(*rig.pendings));
}

/* Something is pending, so that the server is probed at once. */
static void begin_probe(void) {
    struct pending pending = {.server = rig.server.id, .kind = STORE_GENERATION, .key = {7}, .epoch = TOLD};
    CU_ASSERT_FATAL(pending_add(rig.pendings, &pending));
    CU_ASSERT_FALSE(remote_server_is_used(&rig.server));
    uv_ref((uv_handle_t *)rig.server.prober);
    while (rig.probes == 0)
        uv_run(&rig.loop, UV_RUN_ONCE);
    uv_unref((uv_handle_t *)rig.server.prober);
}

static bool was_told_everything(void) {
    for (unsigned i = 0; i < rig.n_told; i++) {
        if (memcmp(rig.told[i].key, STORE_ALL_NAMESPACES, STORE_KEY_LENGTH) == 0)
            return true;
    }
    return false;
}

static void check_used(void) {
    CU_ASSERT_EQUAL(rig.server.state, REMOTE_USED);
    CU_ASSERT_EQUAL(rig.returns, 1);
    CU_ASSERT_FALSE(pending_has(rig.pendings, rig.server.id));
}

/* It answers with what it had when it was asked: another worker has told it more since. */
static void test_told_by_another_worker_meanwhile(void) {
    setup();
    pending_server_has_purge(rig.pendings, rig.server.id, HAD);
    begin_probe();
    pending_server_has_purge(rig.pendings, rig.server.id, TOLD);
    remote_server_probed(&rig.server, HAD);
    CU_ASSERT_FALSE(was_told_everything());
    CU_ASSERT_EQUAL(rig.n_told, 1);
    CU_ASSERT_EQUAL(rig.told[0].key[0], 7);
    check_used();
    teardown();
}

static void test_it_has_forgotten(void) {
    setup();
    pending_server_has_purge(rig.pendings, rig.server.id, HAD);
    begin_probe();
    remote_server_probed(&rig.server, HAD - 1);
    CU_ASSERT_TRUE(was_told_everything());
    CU_ASSERT_EQUAL(rig.n_told, 3); /* what was pending, everything, and that it was told so */
    check_used();
    teardown();
}

static const struct unit_case CASES[] = {
    {"told by another worker meanwhile", test_told_by_another_worker_meanwhile},
    {"it has forgotten", test_it_has_forgotten},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "server", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
