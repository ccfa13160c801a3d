#include "inferonce/cache/generation.h"

#include "unit.h"

static void test_encode(void) {
    char value[GENERATION_LENGTH];
    generation_encode(UINT64_C(0x0102030405060708), value);
    CU_ASSERT_EQUAL(memcmp(value, "\x08\x07\x06\x05\x04\x03\x02\x01", GENERATION_LENGTH), 0);
    generation_encode(UINT64_C(0xfffefdfcfbfaf9f8), value);
    CU_ASSERT_EQUAL(memcmp(value, "\xf8\xf9\xfa\xfb\xfc\xfd\xfe\xff", GENERATION_LENGTH), 0);
}

static void test_decode(void) {
    static const uint64_t NUMBERS[] = {1, 0x80, UINT64_C(1700000000000000), UINT64_MAX};
    for (size_t i = 0; i < sizeof(NUMBERS) / sizeof(NUMBERS[0]); i++) {
        char value[GENERATION_LENGTH];
        generation_encode(NUMBERS[i], value);
        CU_ASSERT_EQUAL(generation_decode((struct bytes){value, sizeof(value)}), NUMBERS[i]);
    }
}

/* What a store returns may be anything. 0 is no generation, so nothing is visible under it. */
static void test_decode_of_something_else(void) {
    static const char BYTES[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    for (size_t length = 0; length <= sizeof(BYTES); length++) {
        uint64_t generation = generation_decode((struct bytes){BYTES, length});
        CU_ASSERT_EQUAL(generation != 0, length == GENERATION_LENGTH);
    }
    CU_ASSERT_EQUAL(generation_decode((struct bytes){NULL, 0}), 0);
}

static const struct unit_case CASES[] = {
    {"little-endian", test_encode},
    {"there and back", test_decode},
    {"something else than a generation", test_decode_of_something_else},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "generation", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
