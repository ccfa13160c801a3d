#include "inferonce/http/accept.h"

#include <stdio.h>

#include "unit.h"

/* RFC 9110 section 12.5.1. */

static const struct media_type HTML = {"text", "html", NULL};
static const struct media_type PLAIN = {"text", "plain", "0.0.4"};

static const struct {
    const char *accept;
    unsigned html, plain;
} ROWS[] = {
    {NULL, 1000, 1000},
    {"", 1000, 1000},
    {" \t", 1000, 1000},
    {"*/*", 1000, 1000},
    {"text/*", 1000, 1000},
    {"text/html", 1000, 0},
    {"TEXT/Html", 1000, 0},
    {"application/json", 0, 0},
    {"application/*", 0, 0},
    {"image/png, text/html;q=0.3 , */*;q=0.1", 300, 100},
    /* The most precise range decides, wherever it stands and whatever its quality. */
    {"*/*;q=0.9, text/*;q=0.5, text/html;q=0.1", 100, 500},
    {"text/html;q=0, text/*;q=0.5, */*", 0, 500},
    {"text/html;q=0.2, text/html;q=0.7, text/html;q=0.4", 700, 0},
    /* A version is of one format; other parameters tell nothing apart. */
    {"text/plain;version=0.0.4", 0, 1000},
    {"text/plain; version=\"x\"", 0, 0},
    {"text/plain;version=1.0.0, text/plain;version=0.0.4;q=0.2", 0, 200},
    {"text/plain;q=0.8, text/plain;version=0.0.4;q=0.2", 0, 200},
    {"text/plain;version=0.0.4;q=0.2, text/plain;q=0.8", 0, 200},
    {"text/html;version=1", 0, 0},
    {"text/html;charset=utf-8;level=\"a,b;q=0\";q=0.5", 500, 0},
    {"text/html ; q=0.5 ; ext=1, text/plain ;; q=0.25;", 500, 250},
    /* section 12.4.2 */
    {"text/html;q=1, text/plain;q=0", 1000, 0},
    {"text/html;q=1.000, text/plain;q=0.000", 1000, 0},
    {"text/html;q=0.001, text/plain;q=0.12", 1, 120},
    {"text/html;q=1., text/plain;q=0.", 1000, 0},
    {"text/html;Q=0.5", 500, 0},
    /* A malformed element is ignored; the elements beside it count. */
    {"text/html;q=1.001, text/plain", 0, 1000},
    {"text/html;q=2, text/plain", 0, 1000},
    {"text/html;q=0.1234, text/plain", 0, 1000},
    {"text/html;q=-1, text/plain", 0, 1000},
    {"text/html;q=.5, text/plain", 0, 1000},
    {"text/html;q=0.x, text/plain", 0, 1000},
    {"text/html;q=0,5, text/plain", 0, 1000},
    {"text/html;q=, text/plain", 0, 1000},
    {"text/html;q, text/plain", 0, 1000},
    {"text/html;q=\"0.5\", text/plain", 0, 1000},
    {"text, text/plain", 0, 1000},
    {"text/, text/plain", 0, 1000},
    {"/html, text/plain", 0, 1000},
    {"text/html x, text/plain", 0, 1000},
    {"*/html, text/plain", 0, 1000},
    {", ,text/html,", 1000, 0},
    {"text/html;a=\"open, text/plain", 0, 0},
    {"text/html/xml", 0, 0},
};

static void test_rows(void) {
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        const struct field_lines accept = {.lines = {bytes_of(ROWS[i].accept)}, .n = ROWS[i].accept != NULL};
        CU_ASSERT_EQUAL(accept_quality(&accept, &HTML), ROWS[i].html);
        CU_ASSERT_EQUAL(accept_quality(&accept, &PLAIN), ROWS[i].plain);
        if (accept_quality(&accept, &HTML) != ROWS[i].html ||
            accept_quality(&accept, &PLAIN) != ROWS[i].plain)
            printf("    in: %s\n", ROWS[i].accept);
    }
}

/* Several lines are one list; an empty one adds nothing. */
static void test_lines(void) {
    const struct field_lines two = {.lines = {bytes_of("text/html;q=0.5"), bytes_of("text/*;q=0.2")}, .n = 2};
    const struct field_lines with_empty = {.lines = {bytes_of(""), bytes_of("text/plain")}, .n = 2};
    const struct field_lines empty = {.lines = {bytes_of(""), bytes_of(" ")}, .n = 2};

    CU_ASSERT_EQUAL(accept_quality(&two, &HTML), 500);
    CU_ASSERT_EQUAL(accept_quality(&two, &PLAIN), 200);
    CU_ASSERT_EQUAL(accept_quality(&with_empty, &HTML), 0);
    CU_ASSERT_EQUAL(accept_quality(&with_empty, &PLAIN), 1000);
    CU_ASSERT_EQUAL(accept_quality(&empty, &HTML), 1000);
}

static const struct unit_case CASES[] = {
    {"what each field says of two types", test_rows},
    {"several lines", test_lines},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "accept", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
