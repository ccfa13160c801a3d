#include "inferonce/api/routes.h"

#include "service.h"

/* The table of routes: which paths there are, what they allow, who may. */

#define SOME_KEY "/cache/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const struct {
    const char *path, *allow;
    bool admin;
} PATHS[] = {
    {"/metrics", "GET, HEAD, OPTIONS", true},       {"/dashboard", "GET, HEAD, OPTIONS", true},
    {"/predict", "POST, QUERY, OPTIONS", false},    {"/cache", "DELETE, OPTIONS", true},
    {"/cache/stats", "GET, HEAD, OPTIONS", true},   {"/cache/purge", "POST, OPTIONS", true},
    {SOME_KEY, "GET, HEAD, DELETE, OPTIONS", true}, {"/healthz", "GET, HEAD, OPTIONS", false},
    {"/readyz", "GET, HEAD, OPTIONS", false},       {"/openapi.json", "GET, HEAD, OPTIONS", false},
    {"/metrics", "GET, HEAD, OPTIONS", true},       {"/dashboard", "GET, HEAD, OPTIONS", true},
};

#define N_PATHS (sizeof(PATHS) / sizeof(PATHS[0]))

static void test_allow(void) {
    service_setup(NULL);
    for (size_t i = 0; i < N_PATHS; i++) {
        struct sent *options = service_ask("OPTIONS", PATHS[i].path, NULL, NULL);
        CU_ASSERT_EQUAL(options->status, 204);
        CU_ASSERT_STRING_EQUAL(service_header(options, "Allow"), PATHS[i].allow);
        struct sent *put = service_ask("PUT", PATHS[i].path, NULL, "{}");
        service_check_problem(put, 405, "method-not-allowed", NULL);
        CU_ASSERT_STRING_EQUAL(service_header(put, "Allow"), PATHS[i].allow);
        service_check_problem(service_ask("BREW", PATHS[i].path, NULL, NULL), 501, "method-unknown", NULL);
    }
    service_teardown();
}

static void test_unknown_paths(void) {
    static const char *const UNKNOWN[] = {"/",       "/predict/",     "/Predict", "/cache/a/b",
                                          "/cache/", "/cache/stats/", "/healthz2"};
    service_setup(NULL);
    for (size_t i = 0; i < sizeof(UNKNOWN) / sizeof(UNKNOWN[0]); i++)
        service_check_problem(service_ask("GET", UNKNOWN[i], NULL, NULL), 404, "not-found", NULL);
    service_teardown();
}

/* The first method that a path allows. */
static struct sent *ask_path(size_t i, const char *fields) {
    char method[16];
    snprintf(method, sizeof(method), "%.*s", (int)strcspn(PATHS[i].allow, ","), PATHS[i].allow);
    return service_administer(method, PATHS[i].path, fields, "{\"keys\":[]}");
}

static void token(struct settings *settings) {
    strcpy(settings->admin_token, "secret");
}

static bool is_refused(const struct sent *sent) {
    return sent->status == 401 || sent->status == 403;
}

static void test_admin_by_address(void) {
    service_setup(NULL);
    for (size_t i = 0; i < N_PATHS; i++) {
        CU_ASSERT_FALSE(is_refused(ask_path(i, "REMOTE_ADDR=127.0.0.1")));
        struct sent *other = ask_path(i, "REMOTE_ADDR=192.0.2.1\nHTTP_AUTHORIZATION=Bearer ");
        CU_ASSERT_EQUAL(is_refused(other), PATHS[i].admin);
        if (PATHS[i].admin)
            service_check_problem(other, 403, "forbidden", NULL);
    }
    service_teardown();
}

static void test_admin_by_token(void) {
    service_setup(token);
    for (size_t i = 0; i < N_PATHS; i++) {
        CU_ASSERT_FALSE(is_refused(ask_path(i, "REMOTE_ADDR=192.0.2.1\nHTTP_AUTHORIZATION=Bearer secret")));
        struct sent *wrong = ask_path(i, "HTTP_AUTHORIZATION=Bearer secres");
        CU_ASSERT_EQUAL(is_refused(wrong), PATHS[i].admin);
        CU_ASSERT_EQUAL(service_header(wrong, "WWW-Authenticate")[0] != '\0', PATHS[i].admin);
        CU_ASSERT_EQUAL(is_refused(ask_path(i, NULL)), PATHS[i].admin); /* nor does being local help */
    }
    service_teardown();
}

static void test_each_is_counted_under_its_path(void) {
    for (size_t i = 0; i < API_ROUTES_COUNT; i++)
        CU_ASSERT_STRING_EQUAL(COUNTED_PATH_TEXTS[API_ROUTES[i].counted_as], API_ROUTES[i].path);
}

static const struct unit_case CASES[] = {
    {"each is counted under its path", test_each_is_counted_under_its_path},
    {"what each path allows", test_allow},
    {"unknown paths", test_unknown_paths},
    {"admin endpoints, by address", test_admin_by_address},
    {"admin endpoints, by token", test_admin_by_token},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "routes", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
