#include "inferonce/http/date.h"

#include "unit.h"

static void test_dates(void) {
    static const struct {
        const char *text;
        int64_t seconds;
    } ROWS[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},   {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
        {"Sun Nov  6 08:49:37 1994", 784111777},        {" \tSun, 06 Nov 1994 08:49:37 GMT ", 784111777},
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},           {"Fri, 31 Dec 9999 23:59:59 GMT", 253402300799},
        {"Saturday, 01-Jan-00 00:00:00 GMT", 946684800}};
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        int64_t seconds = -1;
        CU_ASSERT(http_date_read(bytes_of(ROWS[i].text), &seconds));
        CU_ASSERT_EQUAL(seconds, ROWS[i].seconds);
    }
}

static void test_what_is_no_date(void) {
    static const char *const WRONG[] = {"",
                                        " ",
                                        "0",
                                        "-1",
                                        "never",
                                        "120",
                                        "Sun, 06 Nov 1994 08:49:37",
                                        "Sun, 06 Nov 1994 08:49:37 GMT x",
                                        "Sun, 06 Nov 1994 08:49:37 +0100",
                                        "1994-11-06T08:49:37Z",
                                        "Sun, 32 Nov 1994 08:49:37 GMT",
                                        "Sun, 06 Nov 1994 25:49:37 GMT",
                                        "Sun, 06 Nov 1994 08:49:37 GMT Sun, 06 Nov 1994 08:49:37 GMT"};
    int64_t seconds = -1;
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++)
        CU_ASSERT_FALSE(http_date_read(bytes_of(WRONG[i]), &seconds));
    CU_ASSERT_FALSE(http_date_read((struct bytes){"Sun Nov  6 08:49:37 1994\0", 25}, &seconds));
    CU_ASSERT_EQUAL(seconds, -1);
}

static const struct unit_case CASES[] = {
    {"the three forms", test_dates},
    {"what is no date", test_what_is_no_date},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "date", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
