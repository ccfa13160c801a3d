#include "cache/normalize.h"

#include <stdio.h>
#include <stdlib.h>
#include <utf8proc.h>

#include "../../fuzz/normalize_fuzz.c"
#include "unit.h"

#define NFC   CACHE_NORMALIZE_NFC
#define SPACE CACHE_NORMALIZE_SPACE
#define LOWER CACHE_NORMALIZE_LOWER

static struct buffer normal(enum cache_normalize level, struct bytes text) {
    struct buffer out;
    buffer_init(&out, 32 * text.length + 32);
    CU_ASSERT_TRUE(normalize_append(level, text, &out));
    return out;
}

static bool becomes(enum cache_normalize level, const char *text, const char *expected) {
    struct buffer out = normal(level, bytes_of(text));
    bool same = bytes_equal(buffer_bytes(&out), bytes_of(expected));
    if (!same)
        printf("\"%s\" became \"%.*s\", not \"%s\"\n", text, (int)out.length, out.data ? out.data : "",
               expected);
    buffer_fini(&out);
    return same;
}

static size_t encode(char *to, unsigned point) {
    return (size_t)(utf8_write(to, point) - to);
}

static void test_none(void) {
    CU_ASSERT_TRUE(becomes(CACHE_NORMALIZE_NONE, "  A\t e\xCC\x81 ", "  A\t e\xCC\x81 "));
    CU_ASSERT_TRUE(becomes(CACHE_NORMALIZE_NONE, "", ""));
}

static void test_nfc(void) {
    CU_ASSERT_TRUE(becomes(NFC, "e\u0301", "\u00E9"));
    CU_ASSERT_TRUE(becomes(NFC, "\u00E9", "\u00E9"));
    CU_ASSERT_TRUE(becomes(NFC, "\u212B", "\u00C5"));               /* the angstrom sign is a singleton */
    CU_ASSERT_TRUE(becomes(NFC, "a\u0307\u0323", "\u1EA1\u0307"));  /* class 220 goes before 230, composes */
    CU_ASSERT_TRUE(becomes(NFC, "q\u0307\u0323", "q\u0323\u0307")); /* nothing to compose with */
    CU_ASSERT_TRUE(becomes(NFC, "\u0958", "\u0915\u093C"));         /* excluded from composition */
    CU_ASSERT_TRUE(becomes(NFC, "\u1112\u1161\u11AB", "\uD55C"));   /* Hangul, by arithmetic */
    CU_ASSERT_TRUE(becomes(NFC, "\uAC00\u11A8", "\uAC01"));
    CU_ASSERT_TRUE(becomes(NFC, "\U0001D15E", "\U0001D157\U0001D165"));   /* excluded, beyond the BMP */
    CU_ASSERT_TRUE(becomes(NFC, "\u00FC  \u00DC\t", "\u00FC  \u00DC\t")); /* no more than that */
    CU_ASSERT_TRUE(becomes(NFC, "\uFB01", "\uFB01")); /* a compatibility character stays */
}

static void test_space(void) {
    static const unsigned WHITE[] = {0x09,   0x0A,   0x0B,   0x0C,   0x0D,   0x20,   0x85,   0xA0,   0x1680,
                                     0x2000, 0x2001, 0x2002, 0x2003, 0x2004, 0x2005, 0x2006, 0x2007, 0x2008,
                                     0x2009, 0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000};
    size_t n = 0;
    for (unsigned point = 1; point < 0x110000; point++) {
        if (point >= 0xD800 && point < 0xE000)
            continue;
        char text[32] = "x";
        size_t length = 1 + encode(text + 1, point);
        length += encode(text + length, point);
        text[length] = 'x';
        struct buffer out = normal(SPACE, (struct bytes){text, length + 1});
        bool collapsed = bytes_equal(buffer_bytes(&out), bytes_of("x x"));
        bool expected = n < sizeof(WHITE) / sizeof(WHITE[0]) && WHITE[n] == point;
        CU_ASSERT_EQUAL(collapsed, expected);
        n += expected;
        buffer_fini(&out);
    }
    CU_ASSERT_EQUAL(n, sizeof(WHITE) / sizeof(WHITE[0]));
    CU_ASSERT_TRUE(becomes(SPACE, " \t\u3000 A \r\n \u00A0 b\u2003", "A b"));
    CU_ASSERT_TRUE(becomes(SPACE, " \t\n ", ""));
    CU_ASSERT_TRUE(becomes(SPACE, "\u2003 \u3000", ""));
    CU_ASSERT_TRUE(becomes(SPACE, "I Love  It", "I Love It"));
}

static void test_lower(void) {
    CU_ASSERT_TRUE(becomes(LOWER, "  I LOVE\tthis [Z@A`{  ", "i love this [z@a`{"));
    CU_ASSERT_TRUE(
        becomes(LOWER, "\u00C4\u00D6 STRASSE \u1E9E \u00DF", "\u00E4\u00F6 strasse \u00DF \u00DF"));
    CU_ASSERT_TRUE(becomes(LOWER, "\u01C4\u01C5\u01C6", "\u01C6\u01C6\u01C6"));
    CU_ASSERT_TRUE(becomes(LOWER, "\u0130X\u0130", "i\u0307xi\u0307"));
    CU_ASSERT_TRUE(becomes(LOWER, "I\u0307", "i\u0307")); /* which NFC makes U+0130 first */
    CU_ASSERT_TRUE(becomes(LOWER, "J\u030C", "\u01F0"));  /* composes only in lower case */
    CU_ASSERT_TRUE(becomes(LOWER, "H\u0331", "\u1E96"));
    CU_ASSERT_TRUE(becomes(LOWER, "\u212A\u2126", "k\u03C9"));
    CU_ASSERT_TRUE(becomes(LOWER, "\U00010400", "\U00010428")); /* Deseret */
    CU_ASSERT_TRUE(becomes(LOWER, "\u13A0", "\uAB70"));         /* Cherokee */
}

static void test_final_sigma(void) {
    CU_ASSERT_TRUE(becomes(LOWER, "\u039F\u0394\u03A3", "\u03BF\u03B4\u03C2"));
    CU_ASSERT_TRUE(becomes(LOWER, "\u03A3", "\u03C3"));       /* no letter before it */
    CU_ASSERT_TRUE(becomes(LOWER, "A\u03A3A", "a\u03C3a"));   /* one behind it */
    CU_ASSERT_TRUE(becomes(LOWER, "A\u03A3.", "a\u03C2."));   /* ignorable behind it, then the end */
    CU_ASSERT_TRUE(becomes(LOWER, "A\u03A3'A", "a\u03C3'a")); /* ignorable, then a letter */
    CU_ASSERT_TRUE(becomes(LOWER, "A.\u0301\u03A3", "a.\u0301\u03C2"));
    CU_ASSERT_TRUE(becomes(LOWER, "1\u03A3 \u03A3", "1\u03C3 \u03C3"));
    CU_ASSERT_TRUE(becomes(LOWER, "A\u03A3\u03A3 B", "a\u03C3\u03C2 b"));
    CU_ASSERT_TRUE(becomes(LOWER, "\u2160\u03A3", "\u2170\u03C2")); /* a Roman numeral is cased */
    CU_ASSERT_TRUE(becomes(LOWER, "\u0130\u03A3", "i\u0307\u03C2"));
    CU_ASSERT_TRUE(becomes(LOWER, "\u4E2D\u03A3", "\u4E2D\u03C3")); /* an ideograph is not */
}

static uint32_t random_state;

static uint32_t next_random(uint32_t limit) {
    random_state = random_state * 1664525 + 1013904223;
    return (uint32_t)(((uint64_t)(random_state >> 4) * limit) >> 28);
}

/* A snowman in front sends the same text down the general path; the bars keep white space from it. */
static void compare_paths(enum cache_normalize level, const char *text, size_t length) {
    char both[256] = "\u2603|";
    const size_t prefix = 4;
    struct buffer fast, slow;
    memcpy(both + prefix, text, length);
    both[prefix + length] = '|';
    slow = normal(level, (struct bytes){both, prefix + length + 1});
    fast = normal(level, (struct bytes){both + prefix - 1, length + 2});
    CU_ASSERT_TRUE(
        bytes_equal((struct bytes){slow.data + prefix - 1, slow.length - prefix + 1}, buffer_bytes(&fast)));
    buffer_fini(&slow);
    buffer_fini(&fast);

    /* And the ends, with nothing to keep white space. */
    memcpy(both + prefix, text, length);
    slow = normal(level, (struct bytes){both, prefix + length});
    fast = normal(level, (struct bytes){both + prefix - 1, length + 1});
    CU_ASSERT_TRUE(
        bytes_equal((struct bytes){slow.data + prefix - 1, slow.length - prefix + 1}, buffer_bytes(&fast)));
    buffer_fini(&slow);
    buffer_fini(&fast);
    memcpy(both + 128, text, length);
    memcpy(both + 128 + length, "|\u2603", 4);
    slow = normal(level, (struct bytes){both + 128, length + 4});
    fast = normal(level, (struct bytes){both + 128, length + 1});
    CU_ASSERT_TRUE(bytes_equal((struct bytes){slow.data, slow.length - 3}, buffer_bytes(&fast)));
    buffer_fini(&slow);
    buffer_fini(&fast);
}

static void test_ascii_path_gives_the_same(void) {
    static const char LIKELY[] = " \t\n\r\v\fAZaz@[`{\x1c\x1f!~\x7f";
    random_state = 1;
    for (int run = 0; run < 60000; run++) {
        char text[100];
        size_t length = next_random(60);
        bool any = run % 3 == 0;
        uint32_t seldom = 1 + next_random(20);
        for (size_t i = 0; i < length; i++)
            text[i] = any                   ? (char)next_random(128)
                      : next_random(seldom) ? (char)('A' + next_random(58))
                                            : LIKELY[next_random(sizeof(LIKELY) - 1)];
        for (int level = CACHE_NORMALIZE_NONE; level <= CACHE_NORMALIZE_LOWER; level++)
            compare_paths((enum cache_normalize)level, text, length);
    }
}

static void test_ascii_allocates_nothing(void) {
    struct buffer out;
    buffer_init(&out, 1000);
    CU_ASSERT_PTR_NOT_NULL_FATAL(buffer_reserve(&out, 500));
    unit_allocations_count_start();
    for (int level = CACHE_NORMALIZE_NONE; level <= CACHE_NORMALIZE_LOWER; level++)
        CU_ASSERT_TRUE(
            normalize_append((enum cache_normalize)level, bytes_of("I love  this product!"), &out));
    CU_ASSERT_EQUAL(unit_allocations_count(), 0);
    buffer_fini(&out);
}

/* Each code point alone, and between letters, where it may compose or be a context. */
static void test_fixed_points(void) {
    char text[32];
    for (unsigned point = 0; point < 0x110000; point++) {
        if (point >= 0xD800 && point < 0xE000)
            continue;
        size_t length = encode(text, point);
        LLVMFuzzerTestOneInput((const uint8_t *)text, length);
        memcpy(text + length, "\u03A3\u0301", 4);
        LLVMFuzzerTestOneInput((const uint8_t *)text, length + 4);
    }
}

/* Marks out of order, for a sort that is quadratic a matter of minutes. Class 220 goes before class 230. */
static void test_long_run_of_marks(void) {
    const size_t pairs = 250000;
    char *text = malloc(4 * pairs + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    text[0] = 'q';
    for (size_t i = 0; i < pairs; i++)
        memcpy(text + 1 + 4 * i, "\u0301\u0323", 4);
    struct buffer out = normal(LOWER, (struct bytes){text, 4 * pairs + 1});
    CU_ASSERT_EQUAL(out.length, 4 * pairs + 1);
    for (size_t i = 0; i < 2 * pairs && out.length == 4 * pairs + 1; i++)
        if (memcmp(out.data + 1 + 2 * i, i < pairs ? "\u0323" : "\u0301", 2) != 0)
            CU_FAIL_FATAL("marks are out of order");
    buffer_fini(&out);
    free(text);
}

/* Marks of one class keep their order, also in runs that are sorted. */
static void test_order_is_stable(void) {
    CU_ASSERT_TRUE(becomes(NFC, "q\u0301\u0300\u0323\u0324", "q\u0323\u0324\u0301\u0300"));
    char text[256] = "q", expected[256] = "q";
    for (int i = 0; i < 20; i++)
        strcat(text, i % 2 ? "\u0301\u0323" : "\u0300\u0324");
    for (int i = 0; i < 20; i++)
        strcat(expected, i % 2 ? "\u0323" : "\u0324");
    for (int i = 0; i < 20; i++)
        strcat(expected, i % 2 ? "\u0301" : "\u0300");
    CU_ASSERT_TRUE(becomes(NFC, text, expected));
}

/* ---- another implementation ---- */

/* utf8proc's own NFC, which takes U+11A7 for a part of the syllable before it and loses it. */
static void compare_nfc(const char *text, size_t length) {
    uint8_t *expected = NULL;
    utf8proc_ssize_t n = utf8proc_map((const uint8_t *)text, (utf8proc_ssize_t)length, &expected,
                                      UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    struct buffer out = normal(NFC, (struct bytes){text, length});
    bool same = n >= 0 && bytes_equal(buffer_bytes(&out), (struct bytes){(char *)expected, (size_t)n});
    CU_ASSERT_TRUE(same);
    if (!same) {
        printf("    in:");
        for (size_t i = 0; i < length; i++)
            printf(" %02x", (uint8_t)text[i]);
        printf("\n");
    }
    buffer_fini(&out);
    free(expected);
}

static void compare_points(const unsigned *points, size_t n) {
    char text[64];
    size_t length = 0;
    for (size_t i = 0; i < n; i++)
        length += encode(text + length, points[i]);
    compare_nfc(text, length);
}

/* Each code point alone, behind and before what it may compose with, and between marks. */
static void test_every_point_composes_as_utf8proc_says(void) {
    for (unsigned point = 0; point < 0x110000; point++) {
        if ((point >= 0xD800 && point < 0xE000) || point == 0x11A7)
            continue;
        int32_t parts[8];
        utf8proc_ssize_t n = utf8proc_decompose_char((int32_t)point, parts, 8, UTF8PROC_DECOMPOSE, NULL);
        CU_ASSERT_FATAL(n > 0);
        compare_points((const unsigned[]){point}, 1);
        compare_points((const unsigned[]){'a', point, 0x301, 0x323}, 4);
        compare_points((const unsigned[]){point, point, 0x345}, 3);
        if (n > 1)
            compare_points((const unsigned *)parts, (size_t)n);
    }
}

/* All that composes with anything, in any order. */
static void test_compositions_in_any_order(void) {
    static unsigned parts[8192];
    size_t n = 0;
    for (int32_t point = 0; point < 0x30000 && n + 4 < 8192; point++) {
        int32_t all[8];
        bool surrogate = point >= 0xD800 && point < 0xE000;
        if (surrogate || (point >= 0xAC00 && point < 0xD7A4) || (point >= 0xF900 && point < 0xFB00))
            continue;
        utf8proc_ssize_t length = utf8proc_decompose_char(point, all, 8, UTF8PROC_DECOMPOSE, NULL);
        for (utf8proc_ssize_t i = 0; length > 1 && i < length; i++)
            parts[n++] = (unsigned)all[i];
    }
    random_state = 5;
    for (int run = 0; run < 100000; run++) {
        unsigned points[8];
        size_t length = 1 + next_random(8);
        for (size_t i = 0; i < length; i++)
            points[i] = next_random(8)   ? parts[next_random((uint32_t)n)]
                        : next_random(2) ? 0x1100 + next_random(0xA0)
                                         : 0xAC00 + next_random(560) + 1;
        compare_points(points, length);
    }
}

static void test_a_jamo_is_not_lost(void) {
    CU_ASSERT_TRUE(becomes(NFC, "\uAC00\u11A7", "\uAC00\u11A7"));
}

/* ---- in slices ---- */

/* The longest that one slice takes is bounded, whatever the text: counted in steps, not in time. */
static void test_slices_end(void) {
    static const char *const REPEATED[] = {"a",       " ",      "\u00E4", "\u0301\u0323",
                                           "\u03A3'", "\u1161", "\u0CC2", "\U0001F600"};
    for (size_t i = 0; i < sizeof(REPEATED) / sizeof(REPEATED[0]); i++) {
        struct buffer text, out;
        buffer_init(&text, 1 << 20);
        for (size_t n = 0; n < 20000; n++)
            buffer_append_text(&text, REPEATED[i]);
        for (int level = CACHE_NORMALIZE_NONE; level <= CACHE_NORMALIZE_LOWER; level++) {
            struct buffer expected = normal((enum cache_normalize)level, buffer_bytes(&text));
            struct normalizer normalizer;
            enum normalize_status status = NORMALIZE_MORE;
            buffer_init(&out, 1 << 21);
            normalizer_begin(&normalizer, (enum cache_normalize)level, buffer_bytes(&text), &out);
            for (size_t slices = 0; status == NORMALIZE_MORE; slices++) {
                size_t budget = 1000, length = out.length;
                status = normalizer_go_on(&normalizer, &budget);
                CU_ASSERT_TRUE(out.length - length <= 1000 * 8 + 8);
                CU_ASSERT_TRUE_FATAL(slices < 1000);
            }
            normalizer_fini(&normalizer);
            CU_ASSERT_EQUAL(status, NORMALIZE_DONE);
            CU_ASSERT_TRUE(bytes_equal(buffer_bytes(&out), buffer_bytes(&expected)));
            buffer_fini(&out);
            buffer_fini(&expected);
        }
        buffer_fini(&text);
    }
}

/* A normalization that is abandoned frees its memory, at every step. */
static void test_given_up(void) {
    struct buffer text, out;
    buffer_init(&text, 1 << 16);
    buffer_append_text(&text, "q");
    for (int i = 0; i < 500; i++)
        buffer_append_text(&text, "\u0301\u0323");
    for (size_t steps = 1; steps < 12000; steps += 97) {
        struct normalizer normalizer;
        size_t budget = steps;
        buffer_init(&out, 1 << 16);
        normalizer_begin(&normalizer, LOWER, buffer_bytes(&text), &out);
        CU_ASSERT_TRUE(normalizer_go_on(&normalizer, &budget) != NORMALIZE_NO_MEMORY);
        normalizer_fini(&normalizer);
        buffer_fini(&out);
    }
    buffer_fini(&text);
}

static void test_no_room(void) {
    struct buffer out;
    buffer_init(&out, 4);
    CU_ASSERT_FALSE(normalize_append(LOWER, bytes_of("HELLO"), &out));
    CU_ASSERT_FALSE(normalize_append(LOWER, bytes_of("\u00C4\u00C4\u00C4"), &out));
    CU_ASSERT_EQUAL(out.length, 0);
    buffer_fini(&out);
}

static void test_no_memory(void) {
    char text[400] = "q";
    for (int i = 0; i < 60; i++)
        strcat(text, "\u0301\u0323\u0390");
    struct buffer out;
    buffer_init(&out, 4000);
    bool done = false;
    for (unsigned n = 1; n < 50 && !done; n++) {
        buffer_reset(&out, 0);
        unit_allocations_fail(n, true);
        done = normalize_append(LOWER, bytes_of(text), &out);
        unit_allocations_heal();
        CU_ASSERT_TRUE(done || out.length == 0);
    }
    CU_ASSERT_TRUE(done);
    buffer_fini(&out);
}

static void test_random(void) {
    static const unsigned BASES[] = {0x20,   0x41,   0xC0,   0x300,  0x370,  0x400,  0x5D0,   0x900,  0x1100,
                                     0x1E00, 0x1F00, 0x2000, 0x2160, 0x3000, 0xAC00, 0x1D150, 0x1F130};
    random_state = 3;
    for (int run = 0; run < 20000; run++) {
        char text[256];
        size_t length = 0;
        for (uint32_t n = next_random(24); n > 0; n--)
            length += encode(text + length,
                             BASES[next_random(sizeof(BASES) / sizeof(BASES[0]))] + next_random(0x70));
        if (length > 0 && run % 8 == 0)
            text[next_random((uint32_t)length)] = (char)next_random(256);
        LLVMFuzzerTestOneInput((const uint8_t *)text, length);
    }
}

static const struct unit_case CASES[] = {
    {"none changes nothing", test_none},
    {"nfc", test_nfc},
    {"white space is the property White_Space", test_space},
    {"lower case", test_lower},
    {"final sigma", test_final_sigma},
    {"the ASCII path gives the same bytes", test_ascii_path_gives_the_same},
    {"the ASCII path allocates nothing", test_ascii_allocates_nothing},
    {"every normal form is a fixed point", test_fixed_points},
    {"a long run of marks", test_long_run_of_marks},
    {"marks of one class keep their order", test_order_is_stable},
    {"every code point composes as utf8proc says", test_every_point_composes_as_utf8proc_says},
    {"compositions in any order", test_compositions_in_any_order},
    {"a jamo is not lost", test_a_jamo_is_not_lost},
    {"slices end", test_slices_end},
    {"given up half way", test_given_up},
    {"no room", test_no_room},
    {"no memory", test_no_memory},
    {"random texts", test_random},
};

/* A text, as it travels: its length in decimal, a newline, its bytes. */
static bool read_text(struct buffer *text) {
    size_t length;
    if (scanf("%zu", &length) != 1 || getchar() != '\n')
        return false;
    buffer_reset(text, SIZE_MAX);
    char *to = buffer_reserve(text, length);
    if ((!to && length > 0) || fread(to, 1, length, stdin) != length)
        return false;
    text->length = length;
    return true;
}

/* Texts from standard input to standard output, for the comparison with another implementation
 * (tests/e2e/test_normalize_property.py). */
static int filter(const char *level_name) {
    static const char *const LEVELS[] = {"none", "nfc", "space", "lower"};
    int level = 0;
    while (level < 4 && strcmp(LEVELS[level], level_name) != 0)
        level++;
    if (level == 4)
        return 2;
    struct buffer text, out;
    buffer_init(&text, 1 << 24);
    buffer_init(&out, 1 << 26);
    int result = 0;
    while (result == 0 && read_text(&text)) {
        buffer_reset(&out, SIZE_MAX);
        if (!utf8_is_valid(buffer_bytes(&text)) ||
            !normalize_append((enum cache_normalize)level, buffer_bytes(&text), &out))
            result = 1;
        printf("%zu\n", out.length);
        if (out.length > 0)
            fwrite(out.data, 1, out.length, stdout);
    }
    buffer_fini(&text);
    buffer_fini(&out);
    return result || !feof(stdin) || fflush(stdout) != 0;
}

int main(int argc, char *argv[]) {
    if (argc == 3 && strcmp(argv[1], "--filter") == 0)
        return filter(argv[2]);
    return unit_main(argc, argv, "normalize", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
