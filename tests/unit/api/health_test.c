#include "api/health.h"

#include "service.h"
#include "store/backend.h"

static void check_ok(struct sent *sent, const char *body) {
    CU_ASSERT_EQUAL(sent->status, 200);
    CU_ASSERT_STRING_EQUAL(sent->body, body);
    CU_ASSERT_STRING_EQUAL(service_header(sent, "Content-Type"), "application/json");
    CU_ASSERT_STRING_EQUAL(service_header(sent, "Cache-Control"), "no-store"); /* of the moment */
}

static void token(struct settings *settings) {
    strcpy(settings->admin_token, "secret");
}

/* Open to everybody, whatever guards the admin endpoints. */
static void test_open(void) {
    service_setup(token);
    check_ok(service_ask("GET", "/healthz", "REMOTE_ADDR=192.0.2.1", NULL), "{\"status\":\"ok\"}");
    check_ok(service_ask("GET", "/readyz", "REMOTE_ADDR=192.0.2.1", NULL), "{\"status\":\"ok\"}");
    service_teardown();
}

static void test_draining(void) {
    service_setup(NULL);
    service.api.draining = true;
    check_ok(service_ask("GET", "/healthz", NULL, NULL), "{\"status\":\"ok\"}"); /* it lives */
    struct sent *ready = service_ask("GET", "/readyz", NULL, NULL);
    service_check_problem(ready, 503, "draining", NULL);
    CU_ASSERT_STRING_EQUAL(service_header(ready, "Retry-After"), "1");
    CU_ASSERT_EQUAL(service_predict(NULL, "{\"text\":\"a\"}")->status, 200); /* what comes is still served */
    service_teardown();
}

static void lost(struct store *store, struct store_figures *figures) {
    (void)store;
    *figures = (struct store_figures){.degraded = true};
}

static void test_degraded(void) {
    service_setup(NULL);
    const struct store_operations *operations = service.worker.store->operations;
    struct store_operations degraded = *operations;
    degraded.figures = lost;
    service.worker.store->operations = &degraded;
    check_ok(service_ask("GET", "/readyz", NULL, NULL), "{\"status\":\"degraded\"}");
    service.worker.store->operations = operations;
    service_teardown();
}

static void test_head(void) {
    service_setup(NULL);
    struct sent *head = service_ask("HEAD", "/healthz", NULL, NULL);
    CU_ASSERT_EQUAL(head->status, 200);
    CU_ASSERT_STRING_EQUAL(service_header(head, "Content-Length"), "15"); /* of {"status":"ok"} */
    service.api.draining = true;
    CU_ASSERT_EQUAL(service_ask("HEAD", "/readyz", NULL, NULL)->status, 503);
    service_teardown();
}

static const struct unit_case CASES[] = {
    {"open to everybody", test_open},
    {"draining", test_draining},
    {"a lost cache server", test_degraded},
    {"HEAD", test_head},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "health", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
