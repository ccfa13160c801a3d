#include "inferonce/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "unit.h"

/* 2026-01-02T03:04:05.678Z */
static struct clock now = {.fake = true, .monotonic_us = 1000000000, .wall_us = UINT64_C(1767323045678901)};

static int read_end;
static int write_end;

static void open_log(enum log_level level, enum log_format format) {
    int ends[2];
    CU_ASSERT_EQUAL_FATAL(pipe2(ends, O_NONBLOCK), 0);
    read_end = ends[0];
    write_end = ends[1];
    now.monotonic_us += 100000000; /* no burst of an earlier case counts */
    log_setup(level, format, write_end);
    log_set_clock(&now);
    log_set_role(NULL, -1);
}

static void close_log(void) {
    close(read_end);
    close(write_end);
    log_set_clock(NULL);
    log_setup(LOG_INFO, LOG_LOGFMT, STDERR_FILENO);
}

/* The lines written since the last call. */
static const char *written(void) {
    static char text[65536];
    ssize_t length = read(read_end, text, sizeof(text) - 1);
    text[length > 0 ? length : 0] = '\0';
    return text;
}

static size_t lines_in(const char *text) {
    size_t n = 0;
    for (; (text = strchr(text, '\n')); text++)
        n++;
    return n;
}

static void test_logfmt(void) {
    char expected[256];
    open_log(LOG_INFO, LOG_LOGFMT);
    log_set_role("worker", 3);
    LOG(LOG_WARN, "logfmt_line", LOG_TEXT("server", "127.0.0.1:11211"), LOG_NUMBER("errors", -4));
    snprintf(expected, sizeof(expected),
             "time=2026-01-02T03:04:05.678Z level=warn event=logfmt_line role=worker slot=3 pid=%d "
             "server=127.0.0.1:11211 errors=-4\n",
             (int)getpid());
    CU_ASSERT_STRING_EQUAL(written(), expected);
    log_set_role("master", -1);
    LOG(LOG_INFO, "logfmt_bare");
    snprintf(expected, sizeof(expected),
             "time=2026-01-02T03:04:05.678Z level=info event=logfmt_bare role=master pid=%d\n",
             (int)getpid());
    CU_ASSERT_STRING_EQUAL(written(), expected);
    close_log();
}

static void test_levels(void) {
    static const char *const NAMES[] = {"level=error", "level=warn", "level=info", "level=debug"};
    for (int limit = LOG_ERROR; limit <= LOG_DEBUG; limit++) {
        open_log((enum log_level)limit, LOG_LOGFMT);
        for (int level = LOG_ERROR; level <= LOG_DEBUG; level++) {
            LOG((enum log_level)level, "level_of_line");
            const char *line = written();
            CU_ASSERT_EQUAL(strlen(line) > 0, level <= limit);
            CU_ASSERT(level > limit || strstr(line, NAMES[level]) != NULL);
        }
        close_log();
    }
}

static const char *field_as_logfmt(const char *value) {
    now.monotonic_us += 1000000;
    LOG(LOG_INFO, "quoting", LOG_TEXT("v", value));
    return strstr(written(), " v=");
}

static void test_quoting(void) {
    open_log(LOG_INFO, LOG_LOGFMT);
    CU_ASSERT_STRING_EQUAL(field_as_logfmt("plain-1.2/x:y"), " v=plain-1.2/x:y\n");
    CU_ASSERT_STRING_EQUAL(field_as_logfmt(""), " v=\"\"\n");
    CU_ASSERT_STRING_EQUAL(field_as_logfmt(NULL), " v=\"\"\n");
    CU_ASSERT_STRING_EQUAL(field_as_logfmt("two words"), " v=\"two words\"\n");
    CU_ASSERT_STRING_EQUAL(field_as_logfmt("a=b"), " v=\"a=b\"\n");
    CU_ASSERT_STRING_EQUAL(field_as_logfmt("a\"b\\c"), " v=\"a\\\"b\\\\c\"\n");
    CU_ASSERT_STRING_EQUAL(field_as_logfmt("a\r\n\tlevel=error"), " v=\"a\\r\\n\\tlevel=error\"\n");
    CU_ASSERT_STRING_EQUAL(field_as_logfmt("\x1b[31m\x7f"), " v=\"\\u001b[31m\\u007f\"\n");
    CU_ASSERT_STRING_EQUAL(field_as_logfmt("\xc3\xa4"), " v=\"\xc3\xa4\"\n");
    CU_ASSERT_STRING_EQUAL(field_as_logfmt("\xff"
                                           "a\xc3"),
                           " v=\"\xef\xbf\xbd"
                           "a\xef\xbf\xbd\"\n");
    close_log();
}

static void test_json(void) {
    open_log(LOG_INFO, LOG_JSON);
    log_set_role("worker", 0);
    LOG(LOG_ERROR, "json_line", LOG_TEXT("v", "a\"\\\n\x01\x7f\xff\xc3\xa4"), LOG_NUMBER("n", INT64_MIN));
    const char *line = written();
    CU_ASSERT_EQUAL(lines_in(line), 1);
    json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(object);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(object, "time")), "2026-01-02T03:04:05.678Z");
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(object, "level")), "error");
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(object, "event")), "json_line");
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(object, "role")), "worker");
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(object, "slot")), 0);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(object, "pid")), getpid());
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(object, "v")),
                           "a\"\\\n\x01\x7f\xef\xbf\xbd\xc3\xa4");
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(object, "n")), INT64_MIN);
    json_decref(object);
    close_log();
}

/* Every length from one that fits to one that does not, with characters that take one, two, three and six
 * bytes. */
static void test_long_lines_are_cut(void) {
    static const char *const PIECES[] = {"x", "\"", "\xe2\x82\xac", "\x01"};
    static char value[4096];
    for (int format = LOG_LOGFMT; format <= LOG_JSON; format++) {
        open_log(LOG_INFO, (enum log_format)format);
        for (size_t length = 1500; length < 2100; length++) {
            const char *piece = PIECES[length % 4];
            size_t filled = 0;
            while (filled + strlen(piece) <= length)
                filled += (size_t)snprintf(value + filled, sizeof(value) - filled, "%s", piece);
            now.monotonic_us += 1000000;
            LOG(LOG_INFO, "long_line", LOG_TEXT("v", value), LOG_TEXT("after", "a b"),
                LOG_NUMBER("n", length));
            const char *line = written();
            CU_ASSERT(strlen(line) <= 2048);
            CU_ASSERT_EQUAL(lines_in(line), 1);
            CU_ASSERT_EQUAL(line[strlen(line) - 1], '\n');
            bool cut = strstr(line, format == LOG_JSON ? ",\"cut\":true}\n" : " cut=true\n") != NULL;
            bool last = strstr(line, format == LOG_JSON ? "\"n\":" : " n=") != NULL;
            CU_ASSERT(cut || last);
            CU_ASSERT(!cut || length > 1800 || strcmp(piece, "x") != 0);
            CU_ASSERT(cut || length < 2000);
            if (format != LOG_JSON)
                continue;
            json_t *object = json_loads(line, 0, NULL);
            CU_ASSERT_PTR_NOT_NULL_FATAL(object);
            const char *read_back = json_string_value(json_object_get(object, "v"));
            CU_ASSERT_PTR_NOT_NULL_FATAL(read_back);
            CU_ASSERT(cut ? strncmp(read_back, value, strlen(read_back)) == 0
                          : strcmp(read_back, value) == 0);
            json_decref(object);
        }
        close_log();
    }
}

static size_t lines_of(const char *event, int times) {
    for (int i = 0; i < times; i++)
        log_write(LOG_INFO, event, NULL, 0);
    return lines_in(written());
}

static void test_burst(void) {
    open_log(LOG_INFO, LOG_LOGFMT);
    CU_ASSERT_EQUAL(lines_of("burst_a", LOG_BURST), LOG_BURST);
    CU_ASSERT_EQUAL(lines_of("burst_a", 7), 0);
    CU_ASSERT_EQUAL(lines_of("burst_b", 1), 1);
    now.monotonic_us += 999999;
    CU_ASSERT_EQUAL(lines_of("burst_a", 1), 0);
    now.monotonic_us += 1;
    LOG(LOG_INFO, "burst_a");
    const char *line = written();
    CU_ASSERT_EQUAL(lines_in(line), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(line, " suppressed=8\n"));
    LOG(LOG_INFO, "burst_a");
    line = written();
    CU_ASSERT_EQUAL(lines_in(line), 1);
    CU_ASSERT_PTR_NULL(strstr(line, "suppressed"));
    close_log();
}

/* Ten at the end of one second and ten at the start of the next would be twenty within one. */
static void test_burst_holds_for_any_second(void) {
    open_log(LOG_INFO, LOG_LOGFMT);
    CU_ASSERT_EQUAL(lines_of("burst_sliding", 1), 1);
    now.monotonic_us += 900000;
    CU_ASSERT_EQUAL(lines_of("burst_sliding", 20), LOG_BURST - 1);
    now.monotonic_us += 100000;
    CU_ASSERT_EQUAL(lines_of("burst_sliding", 20), 1);
    now.monotonic_us += 900000;
    CU_ASSERT_EQUAL(lines_of("burst_sliding", 20), LOG_BURST - 1);
    close_log();
}

static void test_same_text_is_the_same_event(void) {
    char copy[] = "burst_text";
    open_log(LOG_INFO, LOG_LOGFMT);
    CU_ASSERT_EQUAL(lines_of("burst_text", LOG_BURST), LOG_BURST);
    CU_ASSERT_EQUAL(lines_of(copy, 1), 0);
    close_log();
}

/* More events than any table has places: each must still be written, and a storm still be damped. */
static void test_many_events(void) {
    static char events[1000][16];
    open_log(LOG_INFO, LOG_LOGFMT);
    size_t lines = 0;
    for (size_t i = 0; i < 1000; i++) {
        snprintf(events[i], sizeof(events[i]), "event_%zu", i);
        now.monotonic_us += 1;
        lines += lines_of(events[i], 1);
    }
    CU_ASSERT_EQUAL(lines, 1000);
    CU_ASSERT_EQUAL(lines_of(events[999], 100), LOG_BURST - 1);
    close_log();
}

/* The start of 64 workers is 64 lines, whatever else the event was used for. */
static void test_life_cycle_is_not_limited(void) {
    open_log(LOG_INFO, LOG_LOGFMT);
    size_t lines = 0;
    for (size_t i = 0; i < 64; i++) {
        LOG_ALWAYS(LOG_INFO, "burst_life", LOG_NUMBER("worker", i));
        const char *line = written();
        lines += lines_in(line);
        CU_ASSERT_PTR_NULL(strstr(line, "suppressed"));
    }
    CU_ASSERT_EQUAL(lines, 64);
    CU_ASSERT_EQUAL(lines_of("burst_life", 1), 1);
    LOG_ALWAYS(LOG_DEBUG, "burst_life");
    CU_ASSERT_EQUAL(lines_in(written()), 0);
    close_log();
}

static void test_sink_in_trouble(void) {
    open_log(LOG_INFO, LOG_LOGFMT);
    log_setup(LOG_INFO, LOG_LOGFMT, -1);
    errno = ENOTTY;
    LOG(LOG_ERROR, "closed_sink");
    CU_ASSERT_EQUAL(errno, ENOTTY);
    /* A pipe that nobody empties: lines are lost, the writer is not held up. */
    log_setup(LOG_INFO, LOG_LOGFMT, write_end);
    for (int i = 0; i < 3000; i++) {
        now.monotonic_us += 1000000;
        LOG(LOG_INFO, "full_sink");
    }
    const char *text = written();
    CU_ASSERT(strlen(text) > 0);
    close_log();
}

static const struct unit_case CASES[] = {
    {"a line in logfmt", test_logfmt},
    {"lines below the level are not written", test_levels},
    {"values are quoted and escaped where needed", test_quoting},
    {"a line in JSON", test_json},
    {"long lines are cut and stay well-formed", test_long_lines_are_cut},
    {"an event is written LOG_BURST times a second and then counted", test_burst},
    {"the limit holds for any second", test_burst_holds_for_any_second},
    {"events are told apart by their text", test_same_text_is_the_same_event},
    {"more events than places", test_many_events},
    {"the life of the processes is not limited", test_life_cycle_is_not_limited},
    {"a sink in trouble costs lines only", test_sink_in_trouble},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "log", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
