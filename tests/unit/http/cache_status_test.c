#include "inferonce/http/cache_status.h"

#include "unit.h"

static bool is(struct cache_status status, const char *expected) {
    struct buffer buffer;

    buffer_init(&buffer, 256);
    cache_status_append(&status, &buffer);
    bool equal = !buffer.failed && bytes_equal(buffer_bytes(&buffer), bytes_of(expected));
    buffer_fini(&buffer);
    return equal;
}

static void test_hit(void) {
    CU_ASSERT_TRUE(is((struct cache_status){.hit = true}, "inferonce; hit"));
    CU_ASSERT_TRUE(
        is((struct cache_status){.hit = true, .has_ttl = true, .ttl_s = 42}, "inferonce; hit; ttl=42"));
    CU_ASSERT_TRUE(is((struct cache_status){.hit = true, .has_ttl = true}, "inferonce; hit; ttl=0"));
    CU_ASSERT_TRUE(
        is((struct cache_status){.hit = true, .has_ttl = true, .ttl_s = -7}, "inferonce; hit; ttl=-7"));
}

static void test_forward(void) {
    CU_ASSERT_TRUE(
        is((struct cache_status){.forward = FORWARD_MISS, .stored = true}, "inferonce; fwd=miss; stored"));
    CU_ASSERT_TRUE(is((struct cache_status){.forward = FORWARD_MISS, .collapsed = true},
                      "inferonce; fwd=miss; collapsed"));
    CU_ASSERT_TRUE(
        is((struct cache_status){.forward = FORWARD_STALE, .stored = true}, "inferonce; fwd=stale; stored"));
    CU_ASSERT_TRUE(is((struct cache_status){.forward = FORWARD_REQUEST}, "inferonce; fwd=request"));
}

/* RFC 9211 section 2: what was neither a hit nor forwarded has neither parameter. */
static void test_neither(void) {
    CU_ASSERT_TRUE(is((struct cache_status){.forward = FORWARD_NONE}, "inferonce"));
}

static void test_hit_has_no_forward(void) {
    CU_ASSERT_TRUE(is((struct cache_status){.hit = true, .forward = FORWARD_STALE}, "inferonce; hit"));
}

/* RFC 8941 section 3.3.1: fifteen digits. */
static void test_integers_have_fifteen_digits(void) {
    CU_ASSERT_TRUE(is((struct cache_status){.hit = true, .has_ttl = true, .ttl_s = INT64_MAX},
                      "inferonce; hit; ttl=999999999999999"));
    CU_ASSERT_TRUE(is((struct cache_status){.hit = true, .has_ttl = true, .ttl_s = INT64_MIN},
                      "inferonce; hit; ttl=-999999999999999"));
}

static const struct unit_case CASES[] = {
    {"a hit and its remaining lifetime", test_hit},
    {"why it went forward", test_forward},
    {"neither", test_neither},
    {"a hit did not go forward", test_hit_has_no_forward},
    {"integers have at most fifteen digits", test_integers_have_fifteen_digits},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "cache_status", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
