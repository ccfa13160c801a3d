#include "engine/upstream/freshness.h"

#include "unit.h"

#define NOT_SAID UINT64_MAX

#define NOW_S 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT */

static struct freshness read(const char *cache_control, const char *age) {
    struct freshness freshness = {0};
    if (cache_control)
        freshness_read_cache_control(&freshness, bytes_of(cache_control));
    if (age)
        freshness_read_age(&freshness, bytes_of(age));
    return freshness;
}

static void test_lifetime(void) {
    static const struct {
        const char *cache_control, *age;
        uint64_t lifetime_ms;
    } ROWS[] = {
        {NULL, NULL, NOT_SAID},
        {"public, must-revalidate", NULL, NOT_SAID},
        {NULL, "10", NOT_SAID},
        {"max-age=60", NULL, 60000},
        {"MAX-AGE=60", NULL, 60000},
        {"max-age=\"60\"", NULL, 60000},
        {" , max-age=60 ,", NULL, 60000},
        {"max-age=60", "20", 40000},
        {"max-age=60", " 60", 0},
        {"max-age=60", "61", 0},
        {"max-age=60", "x", 60000},
        {"max-age=60", "-1", 60000},
        {"max-age=60, s-maxage=10", NULL, 10000},
        {"s-maxage=100, max-age=60", NULL, 100000},
        {"max-age=60, max-age=50", NULL, 50000},
        {"max-age=50, max-age=60", NULL, 50000},
        {"max-age=0", NULL, 0},
        {"max-age", NULL, 0},
        {"max-age=", NULL, 0},
        {"max-age=-1", NULL, 0},
        {"max-age=1.5", NULL, 0},
        {"max-age=abc", NULL, 0},
        {"max-age=99999999999999999999999", NULL, UINT64_C(2147483648000)},
        {"max-age=99999999999999999999999", "99999999999999999999999", 0},
        {"foo=\"max-age=1, s-maxage=2\"", NULL, NOT_SAID},
        {"xmax-age=1, max-age-x=2", NULL, NOT_SAID},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct freshness freshness = read(ROWS[i].cache_control, ROWS[i].age);
        CU_ASSERT_EQUAL(freshness_lifetime_ms(&freshness, NOW_S), ROWS[i].lifetime_ms);
        CU_ASSERT_FALSE(freshness.forbidden);
    }
}

/* Expires counts from the answer's Date, or from now. */
static void test_expires(void) {
    static const struct {
        const char *expires, *date, *cache_control, *age;
        uint64_t lifetime_ms;
    } ROWS[] = {
        {"Sun, 06 Nov 1994 08:50:37 GMT", NULL, NULL, NULL, 60000},
        {"Sun, 06 Nov 1994 08:50:37 GMT", NULL, NULL, "20", 40000},
        {"Sun, 06 Nov 1994 08:49:37 GMT", NULL, NULL, NULL, 0},
        {"Sun, 06 Nov 1994 08:49:36 GMT", NULL, NULL, NULL, 0},
        {"Sun, 06 Nov 1994 08:50:37 GMT", "Sun, 06 Nov 1994 08:50:07 GMT", NULL, NULL, 30000},
        {"Sun, 06 Nov 1994 08:50:37 GMT", "Sun, 06 Nov 1994 08:50:37 GMT", NULL, NULL, 0},
        {"Thu, 01 Dec 1994 16:00:00 GMT", "Thu, 01 Dec 1994 17:00:00 GMT", NULL, NULL, 0},
        {"Sun, 06 Nov 1994 08:50:37 GMT", "not a date", NULL, NULL, 60000},
        {"0", NULL, NULL, NULL, 0},
        {"-1", NULL, NULL, NULL, 0},
        {"never", NULL, NULL, NULL, 0},
        {"Thu, 01 Jan 1970 00:00:00 GMT", NULL, "max-age=60", NULL, 60000},
        {"Thu, 01 Jan 1970 00:00:00 GMT", NULL, "s-maxage=60", NULL, 60000},
        {"Thu, 01 Jan 1970 00:00:00 GMT", NULL, "public", NULL, 0},
        {"Fri, 31 Dec 9999 23:59:59 GMT", NULL, NULL, NULL, UINT64_C(2147483648000)},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct freshness freshness = read(ROWS[i].cache_control, ROWS[i].age);
        freshness_read_expires(&freshness, bytes_of(ROWS[i].expires));
        if (ROWS[i].date)
            freshness_read_date(&freshness, bytes_of(ROWS[i].date));
        CU_ASSERT_EQUAL(freshness_lifetime_ms(&freshness, NOW_S), ROWS[i].lifetime_ms);
        CU_ASSERT_FALSE(freshness.forbidden);
    }
    struct freshness freshness = {0};
    freshness_read_expires(&freshness, bytes_of("Sun, 06 Nov 1994 08:50:37 GMT"));
    freshness_read_expires(&freshness, bytes_of("Sun, 06 Nov 1994 08:49:47 GMT"));
    freshness_read_expires(&freshness, bytes_of("Sun, 06 Nov 1994 08:50:37 GMT"));
    CU_ASSERT_EQUAL(freshness_lifetime_ms(&freshness, NOW_S), 10000);
}

static void test_vary(void) {
    static const struct {
        const char *vary;
        bool forbidden;
    } ROWS[] = {{"*", true},         {" * ", true},     {"Accept, *", true},
                {"*, Accept", true}, {"Accept", false}, {"", false},
                {"Accept-*", false}, {"**", false},     {"Accept-Encoding,,Origin", false}};
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct freshness freshness = {0};
        freshness_read_vary(&freshness, bytes_of(ROWS[i].vary));
        CU_ASSERT_EQUAL(freshness.forbidden, ROWS[i].forbidden);
    }
}

static void test_forbidden(void) {
    static const char *const FORBIDDEN[] = {
        "no-store", "No-Store, max-age=60", "max-age=60 , private", "private=\"a, b\"",
        "no-cache", "max-age=1,,no-store",  "no-store=whatever",    "a=\"\\\"\", no-store"};
    static const char *const ALLOWED[] = {"", "public", "no-storex", "x=\"no-store\"",
                                          "no-transform, =no-store"};
    for (size_t i = 0; i < sizeof(FORBIDDEN) / sizeof(FORBIDDEN[0]); i++)
        CU_ASSERT(read(FORBIDDEN[i], NULL).forbidden);
    for (size_t i = 0; i < sizeof(ALLOWED) / sizeof(ALLOWED[0]); i++)
        CU_ASSERT_FALSE(read(ALLOWED[i], NULL).forbidden);
}

static void test_several_lines(void) {
    struct freshness freshness = read("max-age=60", NULL);
    freshness_read_cache_control(&freshness, bytes_of("max-age=10"));
    CU_ASSERT_EQUAL(freshness_lifetime_ms(&freshness, NOW_S), 10000);
    freshness_read_cache_control(&freshness, bytes_of("no-store"));
    CU_ASSERT(freshness.forbidden);
}

static const struct unit_case CASES[] = {
    {"lifetime", test_lifetime},
    {"Expires", test_expires},
    {"Vary", test_vary},
    {"what may not be stored", test_forbidden},
    {"several lines are one list", test_several_lines},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "freshness", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
