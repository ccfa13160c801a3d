#include "engine/upstream/retry_after.h"

#include "unit.h"

#define NOW_S 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT */

static void test_one_line(void) {
    static const struct {
        const char *value;
        unsigned seconds;
    } ROWS[] = {
        {"7", 7},
        {" 120 ", 120},
        {"0", 1},
        {"3600", 3600},
        {"3601", 3600},
        {"999999999", 3600},
        {"18446744073709551616", 3600}, /* beyond 64 bits */
        {"99999999999999999999999999999999", 3600},
        {"-1", 1},
        {"1.5", 1},
        {"soon", 1},
        {"", 1},
        {"Sun, 06 Nov 1994 08:49:47 GMT", 10},
        {"Sunday, 06-Nov-94 08:50:37 GMT", 60},
        {"Sun Nov  6 08:49:39 1994", 2},
        {"Sun, 06 Nov 1994 08:49:37 GMT", 1},
        {"Sun, 06 Nov 1994 08:49:36 GMT", 1}, /* is over */
        {"Thu, 01 Jan 1970 00:00:00 GMT", 1},
        {"Fri, 31 Dec 9999 23:59:59 GMT", 3600},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct retry_after retry_after = {0};
        retry_after_read(&retry_after, bytes_of(ROWS[i].value));
        CU_ASSERT_EQUAL(retry_after_seconds(&retry_after, NOW_S), ROWS[i].seconds);
    }
}

static void test_several_lines(void) {
    struct retry_after retry_after = {0};
    CU_ASSERT_EQUAL(retry_after_seconds(&retry_after, NOW_S), 1);
    retry_after_read(&retry_after, bytes_of("9"));
    retry_after_read(&retry_after, bytes_of("5"));
    retry_after_read(&retry_after, bytes_of("x"));
    CU_ASSERT_EQUAL(retry_after_seconds(&retry_after, NOW_S), 9);
    retry_after_read(&retry_after, bytes_of("Sun, 06 Nov 1994 08:49:47 GMT"));
    CU_ASSERT_EQUAL(retry_after_seconds(&retry_after, NOW_S), 10);
    CU_ASSERT_EQUAL(retry_after_seconds(&retry_after, NOW_S + 5), 9);
}

static const struct unit_case CASES[] = {
    {"seconds or a date, within limits", test_one_line},
    {"of several lines the latest", test_several_lines},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "retry_after", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
