#include "fastcgi/oslayer.h"

#include <fcgiapp.h>
#include <fcgios.h>
#include <unistd.h>

#include "unit.h"

static void test_is_ours(void) {
    struct error error;
    CU_ASSERT_TRUE(oslayer_is_ours(&error));
}

static void test_reads_and_writes_memory(void) {
    struct buffer output;
    struct oslayer_channel channel = {bytes_of("hello"), &output};
    char read_here[4];
    char written[] = "answer";
    buffer_init(&output, 10);
    int number = oslayer_open(&channel);
    CU_ASSERT_EQUAL(OS_Read(number, read_here, sizeof(read_here)), 4);
    CU_ASSERT_EQUAL(memcmp(read_here, "hell", 4), 0);
    CU_ASSERT_EQUAL(OS_Read(number, read_here, sizeof(read_here)), 1);
    CU_ASSERT_EQUAL(OS_Read(number, read_here, sizeof(read_here)), 0);
    CU_ASSERT_EQUAL(OS_Write(number, written, 6), 6);
    CU_ASSERT_TRUE(bytes_equal(buffer_bytes(&output), bytes_of("answer")));
    CU_ASSERT_EQUAL(OS_Write(number, written, 6), -1); /* passes the cap */
    channel.output = NULL;
    CU_ASSERT_EQUAL(OS_Write(number, written, 1), -1);
    oslayer_close(number);
    CU_ASSERT_EQUAL(OS_Read(number, read_here, sizeof(read_here)), -1);
    buffer_fini(&output);
}

static void test_numbers_are_no_descriptors(void) {
    enum { N = 100 };
    struct oslayer_channel channels[N] = {{{NULL, 0}, NULL}};
    int numbers[N];
    for (int i = 0; i < N; i++) {
        numbers[i] = oslayer_open(&channels[i]);
        CU_ASSERT_TRUE(numbers[i] > 1 << 24);
        for (int j = 0; j < i; j++)
            CU_ASSERT_NOT_EQUAL(numbers[i], numbers[j]);
    }
    oslayer_close(numbers[7]);
    CU_ASSERT_EQUAL(oslayer_open(&channels[7]), numbers[7]);
    for (int i = 0; i < N; i++)
        oslayer_close(numbers[i]);
}

static void test_closes_and_accepts_nothing(void) {
    int ends[2];
    CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
    CU_ASSERT_EQUAL(OS_IpcClose(ends[0], 1), 0);
    CU_ASSERT_EQUAL(OS_Accept(ends[0], 0, NULL), -1);
    CU_ASSERT_EQUAL(close(ends[0]), 0); /* was still open */
    CU_ASSERT_EQUAL(close(ends[1]), 0);
}

static const struct unit_case CASES[] = {
    {"libfcgi uses it", test_is_ours},
    {"reads from and writes to memory", test_reads_and_writes_memory},
    {"gives numbers that are no descriptors", test_numbers_are_no_descriptors},
    {"closes and accepts nothing", test_closes_and_accepts_nothing},
};

int main(int argc, char *argv[]) {
    if (FCGX_Init() != 0)
        return 2;
    return unit_main(argc, argv, "oslayer", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
