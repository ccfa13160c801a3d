#include "inferonce/http/syntax.h"

#include "unit.h"

static bool is(struct bytes bytes, const char *text) {
    return bytes_equal(bytes, bytes_of(text));
}

static void test_space_and_characters(void) {
    struct bytes rest = bytes_of(" \t\n,x");

    syntax_skip_space(&rest);
    CU_ASSERT_TRUE(is(rest, "\n,x"));
    CU_ASSERT_FALSE(syntax_take_char(&rest, ','));
    CU_ASSERT_TRUE(syntax_take_char(&rest, '\n'));
    CU_ASSERT_TRUE(syntax_take_char(&rest, ','));
    CU_ASSERT_TRUE(is(rest, "x"));
}

/* RFC 9110 section 5.6.2. */
static void test_token_characters(void) {
    static const char TOKEN[] =
        "!#$%&'*+-.^_`|~0123456789"
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

    for (unsigned i = 0; i < 256; i++) {
        char c = (char)i;
        struct bytes rest = {&c, 1};
        bool expected = i != 0 && strchr(TOKEN, c) != NULL;
        CU_ASSERT_EQUAL(syntax_take_token(&rest).length, expected ? 1 : 0);
        CU_ASSERT_EQUAL(rest.length, expected ? 0 : 1);
    }
}

static void test_values(void) {
    struct bytes rest = bytes_of("abc;");
    struct syntax_value value;

    CU_ASSERT_TRUE(syntax_take_value(&rest, &value));
    CU_ASSERT_TRUE(syntax_value_is(value, "ABC"));
    CU_ASSERT_FALSE(syntax_value_is(value, "ab"));
    CU_ASSERT_FALSE(syntax_value_is(value, "abcd"));
    CU_ASSERT_FALSE(syntax_take_value(&rest, &value));
    CU_ASSERT_TRUE(is(rest, ";"));

    rest = bytes_of("\"a\\\"\\\\ ,\"x");
    CU_ASSERT_TRUE(syntax_take_value(&rest, &value));
    CU_ASSERT_TRUE(syntax_value_is(value, "a\"\\ ,"));
    CU_ASSERT_TRUE(is(rest, "x"));

    rest = bytes_of("\"\"");
    CU_ASSERT_TRUE(syntax_take_value(&rest, &value));
    CU_ASSERT_TRUE(syntax_value_is(value, ""));
}

static void test_quotes_that_do_not_end(void) {
    static const char *const OPEN[] = {"\"", "\"abc, d", "\"\\\"", "\"\\", "\"a\\\"b\\"};
    struct syntax_value value;

    for (size_t i = 0; i < sizeof(OPEN) / sizeof(OPEN[0]); i++) {
        struct bytes rest = bytes_of(OPEN[i]);
        CU_ASSERT_FALSE(syntax_take_value(&rest, &value));
        CU_ASSERT_EQUAL(rest.length, 0);
    }
}

static void test_skipping(void) {
    struct bytes rest = bytes_of("a \"b,\\\",\" c,d,\"e,f");

    syntax_skip_past(&rest, ',');
    CU_ASSERT_TRUE(is(rest, "d,\"e,f"));
    syntax_skip_past(&rest, ',');
    CU_ASSERT_TRUE(is(rest, "\"e,f"));
    syntax_skip_past(&rest, ',');
    CU_ASSERT_EQUAL(rest.length, 0);
}

static void test_nothing(void) {
    struct bytes rest = {NULL, 0};
    struct syntax_value value;

    syntax_skip_space(&rest);
    syntax_skip_past(&rest, ',');
    CU_ASSERT_FALSE(syntax_take_char(&rest, '\0'));
    CU_ASSERT_EQUAL(syntax_take_token(&rest).length, 0);
    CU_ASSERT_FALSE(syntax_take_value(&rest, &value));
}

static const struct unit_case CASES[] = {
    {"white space and characters", test_space_and_characters},
    {"what a token may hold", test_token_characters},
    {"tokens and quoted strings", test_values},
    {"a quoted string that does not end", test_quotes_that_do_not_end},
    {"skipping past a separator", test_skipping},
    {"nothing to read", test_nothing},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "syntax", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
