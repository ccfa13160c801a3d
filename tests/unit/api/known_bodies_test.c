#include "api/known_bodies.h"

#include <string.h>

#include "inferonce/cache/crc32c.h"
#include "unit.h"

static struct known_bodies *known;

static void setup(void) {
    known = known_bodies_create();
    CU_ASSERT_PTR_NOT_NULL_FATAL(known);
}

static struct known_body body_of(const char *body, const char *cache_namespace, const char *credential) {
    return (struct known_body){bytes_of(body), bytes_of(cache_namespace), bytes_of(credential)};
}

static struct key key_of(uint64_t number) {
    struct key key = {{0}};
    memcpy(key.bytes, &number, sizeof(number));
    return key;
}

static void remember(const struct known_body *body, uint64_t number) {
    struct key key = key_of(number);
    known_bodies_remember(known, body, &key);
}

static bool finds(const struct known_body *body, uint64_t number) {
    struct key key, expected = key_of(number);
    return known_bodies_find(known, body, &key) && key_equal(&key, &expected);
}

static bool is_known(const struct known_body *body) {
    struct key key, untouched;
    memset(&key, 0xee, sizeof(key));
    untouched = key;
    bool found = known_bodies_find(known, body, &key);
    CU_ASSERT(found || key_equal(&key, &untouched));
    return found;
}

static void test_what_was_remembered_is_found(void) {
    setup();
    struct known_body body = body_of("{\"text\":\"a\"}", "default", "Bearer x");
    CU_ASSERT_FALSE(is_known(&body));
    remember(&body, 1);
    CU_ASSERT(finds(&body, 1));
    remember(&body, 2); /* the later one holds */
    CU_ASSERT(finds(&body, 2));
    struct known_body empty = {{NULL, 0}, {NULL, 0}, {NULL, 0}};
    CU_ASSERT_FALSE(is_known(&empty));
    remember(&empty, 3);
    CU_ASSERT(finds(&empty, 3));
    CU_ASSERT(finds(&body, 2));
    known_bodies_destroy(&known);
    CU_ASSERT_PTR_NULL(known);
}

/* Nothing but the very same: also where the bytes one behind the other are. */
static void test_what_differs_is_not_known(void) {
    setup();
    struct known_body body = body_of("abc", "de", "fg");
    remember(&body, 1);
    static const char *const OTHERS[][3] = {
        {"abd", "de", "fg"}, {"abc", "df", "fg"}, {"abc", "de", "fh"}, {"ab", "cde", "fg"},
        {"abcd", "e", "fg"}, {"abc", "def", "g"}, {"abc", "d", "efg"}, {"abcdefg", "", ""},
        {"", "abcde", "fg"}, {"abc", "de", ""},   {"ABC", "de", "fg"}, {"abc ", "de", "fg"},
    };
    for (size_t i = 0; i < sizeof(OTHERS) / sizeof(OTHERS[0]); i++) {
        struct known_body other = body_of(OTHERS[i][0], OTHERS[i][1], OTHERS[i][2]);
        CU_ASSERT_FALSE(is_known(&other));
    }
    CU_ASSERT(finds(&body, 1));
    known_bodies_destroy(&known);
}

/* A CRC does not change when a multiple of its polynomial is added: these five bytes are 11EDC6F41, bits
 * reflected. */
static struct bytes same_crc(const char *bytes, char other[6]) {
    static const unsigned char POLYNOMIAL[5] = {0xF1, 0x76, 0xEC, 0x05, 0x01};
    for (size_t i = 0; i < sizeof(POLYNOMIAL); i++)
        other[i] = (char)((unsigned char)bytes[i] ^ POLYNOMIAL[i]);
    CU_ASSERT_EQUAL(crc32c(0, bytes, 5), crc32c(0, other, 5));
    return (struct bytes){other, 5};
}

/* The bytes decide, not their hash. */
static void test_equal_hashes_are_told_apart(void) {
    char other[6];
    setup();
    struct known_body body = body_of("abcde", "fghij", "klmno");
    remember(&body, 1);
    struct known_body by_body = body, by_namespace = body, by_credential = body;
    by_body.body = same_crc("abcde", other);
    CU_ASSERT_FALSE(is_known(&by_body));
    by_namespace.cache_namespace = same_crc("fghij", other);
    CU_ASSERT_FALSE(is_known(&by_namespace));
    by_credential.credential = same_crc("klmno", other);
    CU_ASSERT_FALSE(is_known(&by_credential));
    CU_ASSERT(finds(&body, 1));
    known_bodies_destroy(&known);
}

static void test_size(void) {
    static char bytes[KNOWN_BODY_MAX + 1];
    memset(bytes, 'a', sizeof(bytes));
    setup();
    struct known_body largest = {.body = {bytes, KNOWN_BODY_MAX - 2}, .credential = bytes_of("bb")};
    struct known_body larger = {.body = {bytes, KNOWN_BODY_MAX - 1}, .credential = bytes_of("bb")};
    remember(&largest, 1);
    remember(&larger, 2);
    CU_ASSERT(finds(&largest, 1));
    CU_ASSERT_FALSE(is_known(&larger));
    known_bodies_destroy(&known);
}

/* Bodies of random sizes up to the largest, each with a number at its front that is its key, twenty times as
 * many bytes as are kept: whatever is found has the right key, the latest are all found but for those that
 * met in one place, and those from a ring ago are not. */
static void test_the_oldest_is_forgotten(void) {
    enum { N = 1400, SPAN = 16 };
    static char bytes[N][sizeof(uint64_t) + KNOWN_BODY_MAX / 2];
    static size_t lengths[N];
    uint32_t random = 7;
    unsigned found = 0;
    setup();
    for (uint64_t i = 0; i < N; i++) {
        random = random * 1664525 + 1013904223;
        lengths[i] = sizeof(i) + (random >> 8) % (KNOWN_BODY_MAX / 2);
        memset(bytes[i], (int)(random >> 24), lengths[i]);
        memcpy(bytes[i], &i, sizeof(i));
        struct known_body body = {.body = {bytes[i], lengths[i]}, .cache_namespace = bytes_of("default")};
        remember(&body, i);
        CU_ASSERT(finds(&body, i));
        uint64_t written = 0;
        for (uint64_t j = i; j < N; j--) {
            struct known_body earlier = {.body = {bytes[j], lengths[j]},
                                         .cache_namespace = bytes_of("default")};
            bool is_there = is_known(&earlier);
            CU_ASSERT(!is_there || finds(&earlier, j));
            CU_ASSERT(!is_there || written < KNOWN_BODIES_BYTES);
            found += is_there && i - j < SPAN;
            written += lengths[j];
            if (written > 2 * KNOWN_BODIES_BYTES)
                break;
        }
    }
    CU_ASSERT(found > (N - SPAN) * SPAN * 98 / 100);
    known_bodies_destroy(&known);
}

static const struct unit_case CASES[] = {
    {"what was remembered is found", test_what_was_remembered_is_found},
    {"what differs is not known", test_what_differs_is_not_known},
    {"equal hashes are told apart", test_equal_hashes_are_told_apart},
    {"what is too large is not remembered", test_size},
    {"the oldest is forgotten", test_the_oldest_is_forgotten},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "known_bodies", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
