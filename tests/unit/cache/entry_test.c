#include "inferonce/cache/entry.h"

#include <stdlib.h>

#include "../../fuzz/entry_fuzz.c"
#include "inferonce/cache/crc32c.h"
#include "unit.h"

#define NOW_US UINT64_C(1700000000000000)

static struct entry sample(void) {
    struct entry entry = {.created_us = NOW_US - 5,
                          .fresh_until_us = UINT64_C(0x0102030405060708),
                          .stale_while_revalidate_until_us = 22,
                          .stale_if_error_until_us = 33,
                          .generation = UINT64_MAX,
                          .inference_us = 5000000,
                          .cache_namespace = bytes_of("default"),
                          .model_name = bytes_of("vader"),
                          .model_version = bytes_of("1"),
                          .body = bytes_of("{\"sentiment\":\"positive\",\"confidence\":0.9}")};
    for (size_t i = 0; i < KEY_LENGTH; i++)
        entry.key.bytes[i] = (uint8_t)(i * 7);
    return entry;
}

static struct buffer written(const struct entry *entry) {
    struct buffer buffer;
    buffer_init(&buffer, 1 << 20);
    entry_append(entry, &buffer);
    CU_ASSERT_FALSE(buffer.failed);
    CU_ASSERT_EQUAL(buffer.length, entry_length(entry));
    return buffer;
}

static enum entry_check check(struct bytes value, const struct key *key) {
    struct entry entry;
    return entry_read(value, key, NOW_US, &entry);
}

static void test_round_trip(void) {
    struct entry entry = sample(), read = {0};
    struct buffer buffer = written(&entry);
    CU_ASSERT_EQUAL(entry_read(buffer_bytes(&buffer), &entry.key, NOW_US, &read), ENTRY_GOOD);
    CU_ASSERT_TRUE(key_equal(&read.key, &entry.key));
    CU_ASSERT_EQUAL(read.created_us, entry.created_us);
    CU_ASSERT_EQUAL(read.fresh_until_us, entry.fresh_until_us);
    CU_ASSERT_EQUAL(read.stale_while_revalidate_until_us, entry.stale_while_revalidate_until_us);
    CU_ASSERT_EQUAL(read.stale_if_error_until_us, entry.stale_if_error_until_us);
    CU_ASSERT_EQUAL(read.generation, entry.generation);
    CU_ASSERT_EQUAL(read.inference_us, entry.inference_us);
    CU_ASSERT_TRUE(bytes_equal(read.cache_namespace, entry.cache_namespace));
    CU_ASSERT_TRUE(bytes_equal(read.model_name, entry.model_name));
    CU_ASSERT_TRUE(bytes_equal(read.model_version, entry.model_version));
    CU_ASSERT_TRUE(bytes_equal(read.body, entry.body));
    CU_ASSERT_EQUAL(entry_age_us(&read, NOW_US), 5);
    CU_ASSERT_EQUAL(entry_age_us(&read, 1), 0);
    buffer_fini(&buffer);
}

static void test_layout(void) {
    struct entry entry = sample();
    struct buffer buffer = written(&entry);
    static const char START[] = "IOE1\x01\x00\x07\x05\x01\x00\x00\x00";
    CU_ASSERT_EQUAL(memcmp(buffer.data, START, 12), 0);
    CU_ASSERT_EQUAL(memcmp(buffer.data + 16, entry.key.bytes, KEY_LENGTH), 0);
    CU_ASSERT_EQUAL(memcmp(buffer.data + 56, "\x08\x07\x06\x05\x04\x03\x02\x01", 8), 0);
    CU_ASSERT_EQUAL(memcmp(buffer.data + 80, "\xff\xff\xff\xff\xff\xff\xff\xff", 8), 0);
    CU_ASSERT_EQUAL((uint8_t)buffer.data[96], entry.body.length);
    CU_ASSERT_EQUAL(memcmp(buffer.data + 104, "defaultvader1{\"sent", 19), 0);
    uint32_t sum = crc32c(crc32c(0, buffer.data, 12), buffer.data + 16, buffer.length - 16);
    for (int i = 0; i < 4; i++)
        CU_ASSERT_EQUAL((uint8_t)buffer.data[12 + i], (uint8_t)(sum >> (8 * i)));
    buffer_fini(&buffer);
}

static void test_every_changed_byte_is_seen(void) {
    struct entry entry = sample();
    struct buffer buffer = written(&entry);
    for (size_t i = 0; i < buffer.length; i++)
        for (unsigned change = 1; change < 256; change++) {
            buffer.data[i] = (char)(buffer.data[i] ^ (char)change);
            CU_ASSERT_EQUAL(check(buffer_bytes(&buffer), &entry.key), ENTRY_CORRUPT);
            buffer.data[i] = (char)(buffer.data[i] ^ (char)change);
        }
    CU_ASSERT_EQUAL(check(buffer_bytes(&buffer), &entry.key), ENTRY_GOOD);
    buffer_fini(&buffer);
}

/* The lengths of two names changed so that their sum stays right: the checksum covers what is before it, too.
 */
static void test_shifted_names_are_seen(void) {
    struct entry entry = sample();
    struct buffer buffer = written(&entry);
    buffer.data[6]++;
    buffer.data[7]--;
    CU_ASSERT_EQUAL(check(buffer_bytes(&buffer), &entry.key), ENTRY_CORRUPT);
    buffer_fini(&buffer);
}

static void test_every_other_length_is_seen(void) {
    struct entry entry = sample();
    struct buffer buffer = written(&entry);
    size_t length = buffer.length;
    for (size_t i = 0; i < length; i++) {
        char *exact = malloc(i + 1); /* of its own size, for the address sanitizer */
        CU_ASSERT_PTR_NOT_NULL_FATAL(exact);
        memcpy(exact, buffer.data, i);
        CU_ASSERT_EQUAL(check((struct bytes){exact, i}, &entry.key), ENTRY_CORRUPT);
        free(exact);
    }
    buffer_append_char(&buffer, '\0');
    CU_ASSERT_EQUAL(check(buffer_bytes(&buffer), &entry.key), ENTRY_CORRUPT);
    CU_ASSERT_EQUAL(check((struct bytes){NULL, 0}, &entry.key), ENTRY_CORRUPT);
    buffer_fini(&buffer);
}

/* A body length that wraps around when lengths are added. */
static void test_huge_body_length(void) {
    struct entry entry = sample();
    struct buffer buffer = written(&entry);
    memset(buffer.data + 96, 0xff, 8);
    uint32_t sum = crc32c(crc32c(0, buffer.data, 12), buffer.data + 16, buffer.length - 16);
    for (int i = 0; i < 4; i++)
        buffer.data[12 + i] = (char)(sum >> (8 * i));
    CU_ASSERT_EQUAL(check(buffer_bytes(&buffer), &entry.key), ENTRY_CORRUPT);
    buffer_fini(&buffer);
}

static void test_other_key_leaves_result_alone(void) {
    struct entry entry = sample(), read = {.generation = 77};
    struct buffer buffer = written(&entry);
    struct key other = entry.key;
    other.bytes[31] ^= 1;
    CU_ASSERT_EQUAL(entry_read(buffer_bytes(&buffer), &other, NOW_US, &read), ENTRY_OTHER_KEY);
    CU_ASSERT_EQUAL(read.generation, 77);
    buffer_fini(&buffer);
}

static void test_future(void) {
    const struct {
        uint64_t created_us;
        enum entry_check expected;
    } cases[] = {{NOW_US, ENTRY_GOOD},
                 {NOW_US + ENTRY_CLOCK_SKEW_US, ENTRY_GOOD},
                 {NOW_US + ENTRY_CLOCK_SKEW_US + 1, ENTRY_FROM_FUTURE},
                 {UINT64_MAX, ENTRY_FROM_FUTURE},
                 {0, ENTRY_GOOD}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct entry entry = sample();
        entry.created_us = cases[i].created_us;
        struct buffer buffer = written(&entry);
        CU_ASSERT_EQUAL(check(buffer_bytes(&buffer), &entry.key), cases[i].expected);
        buffer_fini(&buffer);
    }
}

static void test_long_and_empty_parts(void) {
    static char name[300];
    memset(name, 'n', sizeof(name));
    struct entry entry = sample(), read;
    entry.cache_namespace = (struct bytes){name, 300};
    entry.model_name = (struct bytes){name, 255};
    entry.model_version = (struct bytes){NULL, 0};
    entry.body = (struct bytes){NULL, 0};
    struct buffer buffer = written(&entry);
    CU_ASSERT_EQUAL(buffer.length, ENTRY_HEADER_LENGTH + 255 + 255);
    CU_ASSERT_EQUAL(entry_read(buffer_bytes(&buffer), &entry.key, NOW_US, &read), ENTRY_GOOD);
    CU_ASSERT_EQUAL(read.cache_namespace.length, ENTRY_NAME_MAX);
    CU_ASSERT_EQUAL(read.model_name.length, 255);
    CU_ASSERT_EQUAL(read.model_version.length, 0);
    CU_ASSERT_EQUAL(read.body.length, 0);
    buffer_fini(&buffer);
}

static void test_no_room(void) {
    struct entry entry = sample();
    struct buffer buffer;
    buffer_init(&buffer, entry_length(&entry) - 1);
    entry_append(&entry, &buffer);
    CU_ASSERT_TRUE(buffer.failed);
    CU_ASSERT_EQUAL(buffer.length, 0);
    buffer_fini(&buffer);
}

/* Good entries with a few bytes replaced, so that the checks behind the first are reached. */
static void test_random(void) {
    uint32_t random = 20;
    for (int run = 0; run < 20000; run++) {
        struct entry entry = sample();
        struct buffer buffer = written(&entry);
        for (int changes = run % 4; changes > 0; changes--) {
            random = random * 1664525 + 1013904223;
            buffer.data[(random >> 8) % buffer.length] = (char)(random >> 24);
        }
        LLVMFuzzerTestOneInput((const uint8_t *)buffer.data, buffer.length - (random >> 16) % 2);
        buffer_fini(&buffer);
    }
}

static const struct unit_case CASES[] = {
    {"what was written is read", test_round_trip},
    {"the layout is the documented one", test_layout},
    {"every changed byte is seen", test_every_changed_byte_is_seen},
    {"names that take from each other are seen", test_shifted_names_are_seen},
    {"every other length is seen", test_every_other_length_is_seen},
    {"a huge body length is seen", test_huge_body_length},
    {"another key's entry is refused and the result left alone", test_other_key_leaves_result_alone},
    {"an entry from the future is refused, beyond the skew", test_future},
    {"long names are cut, empty parts are legal", test_long_and_empty_parts},
    {"without room nothing is appended", test_no_room},
    {"random damage", test_random},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "entry", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
