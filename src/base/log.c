/* Writes log lines, each event so often a second at most. */
#include "inferonce/base/log.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log_sink.h"
#include "inferonce/base/buffer.h"
#include "inferonce/base/utf8.h"

/* Below PIPE_BUF, so that lines of several workers in one pipe do not mix. */
#define LINE_MAX_BYTES 2048
/* Kept free for what closes every line: a quote, `"cut":true`, a brace, the newline. */
#define LINE_TAIL 24
/* The most that a field's separator, its `=` or quotes and colon, and a number take beside the name. */
#define FIELD_OVERHEAD 32

#define LIMITED_EVENTS 128
#define BURST_US       1000000

/* When one event was last written; a ring, so that LOG_BURST holds for every second and not only for those of
 * a grid. */
struct limit {
    const char *event;
    uint64_t written_us[LOG_BURST];
    unsigned next;
    unsigned written;
    uint64_t suppressed;
};

static struct {
    enum log_level level;
    enum log_format format;
    const char *role;
    int slot;
    const struct clock *clock;
    struct stats *stats;
    uint64_t lost; /* lines since the last one that was written */
    struct limit limits[LIMITED_EVENTS];
} sink = {.level = LOG_INFO, .format = LOG_LOGFMT, .slot = -1};

static const struct clock SYSTEM_CLOCK;

struct line {
    char data[LINE_MAX_BYTES];
    size_t length;
    bool cut;
};

void log_setup(enum log_level level, enum log_format format, int descriptor) {
    sink.level = level;
    sink.format = format;
    log_sink_open(descriptor);
}

void log_set_stats(struct stats *stats) {
    sink.stats = stats;
}

void log_set_role(const char *role, int slot) {
    sink.role = role;
    sink.slot = slot;
}

void log_set_clock(const struct clock *clock) {
    sink.clock = clock;
}

static const struct clock *sink_clock(void) {
    return sink.clock ? sink.clock : &SYSTEM_CLOCK;
}

static uint64_t last_written_us(const struct limit *limit) {
    return limit->written == 0 ? 0 : limit->written_us[(limit->next + LOG_BURST - 1) % LOG_BURST];
}

/* The event's limit, or a new one in the place of the event that has been silent longest. */
static struct limit *find_limit(const char *event) {
    struct limit *oldest = &sink.limits[0];
    for (size_t i = 0; i < LIMITED_EVENTS; i++) {
        struct limit *limit = &sink.limits[i];
        if (limit->event && (limit->event == event || strcmp(limit->event, event) == 0))
            return limit;
        if (!limit->event) {
            oldest = limit;
            break;
        }
        if (last_written_us(limit) < last_written_us(oldest))
            oldest = limit;
    }
    *oldest = (struct limit){.event = event};
    return oldest;
}

/* Whether the event may be written now; then `suppressed` says how often it was not since it last was. */
static bool admit(const char *event, uint64_t now_us, uint64_t *suppressed) {
    struct limit *limit = find_limit(event);
    if (limit->written == LOG_BURST && now_us - limit->written_us[limit->next] < BURST_US) {
        limit->suppressed++;
        return false;
    }
    limit->written_us[limit->next] = now_us;
    limit->next = (limit->next + 1) % LOG_BURST;
    if (limit->written < LOG_BURST)
        limit->written++;
    *suppressed = limit->suppressed;
    limit->suppressed = 0;
    return true;
}

static size_t line_room(const struct line *line) {
    size_t end = sizeof(line->data) - LINE_TAIL;
    return line->length < end ? end - line->length : 0;
}

static void put(struct line *line, const char *text) {
    size_t length = strlen(text);
    memcpy(line->data + line->length, text, length);
    line->length += length;
}

/* One character of a value, escaped as JSON escapes it; a byte that is no UTF-8 becomes U+FFFD. Returns the
 * bytes it took, 0 at the end or when there is no room. */
static size_t put_character(struct line *line, struct bytes rest) {
    char escaped[8];
    size_t step = utf8_step(rest);
    struct bytes out = {rest.data, step};
    unsigned char c = rest.length > 0 ? (unsigned char)rest.data[0] : 0;
    if (rest.length == 0)
        return 0;
    if (step == 0) {
        out = bytes_of("\xef\xbf\xbd");
        step = 1;
    } else if (c == '"' || c == '\\') {
        out = (struct bytes){escaped, (size_t)snprintf(escaped, sizeof(escaped), "\\%c", c)};
    } else if (c == '\n' || c == '\r' || c == '\t') {
        out = bytes_of(c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
    } else if (c < 0x20 || c == 0x7f) {
        out = (struct bytes){escaped, (size_t)snprintf(escaped, sizeof(escaped), "\\u%04x", c)};
    }
    if (out.length > line_room(line)) {
        line->cut = true;
        return 0;
    }
    memcpy(line->data + line->length, out.data, out.length);
    line->length += out.length;
    return step;
}

static void put_quoted(struct line *line, const char *text) {
    struct bytes rest = bytes_of(text);
    put(line, "\"");
    for (size_t step; (step = put_character(line, rest)) > 0;) {
        rest.data += step;
        rest.length -= step;
    }
    put(line, "\"");
}

/* A logfmt value needs no quotes when it is printable ASCII without white space, quote, backslash and equals
 * sign. */
static bool is_plain(const char *text) {
    for (const char *c = text; *c; c++)
        if (*c <= ' ' || *c > '~' || *c == '"' || *c == '\\' || *c == '=')
            return false;
    return *text != '\0';
}

/* The separator, the name and what stands between it and the value; false when the line has no room for it.
 */
static bool put_name(struct line *line, const char *name) {
    if (strlen(name) + FIELD_OVERHEAD > line_room(line)) {
        line->cut = true;
        return false;
    }
    if (sink.format == LOG_JSON) {
        put(line, line->length == 0 ? "{\"" : ",\"");
        put(line, name);
        put(line, "\":");
    } else {
        put(line, line->length == 0 ? "" : " ");
        put(line, name);
        put(line, "=");
    }
    return true;
}

static void put_text(struct line *line, const char *name, const char *text) {
    if (!put_name(line, name))
        return;
    if (sink.format == LOG_LOGFMT && is_plain(text) && strlen(text) <= line_room(line))
        put(line, text);
    else
        put_quoted(line, text);
}

static void put_number(struct line *line, const char *name, int64_t number) {
    char digits[24];
    snprintf(digits, sizeof(digits), "%lld", (long long)number);
    if (put_name(line, name))
        put(line, digits);
}

/* RFC 3339 in UTC with milliseconds. */
static void put_time(struct line *line, uint64_t wall_us) {
    time_t seconds = (time_t)(wall_us / 1000000);
    struct tm parts = {0};
    gmtime_r(&seconds, &parts);
    char date[32];
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &parts);
    char text[48];
    snprintf(text, sizeof(text), "%s.%03uZ", date, (unsigned)(wall_us / 1000 % 1000));
    put_text(line, "time", text);
}

static void finish(struct line *line) {
    bool json = sink.format == LOG_JSON;
    if (line->cut)
        put(line, json ? ",\"cut\":true" : " cut=true");
    put(line, json ? "}\n" : "\n");
}

/* A line that is not taken costs the line, not the request. */
static void emit(const struct line *line) {
    if (log_sink_write(line->data, line->length)) {
        sink.lost = 0;
        return;
    }
    sink.lost++;
    if (sink.stats)
        stats_count(sink.stats, STAT_log_lines_lost);
}

static void begin(struct line *line, enum log_level level, const char *event) {
    static const char *const LEVELS[] = {"error", "warn", "info", "debug"};
    put_text(line, "level", LEVELS[level]);
    put_text(line, "event", event);
    if (sink.role)
        put_text(line, "role", sink.role);
    if (sink.slot >= 0)
        put_number(line, "slot", sink.slot);
    put_number(line, "pid", getpid());
}

static void write_line(enum log_level level, const char *event, uint64_t suppressed,
                       const struct log_field *fields, size_t n) {
    struct line line;
    line.length = 0;
    line.cut = false;
    put_time(&line, clock_wall_us(sink_clock()));
    begin(&line, level, event);
    if (suppressed > 0)
        put_number(&line, "suppressed", (int64_t)suppressed);
    if (sink.lost > 0)
        put_number(&line, "lost", (int64_t)sink.lost);
    for (size_t i = 0; i < n; i++) {
        if (!fields[i].name)
            continue;
        if (fields[i].text)
            put_text(&line, fields[i].name, fields[i].text);
        else
            put_number(&line, fields[i].name, fields[i].number);
    }
    finish(&line);
    emit(&line);
}

void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t n) {
    if (level > sink.level)
        return;
    int saved_errno = errno;
    uint64_t suppressed = 0;
    if (admit(event, clock_monotonic_us(sink_clock()), &suppressed))
        write_line(level, event, suppressed, fields, n);
    errno = saved_errno;
}

void log_write_always(enum log_level level, const char *event, const struct log_field *fields, size_t n) {
    if (level > sink.level)
        return;
    int saved_errno = errno;
    write_line(level, event, 0, fields, n);
    errno = saved_errno;
}

void log_crash(int number) {
    struct line line;
    line.length = 0;
    line.cut = false;
    begin(&line, LOG_ERROR, "crashed");
    put_number(&line, "signal", number);
    finish(&line);
    emit(&line);
}
