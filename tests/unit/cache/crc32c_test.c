#include "inferonce/cache/crc32c.h"

#include <string.h>

#include "unit.h"

/* The vectors of RFC 3720 appendix B.4, and the usual check value. */
static void test_vectors(void) {
    char zeros[32], ones[32], up[32], down[32];
    memset(zeros, 0, sizeof(zeros));
    memset(ones, 0xff, sizeof(ones));
    for (int i = 0; i < 32; i++) {
        up[i] = (char)i;
        down[i] = (char)(31 - i);
    }
    const struct {
        const char *data;
        size_t length;
        uint32_t expected;
    } vectors[] = {{"123456789", 9, 0xE3069283}, {zeros, 32, 0x8A9136AA}, {ones, 32, 0x62A8AB43},
                   {up, 32, 0x46DD794E},         {down, 32, 0x113FDB5C},  {"", 0, 0}};
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        CU_ASSERT_EQUAL(crc32c(0, vectors[i].data, vectors[i].length), vectors[i].expected);
        CU_ASSERT_EQUAL(crc32c_by_table(0, vectors[i].data, vectors[i].length), vectors[i].expected);
    }
}

static void test_instruction_and_table_agree(void) {
    char data[257];
    uint32_t random = 1;
    for (size_t i = 0; i < sizeof(data); i++) {
        random = random * 1664525 + 1013904223;
        data[i] = (char)(random >> 24);
    }
    for (size_t start = 0; start < 9; start++)
        for (size_t length = 0; length <= sizeof(data) - start; length++)
            CU_ASSERT_EQUAL(crc32c(random, data + start, length),
                            crc32c_by_table(random, data + start, length));
}

static void test_continues(void) {
    const char *text = "what is stored is checked before it is served";
    size_t length = strlen(text);
    for (size_t i = 0; i <= length; i++)
        CU_ASSERT_EQUAL(crc32c(crc32c(0, text, i), text + i, length - i), crc32c(0, text, length));
}

static const struct unit_case CASES[] = {
    {"the published vectors", test_vectors},
    {"the instruction and the table give the same", test_instruction_and_table_agree},
    {"a checksum can be continued", test_continues},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "crc32c", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
