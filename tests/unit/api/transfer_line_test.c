/* Lines of an export, read in slices of every length. */
#include "api/transfer_line.h"

#include <stdlib.h>

#include "unit.h"

#define KEY   "\"key\":\"00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF\""
#define NAME  "\"namespace\":\"tenant-7\""
#define TIMES "\"created_us\":1000000,\"fresh_until_us\":2000000"
#define NOW   UINT64_C(1500000)

static struct transfer_line line;
static char *text; /* in a block of its own, so that a sanitizer sees who reads beyond */

static enum transfer_line_status read_in(const char *json, size_t steps) {
    enum transfer_line_status status = TRANSFER_MORE;
    size_t length = strlen(json);
    free(text);
    text = malloc(length + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    memcpy(text, json, length);
    transfer_line_begin(&line, (struct bytes){text, length});
    while (status == TRANSFER_MORE) {
        size_t budget = steps;
        status = transfer_line_go_on(&line, NOW, &budget);
        CU_ASSERT(status != TRANSFER_MORE || budget == 0);
    }
    return status;
}

static void begin(void) {
    transfer_line_init(&line);
}

static void end(void) {
    transfer_line_fini(&line);
    free(text);
    text = NULL;
}

static bool is(struct bytes bytes, const char *expected) {
    return bytes_equal(bytes, bytes_of(expected));
}

static void test_entry(void) {
    static const char LINE[] =
        "{" KEY "," NAME
        ",\"model\":{\"name\":\"a \\\"model\\\" \\u00e4\",\"kind\":[{}],"
        "\"version\":\"v\\/1\"},\"age\":7,\"ttl\":-3," TIMES
        ",\"stale_while_revalidate_until_us\":3000000,"
        "\"stale_if_error_until_us\":4000000,\"inference_us\":250000,"
        "\"body\": {\"a\":[1, 2,{\"key\":\"x\"}],\"body\":\"\\n\"} ,\"later\":{\"key\":[1]}}";
    begin();
    for (size_t steps = 1; steps < 60; steps++) {
        CU_ASSERT_EQUAL(read_in(LINE, steps), TRANSFER_ENTRY);
        CU_ASSERT_EQUAL(line.entry.key.bytes[1], 0x11);
        CU_ASSERT_EQUAL(line.entry.key.bytes[31], 0xff);
        CU_ASSERT(is(line.entry.cache_namespace, "tenant-7"));
        CU_ASSERT(is(line.entry.model_name, "a \"model\" \xc3\xa4"));
        CU_ASSERT(is(line.entry.model_version, "v/1"));
        CU_ASSERT_EQUAL(line.entry.created_us, 1000000);
        CU_ASSERT_EQUAL(line.entry.fresh_until_us, 2000000);
        CU_ASSERT_EQUAL(line.entry.stale_while_revalidate_until_us, 3000000);
        CU_ASSERT_EQUAL(line.entry.stale_if_error_until_us, 4000000);
        CU_ASSERT_EQUAL(line.entry.inference_us, 250000);
        CU_ASSERT(is(line.entry.body, "{\"a\":[1, 2,{\"key\":\"x\"}],\"body\":\"\\n\"}"));
    }
    end();
}

static void test_bodies(void) {
    static const char *const BODIES[] = {"1",        "\"text\"", "null",       "[]",   "{}",
                                         "-1.5e300", "true",     "[[[[{}]]]]", "\"\"", "[ 1 ,\t\"}\" ]"};
    begin();
    for (size_t i = 0; i < sizeof(BODIES) / sizeof(BODIES[0]); i++) {
        char json[512];
        snprintf(json, sizeof(json), "{\"body\":%s," KEY "," NAME "," TIMES "}", BODIES[i]);
        CU_ASSERT_EQUAL(read_in(json, 1000), TRANSFER_ENTRY);
        CU_ASSERT(is(line.entry.body, BODIES[i]));
        CU_ASSERT_EQUAL(line.entry.stale_if_error_until_us, 2000000); /* where nothing is said */
        CU_ASSERT_EQUAL(line.entry.model_name.length, 0);
    }
    end();
}

static void test_last_line(void) {
    begin();
    CU_ASSERT_EQUAL(read_in("{\"end\":true,\"entries\":12}", 1), TRANSFER_END);
    CU_ASSERT_EQUAL(line.entries, 12);
    CU_ASSERT_EQUAL(read_in("{\"end\":false,\"entries\":12}", 1), TRANSFER_BAD);
    end();
}

static void test_bad_lines(void) {
    static const char *const LINES[] = {
        "",
        " ",
        "7",
        "\"a\"",
        "[]",
        "[{}]",
        "{",
        "{}",
        "{}{}",
        "{\"key\"}",
        "{\"key\":1}",
        "nonsense",
        "{" KEY,
        "{" KEY "," KEY "," NAME "," TIMES ",\"body\":1}",
        "{" KEY "," NAME "," TIMES "}",
        "{" KEY "," NAME ",\"created_us\":1,\"body\":1}",
        "{" KEY "," TIMES ",\"body\":1}",
        "{" NAME "," TIMES ",\"body\":1}",
        "{\"key\":\"0011\"," NAME "," TIMES ",\"body\":1}",
        "{\"key\":{}," NAME "," TIMES ",\"body\":1}",
        "{" KEY ",\"namespace\":\"a b\"," TIMES ",\"body\":1}",
        "{" KEY ",\"namespace\":\"\"," TIMES ",\"body\":1}",
        "{" KEY ",\"namespace\":7," TIMES ",\"body\":1}",
        "{" KEY ",\"namespace\":[\"a\"]," TIMES ",\"body\":1}",
        "{" KEY "," NAME ",\"created_us\":1.5,\"fresh_until_us\":2,\"body\":1}",
        "{" KEY "," NAME ",\"created_us\":\"1\",\"fresh_until_us\":2,\"body\":1}",
        "{" KEY "," NAME ",\"created_us\":-1,\"fresh_until_us\":2,\"body\":1}",
        "{" KEY "," NAME ",\"created_us\":61500001,\"fresh_until_us\":70000000,\"body\":1}",
        "{" KEY "," NAME ",\"created_us\":1000000,\"fresh_until_us\":999999,\"body\":1}",
        "{" KEY "," NAME "," TIMES ",\"stale_if_error_until_us\":1999999,\"body\":1}",
        "{" KEY "," NAME "," TIMES ",\"stale_while_revalidate_until_us\":1,\"body\":1}",
        "{" KEY "," NAME "," TIMES ",\"inference_us\":1000001,\"body\":1}",
        "{" KEY "," NAME "," TIMES ",\"model\":\"vader\",\"body\":1}",
        "{" KEY "," NAME "," TIMES ",\"body\":01}",
        "{" KEY "," NAME "," TIMES ",\"body\":\"\\ud800\"}",
        "{" KEY "," NAME "," TIMES ",\"body\":\"\xff\"}",
        "{" KEY "," NAME "," TIMES ",\"body\":}",
        "{" KEY "," NAME "," TIMES ",\"body\":1}x",
    };
    begin();
    for (size_t i = 0; i < sizeof(LINES) / sizeof(LINES[0]); i++) {
        for (size_t steps = 1; steps < 100; steps += 33) {
            CU_ASSERT_EQUAL(read_in(LINES[i], steps), TRANSFER_BAD);
            CU_ASSERT_PTR_NOT_NULL_FATAL(line.detail);
            CU_ASSERT(line.detail[0] != '\0' && !strpbrk(line.detail, "\"\\\n")); /* it stands in JSON */
        }
    }
    /* The reader is whole after whatever it has read. */
    CU_ASSERT_EQUAL(read_in("{" KEY "," NAME "," TIMES ",\"body\":1}", 10), TRANSFER_ENTRY);
    end();
}

static void test_long_names(void) {
    char name[4001], json[9000];
    begin();
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    snprintf(json, sizeof(json), "{" KEY "," NAME "," TIMES ",\"model\":{\"name\":\"%s\"},\"body\":1}", name);
    CU_ASSERT_EQUAL(read_in(json, 1000), TRANSFER_BAD);
    name[255] = '\0';
    snprintf(json, sizeof(json),
             "{" KEY "," NAME "," TIMES ",\"model\":{\"name\":\"%s\",\"version\":\"%s\"},\"body\":1}", name,
             name);
    CU_ASSERT_EQUAL(read_in(json, 1000), TRANSFER_ENTRY);
    CU_ASSERT(is(line.entry.model_name, name));
    CU_ASSERT(is(line.entry.model_version, name));
    end();
}

static const struct unit_case CASES[] = {
    {"an entry, in slices of every length", test_entry},
    {"every kind of body", test_bodies},
    {"the last line", test_last_line},
    {"lines that are wrong", test_bad_lines},
    {"names of the model that are long", test_long_names},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "transfer_line", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
