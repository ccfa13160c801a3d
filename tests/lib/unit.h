/* A CUnit program of one suite: lists its cases, prints the failed assertions, closes with "name: N passed, N
 * failed".
 *
 *     static const struct unit_case CASES[] = {{"what it does", test_what_it_does}, ...};
 *     int main(int argc, char *argv[]) {
 *         return unit_main(argc, argv, "module", CASES, sizeof(CASES) / sizeof(CASES[0]));
 *     }
 *
 * An argument runs only the cases whose name contains it. */
#ifndef INFERONCE_TESTS_UNIT_H
#define INFERONCE_TESTS_UNIT_H

#include <CUnit/CUnit.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct unit_case {
    const char *name;
    void (*run)(void);
};

/* Makes a directory of its own below TMPDIR, NAME.xxxxxx, and writes its path; false when that fails. Who
 * asks for it removes it. */
bool unit_directory(char *path, size_t size, const char *name);

/* CUnit says which expression failed; these say both values, too, and the row of a table that is being
 * checked.
 */
#undef CU_ASSERT_EQUAL
#undef CU_ASSERT_STRING_EQUAL
#define CU_ASSERT_EQUAL(actual, expected) \
    unit_equal((intmax_t)(actual), (intmax_t)(expected), #actual " == " #expected, __FILE__, __LINE__)
#define CU_ASSERT_STRING_EQUAL(actual, expected) \
    unit_string_equal((actual), (expected), #actual " == " #expected, __FILE__, __LINE__)

void unit_equal(intmax_t actual, intmax_t expected, const char *text, const char *file, unsigned line);
void unit_string_equal(const char *actual, const char *expected, const char *text, const char *file,
                       unsigned line);

/* Names the row that is checked from here to the case's end; NULL: none. Borrowed. */
void unit_row(const char *row);

int unit_main(int argc, char *argv[], const char *suite, const struct unit_case *cases, size_t n);

/* From the n-th allocation of this process on (1: the next one), malloc, calloc and realloc return NULL, once
 * or until unit_allocations_heal. 0 switches it off. Only allocations made by the program's own objects and
 * libraries after the call are counted. */
void unit_allocations_fail(unsigned n, bool once);
void unit_allocations_heal(void);

/* How many allocations there were since the last unit_allocations_count_start. */
void unit_allocations_count_start(void);
unsigned long unit_allocations_count(void);

#endif
