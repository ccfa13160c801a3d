#include "inferonce/base/json_order.h"

#include <stdio.h>
#include <stdlib.h>

#include "inferonce/base/json_string.h"
#include "unit.h"

#define MOST 3000

static struct json_member members[MOST];
static char names[MOST][24];
static uint32_t random_state;

static uint32_t next_random(uint32_t limit) {
    random_state = random_state * 1664525 + 1013904223;
    return (uint32_t)(((uint64_t)(random_state >> 4) * limit) >> 28);
}

/* In slices of `slice`; each but the last spends it. */
static enum json_order_status sort(struct json_order *order, size_t n, size_t slice) {
    enum json_order_status status = JSON_ORDER_MORE;
    json_order_begin(order, members, n);
    while (status == JSON_ORDER_MORE) {
        size_t budget = slice;
        status = json_order_go_on(order, &budget);
        CU_ASSERT_TRUE(status != JSON_ORDER_MORE || budget < slice);
    }
    return status;
}

/* The numbers 0 to n - 1 in any order; `twice` gives two members the same name, written differently. */
static void make(size_t n, bool shuffled, bool twice) {
    size_t number[MOST];
    for (size_t i = 0; i < n; i++)
        number[i] = i;
    for (size_t i = n; shuffled && i > 1; i--) {
        size_t other = next_random((uint32_t)i), swapped = number[i - 1];
        number[i - 1] = number[other];
        number[other] = swapped;
    }
    for (size_t i = 0; i < n; i++) {
        snprintf(names[i], sizeof(names[i]), i % 3 ? "m%06zu" : "\\u006d%06zu", number[i]);
        if (twice && i == n - 1)
            snprintf(names[i], sizeof(names[i]), "\\u006d%06zu", number[0]);
        members[i] = (struct json_member){bytes_of(names[i]), i};
    }
}

static void test_sorts(void) {
    static const size_t COUNTS[] = {0, 1, 2, 3, 8, 9, 10, 16, 17, 100, 255, 256, 257, MOST};
    struct json_order order = {0};
    random_state = 1;
    for (size_t i = 0; i < sizeof(COUNTS) / sizeof(COUNTS[0]); i++) {
        for (size_t slice = 1; slice < 5000; slice = 7 * slice + 3) {
            size_t n = COUNTS[i];
            make(n, true, false);
            CU_ASSERT_EQUAL(sort(&order, n, slice), JSON_ORDER_DONE);
            for (size_t m = 1; m < n; m++)
                CU_ASSERT_TRUE(json_string_compare(members[m - 1].name, members[m].name) < 0);
            for (size_t m = 0; m < n; m++)
                CU_ASSERT_PTR_EQUAL(members[m].name.data, names[members[m].place]);
            CU_ASSERT_EQUAL(sort(&order, n, slice), JSON_ORDER_DONE);
            CU_ASSERT_TRUE(order.in_order);
        }
    }
    json_order_fini(&order);
}

static void test_in_order(void) {
    struct json_order order = {0};
    make(100, false, false);
    unit_allocations_count_start();
    CU_ASSERT_EQUAL(sort(&order, 100, SIZE_MAX), JSON_ORDER_DONE);
    CU_ASSERT_EQUAL(unit_allocations_count(), 0);
    CU_ASSERT_TRUE(order.in_order);
    struct json_member first = members[0];
    members[0] = members[1];
    members[1] = first;
    CU_ASSERT_EQUAL(sort(&order, 100, SIZE_MAX), JSON_ORDER_DONE);
    CU_ASSERT_FALSE(order.in_order);
    json_order_fini(&order);
}

static void test_twice(void) {
    static const size_t COUNTS[] = {2, 3, 8, 9, 100, 1000};
    struct json_order order = {0};
    random_state = 2;
    for (size_t i = 0; i < sizeof(COUNTS) / sizeof(COUNTS[0]); i++) {
        for (int shuffled = 0; shuffled <= 1; shuffled++) {
            make(COUNTS[i], shuffled, true);
            CU_ASSERT_EQUAL(sort(&order, COUNTS[i], 50), JSON_ORDER_TWICE);
        }
    }
    json_order_fini(&order);
}

static void test_no_memory(void) {
    struct json_order order = {0};
    random_state = 3;
    make(100, true, false);
    unit_allocations_count_start();
    unit_allocations_fail(1, true);
    enum json_order_status status = sort(&order, 100, SIZE_MAX);
    unit_allocations_heal();
    bool failed = unit_allocations_count() > 0; /* the sanitizers have the allocator to themselves */
    CU_ASSERT_EQUAL(status, failed ? JSON_ORDER_NO_MEMORY : JSON_ORDER_DONE);
    json_order_fini(&order);
}

static const struct unit_case CASES[] = {
    {"sorts, in slices of any size", test_sorts},
    {"what is in order", test_in_order},
    {"a name given twice", test_twice},
    {"no memory", test_no_memory},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "json_order", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
