/* The particulars of the Redis store: credentials, databases, names, what is pending. Wrong and late answers
 * are in redis_faults_test.c, the contract of all stores in tests/contract. */
#include "names.h"
#include "redis_rig.h"
#include "store/remote/resolver.h"

static bool was_asked_after(struct rig *rig, void *of) {
    (void)rig;
    return names_asked() > *(unsigned *)of;
}

static void test_refused(void) {
    struct cache_server server;
    struct rig rig;
    cache_server_start_redis(&server, NULL);
    cache_server_kill(&server);
    rig_open_on(&rig, &server, TIMEOUT_MS);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY).status, STORE_ERROR);
    cache_server_restart(&server);
    CU_ASSERT_TRUE(await(&rig, is_used, NULL));
    CU_ASSERT_EQUAL(rig.returns, 1);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY).status, STORE_MISSING);
    rig_close(&rig);
    cache_server_end(&server);
}

static void test_wrong_password(void) {
    struct cache_server server;
    struct rig rig;
    char url[160];
    cache_server_start_redis(&server, "right");
    snprintf(url, sizeof(url), "unix://:wrong@%s", server.path);
    rig_open(&rig, url, 2000);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY).status, STORE_ERROR);
    CU_ASSERT_FALSE(is_used(&rig, NULL));
    rig_close(&rig);
    snprintf(url, sizeof(url), "unix://:right@%s", server.path);
    rig_open(&rig, url, 2000);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY).status, STORE_MISSING);
    rig_close(&rig);
    cache_server_end(&server);
}

/* Over TCP, where a URL has one. */
static void test_databases_are_apart(void) {
    struct cache_server server;
    struct rig rig;
    char url[160];
    cache_servers_on_tcp(true);
    cache_server_start_redis(&server, "right");
    cache_servers_on_tcp(false);
    snprintf(url, sizeof(url), "redis://default:right@%s/7", server.address);
    rig_open(&rig, url, 2000);
    CU_ASSERT_EQUAL(put(&rig, "in database 7", 100), STORE_OK);
    CU_ASSERT_STRING_EQUAL(get(&rig, STORE_ENTRY).text, "in database 7");
    rig_close(&rig);
    snprintf(url, sizeof(url), "redis://:right@%s", server.address);
    rig_open(&rig, url, 2000);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY).status, STORE_MISSING);
    rig_close(&rig);
    cache_server_end(&server);
}

static uint64_t n_pending(struct rig *rig) {
    struct store_figures figures;
    store_figures(rig->store, &figures);
    return figures.servers[0].pending;
}

static void test_halted_with_work_pending(void) {
    struct cache_server server;
    struct rig rig;
    cache_server_start_redis(&server, NULL);
    rig_open_on(&rig, &server, TIMEOUT_MS * 10);
    CU_ASSERT_EQUAL(put(&rig, "old", 100), STORE_OK);
    CU_ASSERT_EQUAL(put_generation(&rig, 500), STORE_OK);
    cache_server_halt(&server);
    CU_ASSERT_EQUAL(remove_entry(&rig, 200), STORE_PENDING);
    CU_ASSERT_EQUAL(put_generation(&rig, 600), STORE_PENDING);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY).status, STORE_ERROR);
    CU_ASSERT_EQUAL(n_pending(&rig), 2);
    cache_server_continue(&server);
    CU_ASSERT_TRUE(await(&rig, is_used, NULL));
    CU_ASSERT_FALSE(pending_any(&rig.pendings));
    CU_ASSERT(rig.returns >= 1);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY).status, STORE_TOMBSTONE);
    CU_ASSERT_EQUAL(put(&rig, "was in flight", 199), STORE_REFUSED);
    CU_ASSERT(load_u64(get(&rig, STORE_GENERATION).text) >= 600);
    rig_close(&rig);
    cache_server_end(&server);
}

/* A name that nobody knows is a server that is away, until somebody does; and then where it has moved to. */
static void test_a_name(void) {
    struct cache_server server;
    struct rig rig;
    char url[160];
    cache_servers_on_tcp(true);
    cache_server_start_redis(&server, NULL);
    cache_servers_on_tcp(false);
    snprintf(url, sizeof(url), "redis://cache.test:%u", server.port);
    names_set("cache.test", NULL);
    rig_open(&rig, url, 2000);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY).status, STORE_ERROR);
    CU_ASSERT_EQUAL(put(&rig, "value", 1), STORE_ERROR);
    CU_ASSERT_EQUAL(remove_entry(&rig, 1), STORE_PENDING);
    CU_ASSERT_EQUAL(rig.stats.value[STAT_store_errors], 3);
    names_set("cache.test", "127.0.0.9"); /* where nobody listens */
    unsigned before = names_asked();
    CU_ASSERT_TRUE(await(&rig, was_asked_after, &before));
    uint64_t soon_ms = now_ms() + 100;
    CU_ASSERT_TRUE(await(&rig, is_over, &soon_ms));
    CU_ASSERT_FALSE(is_used(&rig, NULL));
    names_set("cache.test", "127.0.0.1");
    CU_ASSERT_TRUE(await(&rig, is_used, NULL));
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY).status, STORE_TOMBSTONE);
    CU_ASSERT_EQUAL(names_asked_by_loop(), 0);
    rig_close(&rig);
    cache_server_end(&server);
}

/* The start waits for a name server, but not for long; the loop and the end do not. */
static void test_a_silent_name_server(void) {
    struct rig rig;
    names_silent(true);
    uint64_t began_ms = now_ms();
    rig_open(&rig, "redis://cache.test", 2000);
    uint64_t opened_ms = now_ms();
    CU_ASSERT(opened_ms - began_ms >= RESOLVER_START_MS);
    CU_ASSERT(opened_ms - began_ms < 2 * RESOLVER_START_MS);
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY).status, STORE_ERROR);
    rig_close(&rig);
    CU_ASSERT(now_ms() - opened_ms < RESOLVER_START_MS);
    CU_ASSERT_EQUAL(names_asked_by_loop(), 0);
    names_silent(false);
}

/* Others' keys are not read, and ours can be told from them. */
static void test_keys_have_a_prefix(void) {
    struct cache_server server;
    struct rig rig;
    cache_server_start_redis(&server, NULL);
    cache_server_tell(&server, "RPUSH o mine\r\n"); /* a list: whoever reads it as a text gets an error */
    rig_open_on(&rig, &server, 2000);
    CU_ASSERT_EQUAL(put(&rig, "value", 1), STORE_OK);
    cache_server_tell(&server,
                      "RENAMENX inferonce:e01020300000000000000000000000000000000000000000000000000000000"
                      "00 theirs\r\n");
    CU_ASSERT_EQUAL(get(&rig, STORE_ENTRY).status, STORE_MISSING);
    rig_close(&rig);
    cache_server_end(&server);
}

static const struct unit_case CASES[] = {
    {"refused, until it is there", test_refused},
    {"a wrong password", test_wrong_password},
    {"databases are apart", test_databases_are_apart},
    {"what waits for a halted server", test_halted_with_work_pending},
    {"a name", test_a_name},
    {"a silent name server", test_a_silent_name_server},
    {"keys have a prefix", test_keys_have_a_prefix},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "redis", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
