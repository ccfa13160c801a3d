/* memcached's text protocol, both ways. */
#include "store/memcached/protocol.h"

/* A lifetime above this is taken for a time since 1970, so for one that is over. */
#define TTL_MAX_S UINT64_C(2592000)

/* ---- commands ---- */

void memcached_append_get(struct buffer *out, enum memcached_verb verb, const char *names, size_t name_length,
                          unsigned n) {
    buffer_append_text(out, verb == MEMCACHED_GETS ? "gets" : "get");
    for (unsigned i = 0; i < n; i++) {
        buffer_append_char(out, ' ');
        buffer_append(out, names + i * name_length, name_length);
    }
    APPEND_LITERAL(out, "\r\n");
}

void memcached_append_delete(struct buffer *out, struct bytes name) {
    APPEND_LITERAL(out, "delete ");
    buffer_append_bytes(out, name);
    APPEND_LITERAL(out, "\r\n");
}

/* memcached counts seconds as its clock ticks, so that the first of them may be over at once: one more makes
 * an item last as long as it should. */
static uint64_t seconds_of(uint64_t ttl_ms) {
    uint64_t seconds = ttl_ms == 0 ? 0 : ttl_ms / 1000 + (ttl_ms % 1000 != 0) + 1;
    return seconds < TTL_MAX_S ? seconds : TTL_MAX_S;
}

void memcached_append_touch(struct buffer *out, struct bytes name, uint64_t ttl_ms) {
    APPEND_LITERAL(out, "touch ");
    buffer_append_bytes(out, name);
    buffer_append_char(out, ' ');
    buffer_append_number(out, seconds_of(ttl_ms));
    APPEND_LITERAL(out, "\r\n");
}

void memcached_append_write(struct buffer *out, enum memcached_verb verb, struct bytes name,
                            struct bytes head, struct bytes body, uint64_t ttl_ms, uint64_t cas) {
    buffer_append_text(out, verb == MEMCACHED_SET ? "set " : verb == MEMCACHED_ADD ? "add " : "cas ");
    buffer_append_bytes(out, name);
    APPEND_LITERAL(out, " 0 ");
    buffer_append_number(out, seconds_of(ttl_ms));
    buffer_append_char(out, ' ');
    buffer_append_number(out, head.length + body.length);
    if (verb == MEMCACHED_CAS) {
        buffer_append_char(out, ' ');
        buffer_append_number(out, cas);
    }
    APPEND_LITERAL(out, "\r\n");
    buffer_append_bytes(out, head);
    buffer_append_bytes(out, body);
    APPEND_LITERAL(out, "\r\n");
}

/* ---- lines ---- */

static bool begins_with(struct bytes line, const char *text) {
    size_t length = strlen(text);
    return line.length >= length && memcmp(line.data, text, length) == 0;
}

static bool is(struct bytes line, const char *text) {
    return bytes_equal(line, bytes_of(text));
}

/* Takes the next word off the front. False: there is none, or two spaces stand before it. */
static bool take_word(struct bytes *line, struct bytes *word) {
    const char *space = line->length > 0 ? memchr(line->data, ' ', line->length) : NULL;
    size_t length = space ? (size_t)(space - line->data) : line->length;
    *word = (struct bytes){line->data, length};
    line->data += space ? length + 1 : length;
    line->length -= space ? length + 1 : length;
    return length > 0;
}

/* Saturated numbers are none: no server has such a length. */
static bool take_number(struct bytes *line, uint64_t *number) {
    struct bytes word;
    return take_word(line, &word) && bytes_to_number(word, number) && *number < UINT64_MAX;
}

static bool read_value(enum memcached_verb verb, struct bytes line, struct memcached_value_line *value) {
    uint64_t flags, length;
    struct bytes word;
    if (!take_word(&line, &word) || !take_word(&line, &value->key) || value->key.length > MEMCACHED_KEY_MAX ||
        !take_number(&line, &flags) || !take_number(&line, &length) || length > SIZE_MAX / 2)
        return false;
    value->length = (size_t)length;
    value->cas = 0;
    if (verb == MEMCACHED_GETS && !take_number(&line, &value->cas))
        return false;
    return line.length == 0;
}

static enum memcached_line read_get(enum memcached_verb verb, struct bytes line,
                                    struct memcached_value_line *value) {
    if (is(line, "END"))
        return LINE_END;
    return begins_with(line, "VALUE ") && read_value(verb, line, value) ? LINE_VALUE : LINE_STRANGE;
}

/* A write that the server cannot do leaves the stream in step: the data block went with it. */
static enum memcached_line read_server_error(struct bytes line) {
    if (begins_with(line, "SERVER_ERROR object too large"))
        return LINE_TOO_LARGE;
    return begins_with(line, "SERVER_ERROR ") ? LINE_FULL : LINE_STRANGE;
}

enum memcached_line memcached_line_read(enum memcached_verb verb, struct bytes line,
                                        struct memcached_value_line *value) {
    switch (verb) {
    case MEMCACHED_GET:
    case MEMCACHED_GETS:
        return read_get(verb, line, value);
    case MEMCACHED_SET:
        return is(line, "STORED") ? LINE_DONE : read_server_error(line);
    case MEMCACHED_ADD:
        return is(line, "STORED")       ? LINE_DONE
               : is(line, "NOT_STORED") ? LINE_CONFLICT
                                        : read_server_error(line);
    case MEMCACHED_CAS:
        if (is(line, "STORED"))
            return LINE_DONE;
        if (is(line, "EXISTS"))
            return LINE_CONFLICT;
        return is(line, "NOT_FOUND") ? LINE_NOTHING : read_server_error(line);
    case MEMCACHED_DELETE:
        if (is(line, "DELETED"))
            return LINE_DONE;
        return is(line, "NOT_FOUND") ? LINE_NOTHING : read_server_error(line);
    case MEMCACHED_TOUCH:
        if (is(line, "TOUCHED"))
            return LINE_DONE;
        return is(line, "NOT_FOUND") ? LINE_NOTHING : read_server_error(line);
    case MEMCACHED_STATS:
        if (is(line, "END"))
            return LINE_END;
        return begins_with(line, "STAT ") ? LINE_STAT : LINE_STRANGE;
    case MEMCACHED_BARRIER:
        return begins_with(line, "VERSION ") && line.length > strlen("VERSION ") ? LINE_DONE : LINE_STRANGE;
    }
    return LINE_STRANGE;
}
