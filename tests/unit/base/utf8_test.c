#include "inferonce/base/utf8.h"

#include "unit.h"

/* RFC 3629 section 4, the boundaries of its table. */
static void test_step(void) {
    static const struct {
        const char *text;
        size_t step;
    } ROWS[] = {
        {"a", 1},
        {"\x7f", 1},
        {"\x80", 0},
        {"\xc1\xbf", 0},
        {"\xc2\x80", 2},
        {"\xdf\xbf", 2},
        {"\xc2", 0},
        {"\xc2z", 0},
        {"\xe0\x9f\xbf", 0},
        {"\xe0\xa0\x80", 3},
        {"\xed\x9f\xbf", 3},
        {"\xed\xa0\x80", 0},
        {"\xef\xbf\xbf", 3},
        {"\xe2\x82", 0},
        {"\xe2\x82z", 0},
        {"\xf0\x8f\xbf\xbf", 0},
        {"\xf0\x90\x80\x80", 4},
        {"\xf4\x8f\xbf\xbf", 4},
        {"\xf4\x90\x80\x80", 0},
        {"\xf0\x9f\x98", 0},
        {"\xf0\x9f\x98z", 0},
        {"\xf5\x80\x80\x80", 0},
        {"\xff", 0},
        {"", 0},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++)
        CU_ASSERT_EQUAL(utf8_step(bytes_of(ROWS[i].text)), ROWS[i].step);
    CU_ASSERT_EQUAL(utf8_step((struct bytes){"\0", 1}), 1);
}

static bool is_valid(const char *text, size_t length) {
    /* At every distance from the eight bytes that are looked at together. */
    char padded[32];
    bool first = utf8_is_valid((struct bytes){text, length});
    memset(padded, 'a', sizeof(padded));
    memcpy(padded + 5, text, length);
    CU_ASSERT_EQUAL(utf8_is_valid((struct bytes){padded, 20}), first);
    return first;
}

/* How many strings of n bytes are valid follows from how many characters of each length there are. */
static void test_counts(void) {
    const long one = 0x80, two = 0x800 - 0x80, three = 0x10000 - 0x800 - 0x800;
    char text[4];
    long valid = 0;
    for (unsigned i = 0; i < 0x10000; i++) {
        text[0] = (char)(i >> 8);
        text[1] = (char)i;
        valid += is_valid(text, 2);
    }
    CU_ASSERT_EQUAL(valid, one * one + two);
    valid = 0;
    for (unsigned i = 0; i < 0x1000000; i++) {
        text[0] = (char)(i >> 16);
        text[1] = (char)(i >> 8);
        text[2] = (char)i;
        valid += utf8_is_valid((struct bytes){text, 3});
    }
    CU_ASSERT_EQUAL(valid, one * one * one + 2 * one * two + three);
    valid = 0;
    static const char LIMITS[] = {0x7F, (char)0x80, (char)0xBF, (char)0xC0};
    for (unsigned i = 0xF000; i <= 0xFFFF; i++)
        for (unsigned ends = 0; ends < 16; ends++) {
            const char sequence[] = {(char)(i >> 8), (char)i, LIMITS[ends >> 2], LIMITS[ends & 3]};
            valid += is_valid(sequence, 4);
        }
    /* Second bytes times two of the third times two of the last: F0 has 48, F1 to F3 have 64 each, F4 has 16.
     */
    CU_ASSERT_EQUAL(valid, (48 + 3 * 64 + 16) * 2 * 2);
}

static void test_characters(void) {
    char text[8];
    CU_ASSERT_TRUE(utf8_is_valid((struct bytes){NULL, 0}));
    for (unsigned point = 0; point < 0x200000; point++) {
        size_t length = (size_t)(utf8_write(text, point) - text);
        bool good = point < 0x110000 && (point < 0xD800 || point > 0xDFFF);
        CU_ASSERT_EQUAL(utf8_is_valid((struct bytes){text, length}), good);
        if (good)
            CU_ASSERT_EQUAL(utf8_read(text), point);
        if (length > 1 && utf8_is_valid((struct bytes){text, length - 1}))
            CU_FAIL("cut short and taken as good");
    }
}

static void test_ascii_end(void) {
    for (size_t at = 0; at < 20; at++) {
        char text[20];
        memset(text, 'a', sizeof(text));
        CU_ASSERT_PTR_EQUAL(utf8_ascii_end(text, text + at), text + at);
        text[at] = (char)0x80;
        CU_ASSERT_PTR_EQUAL(utf8_ascii_end(text, text + 20), text + at);
    }
}

static const struct unit_case CASES[] = {
    {"a step is well-formed or none", test_step},
    {"valid texts, by counting", test_counts},
    {"every character", test_characters},
    {"where ASCII ends", test_ascii_end},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "utf8", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
