#include "cache/generation.h"

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

/* A store may return any bytes. 0 is no generation, so nothing is visible under it. */
static void test_decode_of_something_else(void) {
    static const char BYTES[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    for (size_t length = 0; length <= sizeof(BYTES); length++) {
        uint64_t generation = generation_decode((struct bytes){BYTES, length});
        CU_ASSERT_EQUAL(generation != 0, length == GENERATION_LENGTH);
    }
    CU_ASSERT_EQUAL(generation_decode((struct bytes){NULL, 0}), 0);
}

static char numbers[2][GENERATION_LENGTH];

static void answer(struct store_look *look, unsigned at, enum store_status status, uint64_t number) {
    generation_encode(number, numbers[at]);
    look->gets[at].status = status;
    look->gets[at].value =
        status == STORE_OK ? (struct bytes){numbers[at], GENERATION_LENGTH} : (struct bytes){NULL, 0};
}

static void test_read(void) {
    static const struct {
        const char *name;
        enum store_status of_all, of_namespace;
        uint64_t all, own, of_entry;
        enum store_status status;
        uint64_t generation, epoch;
    } ROWS[] = {
        {"the namespace's alone", STORE_MISSING, STORE_OK, 0, 7, 0, STORE_OK, 7, 7},
        {"the sum of both", STORE_OK, STORE_OK, 100, 7, 0, STORE_OK, 107, 7},
        {"an entry removed later", STORE_MISSING, STORE_OK, 0, 7, 9, STORE_OK, 7, 9},
        {"none", STORE_MISSING, STORE_MISSING, 0, 0, 0, STORE_MISSING, 0, 0},
        {"none of the namespace's", STORE_OK, STORE_MISSING, 100, 0, 0, STORE_MISSING, 0, 0},
        {"the server of one is away", STORE_ERROR, STORE_OK, 0, 7, 0, STORE_ERROR, 0, 0},
        {"the server of the other is away", STORE_OK, STORE_ERROR, 100, 0, 0, STORE_ERROR, 0, 0},
        {"no number", STORE_MISSING, STORE_OK, 0, 0, 0, STORE_ERROR, 0, 0},
        {"a sum of nothing", STORE_OK, STORE_OK, UINT64_MAX, 1, 0, STORE_ERROR, 0, 0},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct store_look look = {.n = 0};
        struct key of_namespace = {{1}}, of_entry = {{2}};
        uint64_t generation = 1, epoch = 1;
        generation_look(&look, &of_namespace, &of_entry);
        answer(&look, GENERATION_OF_ALL, ROWS[i].of_all, ROWS[i].all);
        answer(&look, GENERATION_OF_NAMESPACE, ROWS[i].of_namespace, ROWS[i].own);
        look.gets[GENERATION_ENTRY].epoch = ROWS[i].of_entry;
        bool right = generation_read(&look, &generation, &epoch) == ROWS[i].status &&
                     generation == ROWS[i].generation && epoch == ROWS[i].epoch;
        if (!right)
            fprintf(stderr, "generation: %s\n", ROWS[i].name);
        CU_ASSERT(right);
    }
}

static void test_renewals(void) {
    static const uint64_t SECOND = 1000000;
    struct settings settings;
    struct generation_renewals renewals;
    struct key one = {{1}}, other = {{2}}, same_place = {{1}};
    settings_defaults(&settings);
    generation_renewals_init(&renewals, &settings);
    CU_ASSERT_FALSE(generation_is_due(&renewals, &one, SECOND)); /* the memory keeps it */
    settings.cache_backend = CACHE_BACKEND_REDIS;
    generation_renewals_init(&renewals, &settings);
    uint64_t quarter_us = store_generation_ms(&settings) * 1000 / 4;
    CU_ASSERT_TRUE(generation_is_due(&renewals, &one, SECOND));
    CU_ASSERT_TRUE(generation_is_due(&renewals, &other, SECOND));
    CU_ASSERT_FALSE(generation_is_due(&renewals, &one, SECOND + quarter_us - 1));
    CU_ASSERT_TRUE(generation_is_due(&renewals, &one, SECOND + quarter_us));
    CU_ASSERT_FALSE(generation_is_due(&renewals, &one, 2 * SECOND + quarter_us));
    same_place.bytes[2] =
        1; /* the same place of RENEWALS: each takes it from the other, and is renewed again */
    CU_ASSERT_TRUE(generation_is_due(&renewals, &same_place, 2 * SECOND + quarter_us));
    CU_ASSERT_TRUE(generation_is_due(&renewals, &one, 2 * SECOND + quarter_us));
}

static const struct unit_case CASES[] = {
    {"little-endian", test_encode},
    {"there and back", test_decode},
    {"something else than a generation", test_decode_of_something_else},
    {"what a look says", test_read},
    {"renewals", test_renewals},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "generation", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
