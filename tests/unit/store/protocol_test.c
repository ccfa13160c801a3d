/* The meaning of memcached's answer lines for each command, and the form of commands. */
#include "store/memcached/protocol.h"

#include <stdio.h>

#include "unit.h"

struct row {
    enum memcached_verb verb;
    const char *line;
    enum memcached_line meaning;
};

/* protocol.txt of memcached 1.6: each command's own answers, and those of the others. */
static const struct row ROWS[] = {
    {MEMCACHED_GET, "END", LINE_END},
    {MEMCACHED_GET, "VALUE key 0 5", LINE_VALUE},
    {MEMCACHED_GET, "VALUE key 0 5 7", LINE_STRANGE},
    {MEMCACHED_GET, "VALUE key 0", LINE_STRANGE},
    {MEMCACHED_GET, "VALUE key 0 -5", LINE_STRANGE},
    {MEMCACHED_GET, "VALUE key 0 5x", LINE_STRANGE},
    {MEMCACHED_GET, "VALUE key 0  5", LINE_STRANGE},
    {MEMCACHED_GET, "VALUE  key 0 5", LINE_STRANGE},
    {MEMCACHED_GET, "VALUE key 0 18446744073709551615", LINE_STRANGE},
    {MEMCACHED_GET, "VALUE key 0 99999999999999999999", LINE_STRANGE},
    {MEMCACHED_GET, "STORED", LINE_STRANGE},
    {MEMCACHED_GET, "SERVER_ERROR out of memory writing get response", LINE_STRANGE},
    {MEMCACHED_GET, "ERROR", LINE_STRANGE},
    {MEMCACHED_GET, "", LINE_STRANGE},
    {MEMCACHED_GETS, "VALUE key 0 5 7", LINE_VALUE},
    {MEMCACHED_GETS, "VALUE key 0 5", LINE_STRANGE},
    {MEMCACHED_GETS, "VALUE key 0 5 7 8", LINE_STRANGE},
    {MEMCACHED_SET, "STORED", LINE_DONE},
    {MEMCACHED_SET, "NOT_STORED", LINE_STRANGE},
    {MEMCACHED_SET, "END", LINE_STRANGE},
    {MEMCACHED_SET, "SERVER_ERROR out of memory storing object", LINE_FULL},
    {MEMCACHED_SET, "SERVER_ERROR object too large for cache", LINE_TOO_LARGE},
    {MEMCACHED_SET, "CLIENT_ERROR bad data chunk", LINE_STRANGE},
    {MEMCACHED_ADD, "STORED", LINE_DONE},
    {MEMCACHED_ADD, "NOT_STORED", LINE_CONFLICT},
    {MEMCACHED_ADD, "EXISTS", LINE_STRANGE},
    {MEMCACHED_CAS, "STORED", LINE_DONE},
    {MEMCACHED_CAS, "EXISTS", LINE_CONFLICT},
    {MEMCACHED_CAS, "NOT_FOUND", LINE_NOTHING},
    {MEMCACHED_CAS, "NOT_STORED", LINE_STRANGE},
    {MEMCACHED_DELETE, "DELETED", LINE_DONE},
    {MEMCACHED_DELETE, "NOT_FOUND", LINE_NOTHING},
    {MEMCACHED_DELETE, "STORED", LINE_STRANGE},
    {MEMCACHED_TOUCH, "TOUCHED", LINE_DONE},
    {MEMCACHED_TOUCH, "NOT_FOUND", LINE_NOTHING},
    {MEMCACHED_TOUCH, "STORED", LINE_STRANGE},
    {MEMCACHED_STATS, "STAT pid 1", LINE_STAT},
    {MEMCACHED_STATS, "END", LINE_END},
    {MEMCACHED_STATS, "VERSION 1.6.18", LINE_STRANGE},
    {MEMCACHED_BARRIER, "VERSION 1.6.18", LINE_DONE},
    {MEMCACHED_BARRIER, "VERSION", LINE_STRANGE},
    {MEMCACHED_BARRIER, "VERSION ", LINE_STRANGE},
    {MEMCACHED_BARRIER, "STORED", LINE_STRANGE},
};

static void test_lines(void) {
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct memcached_value_line value = {.length = 0};
        enum memcached_line meaning = memcached_line_read(ROWS[i].verb, bytes_of(ROWS[i].line), &value);
        CU_ASSERT_EQUAL(meaning, ROWS[i].meaning);
        if (meaning != ROWS[i].meaning)
            printf("    verb %d, \"%s\": %d, not %d\n", ROWS[i].verb, ROWS[i].line, meaning, ROWS[i].meaning);
        if (meaning == LINE_VALUE) {
            CU_ASSERT_TRUE(bytes_equal(value.key, bytes_of("key")));
            CU_ASSERT_EQUAL(value.length, 5);
            CU_ASSERT_EQUAL(value.cas, ROWS[i].verb == MEMCACHED_GETS ? 7 : 0);
        }
    }
}

static void test_a_key_has_at_most_250_bytes(void) {
    char line[512];
    struct memcached_value_line value;
    for (int length = 249; length <= 252; length++) {
        snprintf(line, sizeof(line), "VALUE %0*d 0 5", length, 7);
        CU_ASSERT_EQUAL(memcached_line_read(MEMCACHED_GET, bytes_of(line), &value),
                        length <= 250 ? LINE_VALUE : LINE_STRANGE);
    }
}

static void check_appended(struct buffer *out, const char *expected) {
    CU_ASSERT_TRUE(bytes_equal(buffer_bytes(out), bytes_of(expected)));
    if (!bytes_equal(buffer_bytes(out), bytes_of(expected)))
        printf("    %.*s\n", (int)out->length, out->data);
    buffer_reset(out, 0);
}

static void test_commands(void) {
    struct buffer out;
    struct bytes none = {NULL, 0};
    buffer_init(&out, 1024);
    memcached_append_get(&out, MEMCACHED_GET, "aabbcc", 2, 3);
    check_appended(&out, "get aa bb cc\r\n");
    memcached_append_get(&out, MEMCACHED_GETS, "aa", 2, 1);
    check_appended(&out, "gets aa\r\n");
    memcached_append_delete(&out, bytes_of("aa"));
    check_appended(&out, "delete aa\r\n");
    memcached_append_write(&out, MEMCACHED_ADD, bytes_of("aa"), bytes_of("he"), bytes_of("ad"), 1500, 9);
    check_appended(&out, "add aa 0 3 4\r\nhead\r\n");
    memcached_append_write(&out, MEMCACHED_CAS, bytes_of("aa"), none, bytes_of("x"), 0, 9);
    check_appended(&out, "cas aa 0 0 1 9\r\nx\r\n");
    memcached_append_write(&out, MEMCACHED_SET, bytes_of("aa"), none, none, UINT64_MAX, 0);
    check_appended(&out, "set aa 0 2592000 0\r\n\r\n"); /* more would be a time since 1970 */
    buffer_fini(&out);
}

static const struct unit_case CASES[] = {
    {"what lines mean", test_lines},
    {"a key has at most 250 bytes", test_a_key_has_at_most_250_bytes},
    {"commands", test_commands},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "protocol", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
