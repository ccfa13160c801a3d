/* The fuzz target over seeded mutations of real lines. */
#include "../../fuzz/transfer_line_fuzz.c"

#include "unit.h"

#define ROUNDS 40000

static const char *const SEEDS[] = {
    "9{\"key\":\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\",\"namespace\":"
    "\"default\","
    "\"model\":{\"name\":\"vader\",\"version\":\"1\"},\"age\":1,\"created_us\":1690000000000000,"
    "\"fresh_until_us\":1790000000000000,\"inference_us\":5,\"body\":{\"a\":[1,2.5e3,\"\\u00e4\",null,true]}"
    "}",
    "!{\"body\":\"text\",\"key\":\"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\","
    "\"namespace\":\"a.b-c_d\",\"created_us\":1,\"fresh_until_us\":2}",
    "a{\"end\":true,\"entries\":100000}",
};

static uint64_t random_state = 88172645463325252;

/* xorshift64: the same numbers in every run. */
static size_t random_below(size_t limit) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (size_t)(random_state % limit);
}

static void mutate(char *text, size_t *length) {
    size_t at = random_below(*length);
    switch (random_below(4)) {
    case 0:
        text[at] = (char)random_below(256);
        break;
    case 1:
        text[at] = "{}[]\":,\\0e"[random_below(10)];
        break;
    case 2: /* lost bytes */
        memmove(text + at, text + at + 1, *length - at - 1);
        *length -= *length > 1;
        break;
    default: /* a part repeated over another */
        memmove(text + at, text + random_below(at + 1), *length - at);
    }
}

static void test_mutations(void) {
    for (unsigned round = 0; round < ROUNDS; round++) {
        char text[1024];
        const char *seed = SEEDS[round % 3];
        size_t length = strlen(seed);
        memcpy(text, seed, length);
        for (size_t n = random_below(4); n > 0; n--)
            mutate(text, &length);
        CU_ASSERT_EQUAL(LLVMFuzzerTestOneInput((const uint8_t *)text, length), 0);
    }
}

static const struct unit_case CASES[] = {{"mutations of lines", test_mutations}};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "transfer_fuzz", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
