#include "unit.h"

#include <CUnit/TestRun.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool unit_directory(char *path, size_t size, const char *name) {
    const char *parent = getenv("TMPDIR");
    int length = snprintf(path, size, "%s/%s.XXXXXX", parent ? parent : "/tmp", name);
    return length > 0 && (size_t)length < size && mkdtemp(path) != NULL;
}

static unsigned long allocations;
static unsigned long fail_at; /* 0: never */
static bool fail_once;

/* The C library's own allocator; the sanitizers put theirs in the same place, before ours is asked, and then
 * none of this is used. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *memory, size_t size);

#if defined(__SANITIZE_ADDRESS__)
#define OWN_ALLOCATOR 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define OWN_ALLOCATOR 0
#endif
#endif
#ifndef OWN_ALLOCATOR
#define OWN_ALLOCATOR 1
#endif

#if OWN_ALLOCATOR
static bool allocation_fails(void) {
    allocations++;
    if (fail_at == 0 || allocations < fail_at)
        return false;
    if (fail_once)
        fail_at = 0;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size) {
    return allocation_fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size) {
    return allocation_fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *memory, size_t size) {
    return allocation_fails() ? NULL : __libc_realloc(memory, size);
}
#endif

void unit_allocations_fail(unsigned n, bool once) {
    fail_once = once;
    fail_at = n == 0 ? 0 : allocations + n;
}

void unit_allocations_heal(void) {
    fail_at = 0;
}

static unsigned long counted_from;

void unit_allocations_count_start(void) {
    counted_from = allocations;
}

unsigned long unit_allocations_count(void) {
    return allocations - counted_from;
}

/* ---- assertions ---- */

static const char *row_name;

void unit_row(const char *row) {
    row_name = row;
}

/* CUnit copies the text. */
static void assert_with(bool holds, const char *text, const char *values, const char *file, unsigned line) {
    char message[512];
    snprintf(message, sizeof(message), "%s: %s%s%s", text, values, row_name ? "; row " : "",
             row_name ? row_name : "");
    CU_assertImplementation(holds, line, holds ? text : message, file, "", CU_FALSE);
}

void unit_equal(intmax_t actual, intmax_t expected, const char *text, const char *file, unsigned line) {
    char values[64] = "";
    if (actual != expected)
        snprintf(values, sizeof(values), "%jd instead of %jd", actual, expected);
    assert_with(actual == expected, text, values, file, line);
}

void unit_string_equal(const char *actual, const char *expected, const char *text, const char *file,
                       unsigned line) {
    char values[256] = "";
    bool equal = strcmp(actual, expected) == 0;
    if (!equal)
        snprintf(values, sizeof(values), "\"%.100s\" instead of \"%.100s\"", actual, expected);
    assert_with(equal, text, values, file, line);
}

/* ---- a suite ---- */

static const char *failing_suite;

static void print_failures(const CU_pTest test, const CU_pSuite suite, const CU_pFailureRecord first) {
    (void)suite;
    unit_allocations_heal();
    unit_row(NULL);
    for (CU_pFailureRecord failure = first; failure; failure = failure->pNext)
        printf("%s: FAILED %s\n    %s:%u: %s\n", failing_suite, test->pName,
               failure->strFileName ? failure->strFileName : "?", failure->uiLineNumber,
               failure->strCondition ? failure->strCondition : "?");
}

int unit_main(int argc, char *argv[], const char *name, const struct unit_case *cases, size_t n) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    failing_suite = name;
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 2;
    CU_pSuite suite = CU_add_suite(name, NULL, NULL);
    if (!suite)
        return 2;
    for (size_t i = 0; i < n; i++) {
        if (argc > 1 && !strstr(cases[i].name, argv[1]))
            continue;
        if (!CU_add_test(suite, cases[i].name, cases[i].run))
            return 2;
    }
    CU_set_test_complete_handler(print_failures);
    CU_ErrorCode run = CU_run_all_tests();
    unsigned failed = CU_get_number_of_tests_failed();
    unsigned passed = CU_get_number_of_tests_run() - failed;
    printf("%s: %u passed, %u failed\n", name, passed, failed);
    CU_cleanup_registry();
    return run == CUE_SUCCESS && failed == 0 && passed > 0 ? 0 : 1;
}
