/* Export and import over a transport that cuts bodies anywhere and takes its time. */
#include "service.h"

#include <time.h>

#define LINES_FIELD "CONTENT_TYPE=application/x-ndjson"
#define LINE(first, body)                                                             \
    "{\"key\":\"" first                                                               \
    "112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\",\"namespace\":" \
    "\"default\",\"created_us\":%llu,\"fresh_until_us\":%llu,\"body\":" body "}\n"

static char lines[4096];

/* Three entries, one wrong line and the last one. */
static const char *write_lines(void) {
    unsigned long long now = (unsigned long long)service.clock.wall_us;
    int length = snprintf(lines, sizeof(lines),
                          LINE("00", "{\"n\":1}") LINE("11", "\"two\"") "wrong\n" LINE("22", "[3]"), now,
                          now + 50000000, now, now + 50000000, now, now + 50000000);
    snprintf(lines + length, sizeof(lines) - (size_t)length, "{\"end\":true,\"entries\":4}");
    return lines;
}

/* Beats are of real time. */
static void run(struct sent *sent) {
    time_t deadline = time(NULL) + 20;
    while (sent->answers == 0 && time(NULL) < deadline)
        service_turn();
    unit_allocations_heal();
    CU_ASSERT_EQUAL_FATAL(sent->answers, 1);
}

static int64_t said(const json_t *json, const char *name) {
    return json_integer_value(json_object_get(json, name));
}

static void test_cut_anywhere(void) {
    service_setup(NULL);
    size_t length = strlen(write_lines());
    for (size_t first = 0; first <= length; first += 61) {
        struct sent *sent =
            service_send_in_parts("POST", "/cache/import", LINES_FIELD, write_lines(), first, 1 + first % 37);
        run(sent);
        json_t *json = service_json(sent);
        CU_ASSERT_EQUAL(sent->status, 200);
        CU_ASSERT_EQUAL(said(json, "lines"), 4);
        CU_ASSERT_EQUAL(said(json, "stored") + said(json, "kept"), 3);
        CU_ASSERT_EQUAL(said(json, "invalid"), 1);
        CU_ASSERT(json_is_false(json_object_get(json, "complete")));
        CU_ASSERT_EQUAL(said(json_object_get(json, "first_invalid"), "line"), 3);
        json_decref(json);
    }
    CU_ASSERT_EQUAL(service_counted(STAT_imported_entries), 3);
    service_teardown();
}

static void test_export(void) {
    service_setup(NULL);
    run(service_send("POST", "/cache/import", LINES_FIELD, write_lines()));
    struct sent *sent = service_send("GET", "/cache/export", NULL, NULL);
    run(sent);
    CU_ASSERT_EQUAL(sent->status, 200);
    CU_ASSERT_STRING_EQUAL(service_header(sent, "Content-Type"), "application/x-ndjson");
    CU_ASSERT_PTR_NOT_NULL(strstr(sent->body, ",\"body\":{\"n\":1}}\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(sent->body, ",\"body\":[3]}\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(sent->body, "\n{\"end\":true,\"entries\":3}\n"));
    CU_ASSERT_EQUAL(service_counted(STAT_exported_entries), 3);
    service_teardown();
}

/* A line break of the model's would end the line; within a string there is none. */
static void test_line_breaks(void) {
    service_setup(NULL);
    struct sent *sent = service_ask("POST", "/predict", NULL, "{\"text\":\"a\"}");
    service_model_answers("{\r\n  \"a\":\n[1,\n\"\\n\"]}");
    CU_ASSERT_EQUAL(sent->answers, 1);
    sent = service_send("GET", "/cache/export", NULL, NULL);
    run(sent);
    CU_ASSERT_PTR_NOT_NULL(strstr(sent->body, ",\"body\":{    \"a\": [1, \"\\n\"]}}\n{\"end\""));
    service_teardown();
}

static void test_clients_leave(void) {
    for (unsigned turns = 0; turns < 6; turns++) {
        service_setup(NULL);
        run(service_send("POST", "/cache/import", LINES_FIELD, write_lines()));
        struct sent *reads = service_send("GET", "/cache/export", NULL, NULL);
        struct sent *sends =
            service_send_in_parts("POST", "/cache/import", LINES_FIELD, write_lines(), 10, 100);
        for (unsigned turn = 0; turn < turns; turn++)
            service_turn();
        if (reads->answers == 0)
            service_leave(reads);
        if (sends->answers == 0)
            service_leave(sends);
        for (unsigned turn = 0; turn < 10; turn++)
            service_turn();
        service_teardown();
    }
}

/* Each allocation fails in turn, alone or with all behind it: there is an end, and the next one is whole. */
static void check_allocation(const char *method, const char *path, unsigned n, bool once) {
    service_setup(NULL);
    run(service_send("POST", "/cache/import", LINES_FIELD, write_lines()));
    service.fail_at = n;
    service.fail_once = once;
    struct sent *sent =
        service_send(method, path, LINES_FIELD, strcmp(method, "POST") == 0 ? write_lines() : NULL);
    run(sent);
    CU_ASSERT(sent->status == 200 || sent->status == 500 || sent->status == 503);
    /* An export that says that it is whole is whole. */
    CU_ASSERT(!strstr(sent->body, "{\"end\"") || strstr(sent->body, "{\"end\":true,\"entries\":3}"));
    service.fail_at = 0;
    sent = service_send("GET", "/cache/export", NULL, NULL);
    run(sent);
    CU_ASSERT_PTR_NOT_NULL(strstr(sent->body, "\n{\"end\":true,\"entries\":3}\n"));
    service_teardown();
}

static void test_no_memory(void) {
    for (unsigned n = 1; n < 40; n++) {
        check_allocation("POST", "/cache/import", n, n % 2);
        check_allocation("GET", "/cache/export", n, n % 2);
    }
}

static void small_entries(struct settings *settings) {
    settings->cache_max_entry_kb = 1;
}

/* Left out without being kept, wherever it is cut; the next line is read. */
static void test_long_lines(void) {
    static char body[40000];
    service_setup(small_entries);
    for (size_t part = 100; part < 20000; part += 4900) {
        memset(body, 'x', 30000);
        body[30000] = '\n';
        strcpy(body + 30001, write_lines());
        struct sent *sent = service_send_in_parts("POST", "/cache/import", LINES_FIELD, body, part, part);
        run(sent);
        json_t *json = service_json(sent);
        CU_ASSERT_EQUAL(said(json, "lines"), 5);
        CU_ASSERT_EQUAL(said(json, "invalid"), 2);
        CU_ASSERT_EQUAL(said(json, "stored") + said(json, "kept"), 3);
        CU_ASSERT_EQUAL(said(json_object_get(json, "first_invalid"), "line"), 1);
        json_decref(json);
    }
    service_teardown();
}

static const struct unit_case CASES[] = {
    {"an import that is cut anywhere", test_cut_anywhere},
    {"an export", test_export},
    {"a result of several lines is one", test_line_breaks},
    {"clients leave", test_clients_leave},
    {"no memory", test_no_memory},
    {"lines that are too long", test_long_lines},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "transfer", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
