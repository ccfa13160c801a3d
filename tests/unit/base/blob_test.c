#include "inferonce/base/blob.h"

#include <stdlib.h>

#include "unit.h"

#define LENGTH 100000

static struct stats stats;
static struct blobs *blobs;

static void begin(void) {
    memset(&stats, 0, sizeof(stats));
    blobs = blobs_create(&stats);
    CU_ASSERT_PTR_NOT_NULL_FATAL(blobs);
}

static void end(void) {
    blobs_destroy(&blobs);
    CU_ASSERT_PTR_NULL(blobs);
    CU_ASSERT_EQUAL(stats.value[STAT_held_bytes], 0);
}

static struct bytes filled(char c, size_t length) {
    char *data = malloc(length);
    CU_ASSERT_PTR_NOT_NULL_FATAL(data);
    memset(data, c, length);
    return (struct bytes){data, length};
}

static void drop(struct bytes bytes) {
    free((char *)(uintptr_t)bytes.data);
}

static void test_equal_bytes_are_held_once(void) {
    begin();
    struct bytes first = filled('a', LENGTH);
    struct bytes second = filled('a', LENGTH);
    struct blob *one = blobs_hold(blobs, first);
    struct blob *two = blobs_hold(blobs, second);
    CU_ASSERT_PTR_NOT_NULL_FATAL(one);
    CU_ASSERT_PTR_EQUAL(one, two);
    CU_ASSERT_TRUE(bytes_equal(one->bytes, first));
    CU_ASSERT_PTR_NOT_EQUAL(one->bytes.data, first.data); /* a copy */
    CU_ASSERT_EQUAL(stats.value[STAT_held_bytes], LENGTH);
    blob_unref(one);
    CU_ASSERT_EQUAL(stats.value[STAT_held_bytes], LENGTH);
    blob_unref(two);
    blob_unref(NULL);
    drop(first);
    drop(second);
    end();
}

static void test_different_bytes_are_not_mixed_up(void) {
    enum { MANY = 300 };
    struct blob *held[MANY];
    begin();
    struct bytes bytes = filled('a', LENGTH);
    for (size_t i = 0; i < MANY; i++) {
        char *at = (char *)(uintptr_t)bytes.data + i * (LENGTH / MANY);
        *at = 'b'; /* a single byte, which no sample may see */
        held[i] = blobs_hold(blobs, bytes);
        CU_ASSERT_PTR_NOT_NULL_FATAL(held[i]);
        CU_ASSERT_TRUE(bytes_equal(held[i]->bytes, bytes));
        *at = 'a';
    }
    CU_ASSERT_EQUAL(stats.value[STAT_held_bytes], (uint64_t)MANY * LENGTH);
    for (size_t i = 0; i < MANY; i++)
        blob_unref(held[i]);
    drop(bytes);
    end();
}

static void test_any_length(void) {
    begin();
    struct bytes bytes = filled('x', 200);
    for (size_t length = 0; length < 200; length++) {
        struct blob *blob = blobs_hold(blobs, (struct bytes){bytes.data, length});
        CU_ASSERT_PTR_NOT_NULL_FATAL(blob);
        CU_ASSERT_EQUAL(blob->bytes.length, length);
        blob_unref(blob);
    }
    drop(bytes);
    end();
}

static void test_limit(void) {
    enum { LARGE = 8 << 20, FIT = BLOBS_BYTES_MAX / LARGE };
    struct blob *held[FIT];
    begin();
    for (size_t i = 0; i < FIT; i++) {
        struct bytes bytes = filled((char)i, LARGE);
        held[i] = blobs_hold(blobs, bytes);
        CU_ASSERT_PTR_NOT_NULL_FATAL(held[i]);
        drop(bytes);
    }
    CU_ASSERT_FALSE(blobs_have_room(blobs, 1));
    CU_ASSERT_PTR_NULL(blobs_hold(blobs, bytes_of("!")));
    struct bytes known = filled(3, LARGE);
    CU_ASSERT_PTR_EQUAL(blobs_hold(blobs, known), held[3]); /* what is held costs nothing */
    blob_unref(held[3]);
    drop(known);
    for (size_t i = 0; i < FIT; i++)
        blob_unref(held[i]);
    CU_ASSERT_TRUE(blobs_have_room(blobs, BLOBS_BYTES_MAX));
    CU_ASSERT_FALSE(blobs_have_room(blobs, BLOBS_BYTES_MAX + 1));
    end();
}

static void test_no_memory(void) {
    begin();
    struct bytes bytes = filled('a', LENGTH);
    unit_allocations_count_start();
    unit_allocations_fail(1, false);
    struct blob *blob = blobs_hold(blobs, bytes);
    unit_allocations_heal();
    if (unit_allocations_count() > 0) { /* no sanitizer has the allocator */
        CU_ASSERT_PTR_NULL(blob);
        CU_ASSERT_EQUAL(stats.value[STAT_held_bytes], 0);
    }
    blob_unref(blob);
    drop(bytes);
    end();
}

static const struct unit_case CASES[] = {
    {"equal bytes are held once", test_equal_bytes_are_held_once},
    {"different bytes are not mixed up", test_different_bytes_are_not_mixed_up},
    {"any length", test_any_length},
    {"a limit, which what is held already does not count in again", test_limit},
    {"no memory", test_no_memory},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "blob", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
