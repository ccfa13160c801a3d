#include "inferonce/base/buffer.h"

#include <inttypes.h>
#include <stdlib.h>

#include "unit.h"

#define CAP 100000

static bool holds(const struct buffer *buffer, const char *text) {
    return bytes_equal(buffer_bytes(buffer), bytes_of(text));
}

static void test_equal_ignoring_case(void) {
    CU_ASSERT(bytes_equal_ignoring_case(bytes_of("Cache-CONTROL"), bytes_of("cache-control")));
    CU_ASSERT(bytes_equal_ignoring_case(bytes_of(""), bytes_of(NULL)));
    CU_ASSERT_FALSE(bytes_equal_ignoring_case(bytes_of("ab"), bytes_of("abc")));
    CU_ASSERT_FALSE(bytes_equal_ignoring_case(bytes_of("abc"), bytes_of("abd")));
    /* '@' and '`', '[' and '{' differ in the bit that letters differ in, and are no letters. */
    CU_ASSERT_FALSE(bytes_equal_ignoring_case(bytes_of("@["), bytes_of("`{")));
    CU_ASSERT_FALSE(bytes_equal_ignoring_case(bytes_of("\xc3\x84"), bytes_of("\xc3\xa4")));
}

static void test_trim(void) {
    CU_ASSERT(bytes_equal(bytes_trim(bytes_of(" \t a b\t ")), bytes_of("a b")));
    CU_ASSERT(bytes_equal(bytes_trim(bytes_of(" \t ")), bytes_of("")));
    CU_ASSERT(bytes_equal(bytes_trim(bytes_of("\na\r")), bytes_of("\na\r")));
    CU_ASSERT_EQUAL(bytes_trim(bytes_of(NULL)).length, 0);
}

static void test_number(void) {
    uint64_t number = 77;
    CU_ASSERT(bytes_to_number(bytes_of("0"), &number) && number == 0);
    CU_ASSERT(bytes_to_number(bytes_of("007"), &number) && number == 7);
    CU_ASSERT(bytes_to_number(bytes_of("18446744073709551614"), &number) && number == UINT64_MAX - 1);
    CU_ASSERT(bytes_to_number(bytes_of("18446744073709551615"), &number) && number == UINT64_MAX);
    CU_ASSERT(bytes_to_number(bytes_of("18446744073709551616"), &number) && number == UINT64_MAX);
    CU_ASSERT(bytes_to_number(bytes_of("99999999999999999999999999"), &number) && number == UINT64_MAX);
    CU_ASSERT(bytes_to_number(bytes_of("18446744073709551616000000000000000001"), &number) &&
              number == UINT64_MAX);
    number = 77;
    static const char *const WRONG[] = {"", "-1", "+1", " 1", "1 ", "1.0", "0x1", "a", "1e3", "\xd9\xa1"};
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++)
        CU_ASSERT_FALSE(bytes_to_number(bytes_of(WRONG[i]), &number));
    CU_ASSERT_EQUAL(number, 77);
}

static void test_append(void) {
    struct buffer buffer;
    buffer_init(&buffer, CAP);
    CU_ASSERT_EQUAL(buffer_bytes(&buffer).length, 0);
    buffer_append(&buffer, NULL, 0);
    buffer_append_text(&buffer, "a");
    buffer_append_char(&buffer, '\0');
    buffer_append_bytes(&buffer, (struct bytes){"bcd", 2});
    CU_ASSERT(bytes_equal(buffer_bytes(&buffer), (struct bytes){"a\0bc", 4}));
    CU_ASSERT_FALSE(buffer.failed);
    buffer_fini(&buffer);
    CU_ASSERT_PTR_NULL(buffer.data);
}

static void test_grows_in_few_steps(void) {
    struct buffer buffer;
    buffer_init(&buffer, 1 << 20);
    size_t growths = 0;
    size_t capacity = 0;
    for (size_t i = 0; i < 1 << 20; i++) {
        buffer_append_char(&buffer, (char)('a' + i % 26));
        growths += buffer.capacity != capacity;
        capacity = buffer.capacity;
    }
    CU_ASSERT_FALSE(buffer.failed);
    CU_ASSERT_EQUAL(buffer.length, 1 << 20);
    CU_ASSERT_EQUAL(buffer.capacity, 1 << 20);
    CU_ASSERT(growths <= 20);
    for (size_t i = 0; i < buffer.length; i += 999)
        CU_ASSERT_EQUAL(buffer.data[i], (char)('a' + i % 26));
    buffer_fini(&buffer);
}

static void test_cap(void) {
    struct buffer buffer;
    buffer_init(&buffer, 10);
    buffer_append_text(&buffer, "12345678");
    buffer_append_text(&buffer, "abc");
    CU_ASSERT(buffer.failed);
    CU_ASSERT(holds(&buffer, "12345678"));
    buffer_append_text(&buffer, "90");
    CU_ASSERT(buffer.failed);
    CU_ASSERT(holds(&buffer, "1234567890"));
    CU_ASSERT(buffer.capacity <= 10);
    CU_ASSERT_PTR_NULL(buffer_reserve(&buffer, SIZE_MAX));
    buffer_reset(&buffer, CAP);
    CU_ASSERT_FALSE(buffer.failed);
    CU_ASSERT_EQUAL(buffer.length, 0);
    buffer_append_text(&buffer, "again");
    CU_ASSERT(!buffer.failed && holds(&buffer, "again"));
    buffer_fini(&buffer);
}

/* A text that does not fit whole leaves nothing behind; one that fits exactly is no failure. */
static void test_cap_of_every_append(void) {
    static const uint8_t HEX[] = {0x00, 0xab};
    char long_text[301];
    memset(long_text, 'x', 300);
    long_text[300] = '\0';
    for (size_t cap = 0; cap <= 302; cap++) {
        struct buffer buffer;
        buffer_init(&buffer, cap);
        buffer_append_number(&buffer, 12345);
        CU_ASSERT_EQUAL(buffer.length, cap >= 5 ? 5 : 0);
        CU_ASSERT_EQUAL(buffer.failed, cap < 5);
        buffer_reset(&buffer, CAP);
        buffer_append_hex(&buffer, HEX, 2);
        CU_ASSERT_EQUAL(buffer.length, cap >= 4 ? 4 : 0);
        CU_ASSERT_EQUAL(buffer.failed, cap < 4);
        buffer_reset(&buffer, 0);
        buffer_append_json(&buffer, bytes_of("a\"\x01"));
        CU_ASSERT_EQUAL(buffer.length, cap >= 11 ? 11 : 0);
        CU_ASSERT_EQUAL(buffer.failed, cap < 11);
        buffer_reset(&buffer, CAP);
        buffer_append_format(&buffer, "%s", long_text);
        CU_ASSERT_EQUAL(buffer.length, cap >= 300 ? 300 : 0);
        CU_ASSERT_EQUAL(buffer.failed, cap < 300);
        buffer_fini(&buffer);
    }
}

static void test_reset_gives_back(void) {
    struct buffer buffer;
    buffer_init(&buffer, CAP);
    for (int i = 0; i < 5000; i++)
        buffer_append_text(&buffer, "0123456789");
    buffer_reset(&buffer, CAP);
    CU_ASSERT(buffer.capacity >= 50000);
    buffer_reset(&buffer, 4096);
    CU_ASSERT(buffer.capacity > 0 && buffer.capacity <= 4096);
    unit_allocations_count_start();
    for (int i = 0; i < 400; i++)
        buffer_append_text(&buffer, "0123456789");
    CU_ASSERT_EQUAL(unit_allocations_count(), 0);
    buffer_reset(&buffer, 0);
    CU_ASSERT_EQUAL(buffer.capacity, 0);
    buffer_append_text(&buffer, "x");
    CU_ASSERT(holds(&buffer, "x"));
    buffer_fini(&buffer);
}

static void test_append_number(void) {
    static const uint64_t NUMBERS[] = {0, 1, 9, 10, 99, 100, 1234567890, UINT64_MAX - 1, UINT64_MAX};
    struct buffer buffer;
    buffer_init(&buffer, CAP);
    for (size_t i = 0; i < sizeof(NUMBERS) / sizeof(NUMBERS[0]); i++) {
        char text[32];
        snprintf(text, sizeof(text), "%" PRIu64, NUMBERS[i]);
        buffer_reset(&buffer, CAP);
        buffer_append_number(&buffer, NUMBERS[i]);
        CU_ASSERT(holds(&buffer, text));
    }
    buffer_fini(&buffer);
}

static void test_append_format(void) {
    struct buffer buffer;
    buffer_init(&buffer, CAP);
    buffer_append_format(&buffer, "%s=%d", "a", -3);
    buffer_append_format(&buffer, "%s", "");
    CU_ASSERT(holds(&buffer, "a=-3"));
    /* Around the size where the text no longer fits on the stack. */
    for (int width = 250; width <= 260; width++) {
        buffer_reset(&buffer, 0);
        buffer_append_format(&buffer, "%0*d", width, 7);
        CU_ASSERT_EQUAL_FATAL(buffer.length, (size_t)width);
        CU_ASSERT(buffer.data[0] == '0' && buffer.data[width - 1] == '7');
    }
    buffer_fini(&buffer);
}

/* RFC 8259 section 7. */
static void test_append_json(void) {
    struct buffer buffer;
    buffer_init(&buffer, CAP);
    buffer_append_json(&buffer, bytes_of(NULL));
    buffer_append_json(&buffer, bytes_of("plain \xc3\xa4 \xf0\x9f\x98\x80 /\x7f"));
    buffer_append_json(&buffer, bytes_of("\"\\\b\f\n\r\t"));
    buffer_append_json(&buffer, (struct bytes){"\0\x01\x1f\x0b", 4});
    CU_ASSERT(holds(&buffer,
                    "\"\""
                    "\"plain \xc3\xa4 \xf0\x9f\x98\x80 /\x7f\""
                    "\"\\\"\\\\\\b\\f\\n\\r\\t\""
                    "\"\\u0000\\u0001\\u001f\\u000b\""));
    buffer_fini(&buffer);
}

static void test_append_hex(void) {
    static const uint8_t DATA[] = {0x00, 0x0f, 0xf0, 0xff, 0x1a};
    struct buffer buffer;
    buffer_init(&buffer, CAP);
    buffer_append_hex(&buffer, DATA, sizeof(DATA));
    buffer_append_hex(&buffer, DATA, 0);
    CU_ASSERT(holds(&buffer, "000ff0ff1a"));
    buffer_fini(&buffer);
}

static void test_consume(void) {
    struct buffer buffer;
    buffer_init(&buffer, CAP);
    buffer_consume(&buffer, 0);
    buffer_append_text(&buffer, "abcdef");
    buffer_consume(&buffer, 2);
    CU_ASSERT(holds(&buffer, "cdef"));
    buffer_append_text(&buffer, "gh");
    buffer_consume(&buffer, 5);
    CU_ASSERT(holds(&buffer, "h"));
    buffer_consume(&buffer, 1);
    CU_ASSERT_EQUAL(buffer.length, 0);
    buffer_fini(&buffer);
}

static void test_reserve(void) {
    struct buffer buffer;
    buffer_init(&buffer, CAP);
    buffer_append_text(&buffer, "ab");
    char *to = buffer_reserve(&buffer, 1000);
    CU_ASSERT_PTR_NOT_NULL_FATAL(to);
    CU_ASSERT_PTR_EQUAL(to, buffer.data + 2);
    CU_ASSERT_EQUAL(buffer.length, 2);
    CU_ASSERT(buffer.capacity >= 1002);
    memset(to, 'c', 1000);
    buffer.length += 1000;
    CU_ASSERT_EQUAL(buffer.data[1001], 'c');
    buffer_fini(&buffer);
}

/* The test wants the failure that the sanitizers would report. */
const char *__asan_default_options(void);

const char *__asan_default_options(void) {
    return "allocator_may_return_null=1";
}

static void test_no_memory(void) {
    struct buffer buffer;
    buffer_init(&buffer, SIZE_MAX);
    buffer_append_text(&buffer, "kept");
    CU_ASSERT_PTR_NULL(buffer_reserve(&buffer, (size_t)PTRDIFF_MAX - 100));
    CU_ASSERT(buffer.failed);
    CU_ASSERT(holds(&buffer, "kept"));
    buffer_append_text(&buffer, ", too");
    CU_ASSERT(holds(&buffer, "kept, too"));
    buffer_fini(&buffer);
}

/* Growing asks for more than it needs; only the lack of what it needs is a failure. */
static void test_short_memory(void) {
    struct buffer buffer;
    buffer_init(&buffer, CAP);
    while (buffer.length < 1000 || buffer.length < buffer.capacity)
        buffer_append_char(&buffer, 'x');
    size_t length = buffer.length;
    unit_allocations_fail(1, true);
    buffer_append_char(&buffer, 'y');
    unit_allocations_heal();
    CU_ASSERT_FALSE(buffer.failed);
    CU_ASSERT_EQUAL(buffer.length, length + 1);
    CU_ASSERT_EQUAL(buffer.data[length], 'y');
    buffer_fini(&buffer);
}

static const struct unit_case CASES[] = {
    {"bytes compare with ASCII letters of either case", test_equal_ignoring_case},
    {"bytes are trimmed of spaces and tabs", test_trim},
    {"a number is digits only and saturates", test_number},
    {"an append keeps every byte", test_append},
    {"growing takes few allocations", test_grows_in_few_steps},
    {"an append beyond the cap appends nothing and is remembered", test_cap},
    {"every kind of append keeps to the cap", test_cap_of_every_append},
    {"a reset keeps what it may and gives the rest back", test_reset_gives_back},
    {"numbers are appended", test_append_number},
    {"formats are appended", test_append_format},
    {"JSON strings are escaped", test_append_json},
    {"hex digits are appended", test_append_hex},
    {"consuming moves the rest to the front", test_consume},
    {"reserving makes room behind the content", test_reserve},
    {"memory that is not to be had is a failure, not a crash", test_no_memory},
    {"short memory is used as far as it goes", test_short_memory},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "buffer", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
