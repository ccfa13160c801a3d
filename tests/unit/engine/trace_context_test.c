#include "engine/upstream/trace.h"

#include "unit.h"

#define TRACE  "0af7651916cd43dd8448eb211c80319c"
#define PARENT "b7ad6b7169203331"

static void test_goes_on(void) {
    static const struct {
        const char *received, *sent;
    } ROWS[] = {
        {"00-" TRACE "-" PARENT "-01", "00-" TRACE "-00000000000000ab-01"},
        {"00-" TRACE "-" PARENT "-00", "00-" TRACE "-00000000000000ab-00"},
        {"00-" TRACE "-" PARENT "-ff", "00-" TRACE "-00000000000000ab-ff"},
        {" 00-" TRACE "-" PARENT "-01\t", "00-" TRACE "-00000000000000ab-01"},
        {"cc-" TRACE "-" PARENT "-01", "00-" TRACE "-00000000000000ab-01"},
        {"cc-" TRACE "-" PARENT "-01-what the future brings", "00-" TRACE "-00000000000000ab-01"},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        char value[TRACE_PARENT_LENGTH + 1];
        CU_ASSERT_FATAL(trace_context_continue(bytes_of(ROWS[i].received), 0xab, value));
        CU_ASSERT_STRING_EQUAL(value, ROWS[i].sent);
    }
}

static void test_malformed(void) {
    static const char *const ROWS[] = {
        "",
        "00",
        "00-" TRACE "-" PARENT "-0",
        "00-" TRACE "-" PARENT "-011",
        "00-" TRACE "-" PARENT "-01-more",
        "cc-" TRACE "-" PARENT "-01.more",
        "ff-" TRACE "-" PARENT "-01",
        "0g-" TRACE "-" PARENT "-01",
        "00-00000000000000000000000000000000-" PARENT "-01",
        "00-" TRACE "-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-" PARENT "-01",
        "00-" TRACE "_" PARENT "-01",
        "00-" TRACE "-" PARENT "-0x",
        "00-" TRACE "-" PARENT "-01, 00-" TRACE "-" PARENT "-01",
    };
    char value[TRACE_PARENT_LENGTH + 1];
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++)
        CU_ASSERT_FALSE(trace_context_continue(bytes_of(ROWS[i]), 1, value));
    CU_ASSERT_FALSE(trace_context_continue((struct bytes){NULL, 0}, 1, value));
}

static const struct unit_case CASES[] = {
    {"the same trace and flags, a new parent", test_goes_on},
    {"a malformed one is dropped", test_malformed},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "trace_context", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
