#include "inferonce/http/cache_control.h"

#include <stdio.h>

#include "unit.h"

/* The properties are those of the fuzz target; here they run over seeded random lines. */
#include "../../fuzz/cache_control_fuzz.c"

static struct cache_control read_line(const char *line) {
    struct cache_control control;

    cache_control_init(&control);
    cache_control_parse(&control, bytes_of(line));
    return control;
}

static bool says_nothing(const char *line) {
    struct cache_control nothing;
    struct cache_control control = read_line(line);

    cache_control_init(&nothing);
    nothing.present = true;
    return are_equal(&control, &nothing);
}

static void test_init(void) {
    struct cache_control control;

    cache_control_init(&control);
    CU_ASSERT_FALSE(control.present);
    CU_ASSERT_FALSE(control.no_cache || control.no_store || control.only_if_cached || control.max_stale_any);
    CU_ASSERT_EQUAL(control.max_age_s, SECONDS_ABSENT);
    CU_ASSERT_EQUAL(control.min_fresh_s, SECONDS_ABSENT);
    CU_ASSERT_EQUAL(control.max_stale_s, SECONDS_ABSENT);
    CU_ASSERT_EQUAL(control.stale_if_error_s, SECONDS_ABSENT);
}

static void test_plain(void) {
    struct cache_control control =
        read_line("no-cache, no-store,only-if-cached ,max-age=1,min-fresh=2,max-stale=3,stale-if-error=4");

    CU_ASSERT_TRUE(control.present);
    CU_ASSERT_TRUE(control.no_cache && control.no_store && control.only_if_cached);
    CU_ASSERT_FALSE(control.max_stale_any);
    CU_ASSERT_EQUAL(control.max_age_s, 1);
    CU_ASSERT_EQUAL(control.min_fresh_s, 2);
    CU_ASSERT_EQUAL(control.max_stale_s, 3);
    CU_ASSERT_EQUAL(control.stale_if_error_s, 4);
    CU_ASSERT_TRUE(read_line("max-stale").max_stale_any);
}

static void test_spelling(void) {
    CU_ASSERT_TRUE(read_line("NO-CACHE").no_cache);
    CU_ASSERT_TRUE(read_line(",, no-cache ,").no_cache);
    CU_ASSERT_TRUE(read_line("\t no-store \t").no_store);
    CU_ASSERT_TRUE(read_line("no-cache=\"x\"").no_cache);
    CU_ASSERT_TRUE(read_line("no-cache=x").no_cache);
    CU_ASSERT_EQUAL(read_line("Max-Age=0").max_age_s, 0);
    CU_ASSERT_EQUAL(read_line("max-age=\"0\"").max_age_s, 0);
    CU_ASSERT_EQUAL(read_line("max-age=\"60\"").max_age_s, 60);
    CU_ASSERT_EQUAL(read_line("max-age=\"6\\0\"").max_age_s, 60);
    CU_ASSERT_EQUAL(read_line("max-age=0000000000000000000000060").max_age_s, 60);
}

static void test_unknown(void) {
    static const char *const LINES[] = {
        "",
        " ",
        ",,,",
        "xno-cache",
        "no-cache-foo",
        "no-cach",
        "foo, bar=\"a, no-store\"",
        "foo=\"\\\", no-store, \\\"\"",
        "private, s-maxage=0, must-revalidate, public, no-transform",
        "community=\"UCI, max-age=0\"",
        "=no-store",
        "\"no-store\"",
        "\"a, no-cache\"",
        "x-max-age=5",
        "(no-store)",
    };

    for (size_t i = 0; i < sizeof(LINES) / sizeof(LINES[0]); i++) {
        bool nothing = says_nothing(LINES[i]);
        CU_ASSERT_TRUE(nothing);
        if (!nothing)
            printf("    not ignored: %s\n", LINES[i]);
    }
}

static void test_malformed_numbers(void) {
    static const char *const ARGUMENTS[] = {
        "=abc", "=-1", "=1.5", "=",   "=\"\"", "=\"-1\"", "=\" 5\"", " = 5", " =5",  "= 5",
        "=5 6", "=5x", "=+5",  "=5;", "=\"5",  "=\"5\"x", "=5\"\"",  "=0x5", "=5=5",
    };
    char line[64];

    for (size_t i = 0; i < sizeof(ARGUMENTS) / sizeof(ARGUMENTS[0]); i++) {
        snprintf(line, sizeof(line), "max-age%s", ARGUMENTS[i]);
        CU_ASSERT_EQUAL(read_line(line).max_age_s, 0);
        snprintf(line, sizeof(line), "min-fresh%s", ARGUMENTS[i]);
        CU_ASSERT_EQUAL(read_line(line).min_fresh_s, SECONDS_HUGE);
        snprintf(line, sizeof(line), "max-stale%s", ARGUMENTS[i]);
        CU_ASSERT_TRUE(says_nothing(line));
        snprintf(line, sizeof(line), "stale-if-error%s", ARGUMENTS[i]);
        CU_ASSERT_TRUE(says_nothing(line));
    }
    CU_ASSERT_EQUAL(read_line("max-age").max_age_s, 0);
    CU_ASSERT_EQUAL(read_line("min-fresh").min_fresh_s, SECONDS_HUGE);
    CU_ASSERT_TRUE(says_nothing("stale-if-error"));
}

/* RFC 9111 section 1.2.2: greater than 2^31 counts as 2^31. */
static void test_saturation(void) {
    CU_ASSERT_EQUAL(read_line("max-age=2147483647").max_age_s, 2147483647);
    CU_ASSERT_EQUAL(read_line("max-age=2147483648").max_age_s, 2147483648);
    CU_ASSERT_EQUAL(read_line("max-age=2147483649").max_age_s, 2147483648);
    CU_ASSERT_EQUAL(read_line("max-age=18446744073709551616").max_age_s, 2147483648);
    CU_ASSERT_EQUAL(read_line("max-stale=99999999999999999999999999999999999").max_stale_s, 2147483648);
}

static void test_several_of_one(void) {
    CU_ASSERT_EQUAL(read_line("max-age=5, max-age=3").max_age_s, 3);
    CU_ASSERT_EQUAL(read_line("max-age=3, max-age=5").max_age_s, 3);
    CU_ASSERT_EQUAL(read_line("max-age=3, max-age=x").max_age_s, 0);
    CU_ASSERT_EQUAL(read_line("min-fresh=5, min-fresh=3").min_fresh_s, 5);
    CU_ASSERT_EQUAL(read_line("min-fresh=3, min-fresh=5").min_fresh_s, 5);
    CU_ASSERT_EQUAL(read_line("max-stale=5, max-stale=3").max_stale_s, 3);
    CU_ASSERT_EQUAL(read_line("max-stale=5, max-stale=x").max_stale_s, 5);
    CU_ASSERT_EQUAL(read_line("stale-if-error=9, stale-if-error=8").stale_if_error_s, 8);
    CU_ASSERT_EQUAL(read_line("max-stale, max-stale=3").max_stale_s, 3);
    CU_ASSERT_FALSE(read_line("max-stale, max-stale=3").max_stale_any);
    CU_ASSERT_FALSE(read_line("max-stale=3, max-stale").max_stale_any);
    CU_ASSERT_TRUE(read_line("max-stale, max-stale=x").max_stale_any);
}

static void test_several_lines(void) {
    struct cache_control control = read_line("max-age=60");

    cache_control_parse(&control, bytes_of("no-store"));
    cache_control_parse(&control, bytes_of("max-age=30"));
    CU_ASSERT_TRUE(control.no_store);
    CU_ASSERT_EQUAL(control.max_age_s, 30);
}

static void test_quotes_that_do_not_end(void) {
    CU_ASSERT_TRUE(says_nothing("foo=\"a, no-store"));
    CU_ASSERT_TRUE(says_nothing("foo=\"a\\\", no-store"));
    CU_ASSERT_TRUE(says_nothing("foo=\"a\\"));
    CU_ASSERT_TRUE(says_nothing("foo \", no-store"));
    CU_ASSERT_FALSE(read_line("no-cache, foo=\"a, no-store").no_store);
    CU_ASSERT_TRUE(read_line("no-cache, foo=\"a, no-store").no_cache);

    /* The next line is not inside the quotes of this one. */
    struct cache_control control = read_line("foo=\"a");
    cache_control_parse(&control, bytes_of("no-store"));
    CU_ASSERT_TRUE(control.no_store);
}

static void apply_pragma(struct cache_control *control, const char *line) {
    struct cache_control pragma = read_line(line);
    cache_control_apply_pragma(control, &pragma);
}

static void test_pragma(void) {
    struct cache_control control;

    cache_control_init(&control);
    apply_pragma(&control, "no-cache");
    CU_ASSERT_TRUE(control.no_cache);
    CU_ASSERT_FALSE(control.present);

    cache_control_init(&control);
    apply_pragma(&control, "foo=\"a,b\", No-Cache");
    CU_ASSERT_TRUE(control.no_cache);

    cache_control_init(&control);
    apply_pragma(&control, "no-store, max-age=0, foo=\"no-cache\"");
    CU_ASSERT_FALSE(control.no_cache || control.no_store);
    CU_ASSERT_EQUAL(control.max_age_s, SECONDS_ABSENT);

    control = read_line("");
    apply_pragma(&control, "no-cache");
    CU_ASSERT_FALSE(control.no_cache);
}

static uint32_t next_random(uint32_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* Lines out of pieces that mean something to the parser; a failed property aborts. */
static void test_random_lines(void) {
    static const char *const PIECES[] = {
        "no-cache",
        "no-store",
        "max-age",
        "min-fresh",
        "max-stale",
        "only-if-cached",
        "stale-if-error",
        "foo",
        "=",
        ",",
        "\"",
        "\\",
        " ",
        "\t",
        "0",
        "7",
        "999999999999",
        "-",
        "\n",
        "\xff",
        ";",
    };
    uint32_t state = 20260101;
    char line[512];

    for (unsigned round = 0; round < 50000; round++) {
        size_t length = 0;
        unsigned pieces = next_random(&state) % 24;
        for (unsigned i = 0; i < pieces; i++) {
            const char *piece = PIECES[next_random(&state) % (sizeof(PIECES) / sizeof(PIECES[0]))];
            memcpy(line + length, piece, strlen(piece));
            length += strlen(piece);
        }
        LLVMFuzzerTestOneInput((const uint8_t *)line, length);
    }
    for (unsigned round = 0; round < 50000; round++) {
        size_t length = next_random(&state) % 64;
        for (size_t i = 0; i < length; i++)
            line[i] = (char)next_random(&state);
        LLVMFuzzerTestOneInput((const uint8_t *)line, length);
    }
}

static const struct unit_case CASES[] = {
    {"nothing was said at first", test_init},
    {"every directive", test_plain},
    {"case, white space, empty members, quoted arguments", test_spelling},
    {"what is unknown is ignored", test_unknown},
    {"malformed numbers", test_malformed_numbers},
    {"huge numbers saturate", test_saturation},
    {"of several of one the most restrictive", test_several_of_one},
    {"several lines are one list", test_several_lines},
    {"a quoted string that does not end", test_quotes_that_do_not_end},
    {"Pragma, only without Cache-Control", test_pragma},
    {"random lines keep the properties", test_random_lines},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "cache_control", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
