#include "inferonce/base/json_string.h"

#include "unit.h"

static void test_plain_end(void) {
    for (size_t at = 0; at < 20; at++)
        for (int c = 0; c < 256; c++) {
            char text[20];
            memset(text, 'a', sizeof(text));
            text[at] = (char)c;
            bool plain = c >= ' ' && c != '"' && c != '\\';
            CU_ASSERT_PTR_EQUAL(json_plain_end(text, text + 20), text + (plain ? 20 : at));
        }
}

static bool is_escaped_as(unsigned char c, const char *expected) {
    char text[8];
    return bytes_equal((struct bytes){text, (size_t)(json_escape(text, c) - text)}, bytes_of(expected));
}

static void test_escape(void) {
    CU_ASSERT_TRUE(is_escaped_as('a', "a") && is_escaped_as('/', "/") && is_escaped_as(0x7f, "\x7f"));
    CU_ASSERT_TRUE(is_escaped_as('"', "\\\"") && is_escaped_as('\\', "\\\\"));
    CU_ASSERT_TRUE(is_escaped_as('\n', "\\n") && is_escaped_as('\b', "\\b") && is_escaped_as('\f', "\\f"));
    CU_ASSERT_TRUE(is_escaped_as(0, "\\u0000") && is_escaped_as(0x1f, "\\u001f"));
}

static void test_end(void) {
    static const struct {
        const char *text;
        long length; /* -1: none */
        bool escaped;
    } ROWS[] = {{"\"", 0, false},
                {"a\"", 1, false},
                {"a\\\"b\"", 4, true},
                {"\\\\\"", 2, true},
                {"\\u12aF\"", 6, true},
                {"\\ud83d\\uDE00\"", 12, true},
                {"\x7f\u00e9\"", 3, false},
                {"", -1, false},
                {"a", -1, false},
                {"a\\", -1, false},
                {"a\\\"", -1, false},
                {"\\x\"", -1, false},
                {"\t\"", -1, false},
                {"\\u12g4\"", -1, false},
                {"\\u123", -1, false},
                {"\\udc00\"", -1, false},
                {"\\ud800\\u0041\"", -1, false},
                {"\\ud800\\uDC0", -1, false}};
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        const char *text = ROWS[i].text, *detail = NULL;
        bool escaped;
        const char *end = json_string_end(text, text + strlen(text), &escaped, &detail);
        CU_ASSERT_EQUAL(end ? end - text : -1, ROWS[i].length);
        CU_ASSERT_EQUAL(detail == NULL, end != NULL);
        CU_ASSERT_TRUE(!end || escaped == ROWS[i].escaped);
    }
}

static void test_unescape(void) {
    char text[] = "a\\\"b\\\\\\n\\t\\b\\f\\r\\/\\u0000\\u001f\u00e9\\u00e9\\uD83D\\ude00";
    static const char EXPECTED[] = "a\"b\\\n\t\b\f\r/\0\x1f\u00e9\u00e9\U0001F600";
    size_t length = json_string_unescape(text, strlen(text));
    CU_ASSERT_TRUE(bytes_equal((struct bytes){text, length}, (struct bytes){EXPECTED, sizeof(EXPECTED) - 1}));
    char plain[] = "plain";
    CU_ASSERT_EQUAL(json_string_unescape(plain, 5), 5);
}

/* In ascending order; those of one row are equal. */
static void test_compare(void) {
    static const char *const ROWS[][2] = {{"", ""},
                                          {"\\u0000", "\\u0000"},
                                          {"\\t", "\\u0009"},
                                          {" ", "\\u0020"},
                                          {"\\\"", "\\u0022"},
                                          {"/", "\\/"},
                                          {"\\\\", "\\u005C"},
                                          {"a", "\\u0061"},
                                          {"a\\u0000", "\\u0061\\u0000"},
                                          {"ab", "a\\u0062"},
                                          {"\u00e9", "\\u00E9"},
                                          {"\u00e9a", "\\u00e9a"},
                                          {"\u00ea", "\\u00ea"},
                                          {"\uffff", "\\uffff"},
                                          {"\U0001F600", "\\ud83d\\ude00"}};
    const size_t n = sizeof(ROWS) / sizeof(ROWS[0]);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            for (size_t k = 0; k < 4; k++) {
                int order = json_string_compare(bytes_of(ROWS[i][k & 1]), bytes_of(ROWS[j][k >> 1]));
                CU_ASSERT_EQUAL((order > 0) - (order < 0), (i > j) - (i < j));
            }
}

static const struct unit_case CASES[] = {
    {"where a plain stretch ends", test_plain_end},
    {"a byte is escaped", test_escape},
    {"where a string ends", test_end},
    {"escapes are removed", test_unescape},
    {"the order of strings", test_compare},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "json_string", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
