#include "api/dashboard.h"

#include "service.h"

#define BROWSER   "HTTP_ACCEPT=text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
#define ELSEWHERE "\nREMOTE_ADDR=192.0.2.1"

static void token(struct settings *settings) {
    strcpy(settings->admin_token, "secret");
}

static void check_page(const struct sent *sent, int status) {
    static const char BEGINNING[] = "<!DOCTYPE html>\n", END[] = "</html>\n";
    CU_ASSERT_EQUAL(sent->status, status);
    CU_ASSERT_STRING_EQUAL(service_header(sent, "Content-Type"), "text/html; charset=utf-8");
    CU_ASSERT_STRING_EQUAL(service_header(sent, "X-Content-Type-Options"), "nosniff");
    CU_ASSERT_STRING_EQUAL(service_header(sent, "Cache-Control"), "no-store");
    CU_ASSERT_STRING_EQUAL(service_header(sent, "Referrer-Policy"), "no-referrer");
    CU_ASSERT_EQUAL(strncmp(sent->body, BEGINNING, strlen(BEGINNING)), 0);
    CU_ASSERT_STRING_EQUAL(sent->body + sent->body_length - strlen(END), END);
    /* Also on a refusal: it is the same page. */
    const char *policy = service_header(sent, "Content-Security-Policy");
    CU_ASSERT_PTR_NOT_NULL(strstr(policy, "default-src 'none'; style-src 'sha256-"));
    CU_ASSERT_PTR_NOT_NULL(strstr(policy, "='; script-src 'sha256-"));
    CU_ASSERT_PTR_NULL(strstr(policy, "unsafe"));
}

static void test_page(void) {
    service_setup(NULL);
    struct sent *sent = service_ask("GET", "/dashboard", NULL, NULL);
    check_page(sent, 200);
    CU_ASSERT_STRING_EQUAL(service_header(sent, "WWW-Authenticate"), "");
    CU_ASSERT_EQUAL(service_ask("HEAD", "/dashboard", NULL, NULL)->status, 200);
    service_teardown();
}

/* A page cannot be asked for with a bearer token, so without one it is what the browser shows of the 401. */
static void test_browser_without_token(void) {
    service_setup(token);
    struct sent *sent = service_ask("GET", "/dashboard", BROWSER ELSEWHERE, NULL);
    check_page(sent, 401);
    CU_ASSERT_STRING_EQUAL(service_header(sent, "WWW-Authenticate"), "Bearer realm=\"inferonce\"");
    CU_ASSERT_EQUAL(service_counted(STAT_rejected_requests), 1);
    check_page(service_ask("GET", "/dashboard", BROWSER "\nHTTP_AUTHORIZATION=Bearer secret" ELSEWHERE, NULL),
               200);
    service_teardown();
}

static void test_browser_elsewhere(void) {
    service_setup(NULL);
    struct sent *sent = service_ask("GET", "/dashboard", BROWSER ELSEWHERE, NULL);
    check_page(sent, 403);
    CU_ASSERT_STRING_EQUAL(service_header(sent, "WWW-Authenticate"), "");
    service_teardown();
}

/* A client that does not ask for HTML gets a problem, as at every other endpoint. */
static void test_others(void) {
    static const char *const OTHERS[] = {
        "HTTP_AUTHORIZATION=Bearer wrong",
        "HTTP_ACCEPT=*/*",
        "HTTP_ACCEPT=application/json",
        "HTTP_ACCEPT=text/html;q=0.5, application/problem+json",
    };
    service_setup(token);
    for (size_t i = 0; i < sizeof(OTHERS) / sizeof(OTHERS[0]); i++)
        service_check_problem(service_ask("GET", "/dashboard", OTHERS[i], NULL), 401, "unauthorized", NULL);
    /* And no other endpoint has a page. */
    service_check_problem(service_ask("GET", "/metrics", BROWSER, NULL), 401, "unauthorized", NULL);
    service_check_problem(service_ask("GET", "/cache/stats", BROWSER, NULL), 401, "unauthorized", NULL);
    service_teardown();
}

/* An exchange is used again: a refusal is not remembered. */
static void test_after_a_refusal(void) {
    service_setup(NULL);
    check_page(service_ask("GET", "/dashboard", BROWSER ELSEWHERE, NULL), 403);
    check_page(service_ask("GET", "/dashboard", BROWSER, NULL), 200);
    service_teardown();
}

static const struct unit_case CASES[] = {
    {"the page", test_page},
    {"a browser without the token", test_browser_without_token},
    {"a browser on another machine", test_browser_elsewhere},
    {"others", test_others},
    {"after a refusal", test_after_a_refusal},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "dashboard", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
