#include "inferonce/api/canonical.h"

#include <stdlib.h>

#include "inferonce/base/json_string.h"
#include "inferonce/base/utf8.h"

/* Memory for sorting that is kept between texts. What a text needs is bounded by its own length. */
#define KEPT_STARTS     1024
#define KEPT_SORTED     (64 * 1024)
#define STARTS_AT_FIRST 32

/* ---- strings ---- */

static char *write_point(char *to, uint32_t point) {
    return point < 0x80 ? json_escape(to, (unsigned char)point) : utf8_write(to, point);
}

static char *write_plain(char *to, const char *start, const char *end) {
    memcpy(to, start, (size_t)(end - start));
    return to + (end - start);
}

/* With its quotes. */
static char *write_escaped(char *to, struct bytes text) {
    const char *at = text.data, *end = text.data + text.length;
    while (at < end) {
        if (*at == '\\') {
            to = write_point(to, json_unescape(&at));
            continue;
        }
        const char *escape = memchr(at, '\\', (size_t)(end - at));
        to = write_plain(to, at, escape ? escape : end);
        at = escape ? escape : end;
    }
    return to;
}

/* ---- objects ---- */

/* A member of an open object will be written to `to`. */
static bool note_start(struct canonical *canonical, char *to) {
    if (canonical->n_starts == canonical->capacity_starts) {
        size_t capacity = canonical->capacity_starts ? 2 * canonical->capacity_starts : STARTS_AT_FIRST;
        char **starts = reallocarray(canonical->starts, capacity, sizeof(*starts));
        if (!starts)
            return false;
        canonical->starts = starts;
        canonical->capacity_starts = capacity;
    }
    canonical->starts[canonical->n_starts++] = to;
    return true;
}

/* Writes the `n` members that begin at `starts` and end at `end` again, in the order of their names. The
 * length stays what it was. */
static bool rewrite_members(struct canonical *canonical, char *const *starts, size_t n, char *end) {
    const struct json_member *members = canonical->reader.members;
    size_t length = (size_t)(end - starts[0]);
    buffer_reset(&canonical->sorted, KEPT_SORTED);
    char *to = buffer_reserve(&canonical->sorted, length);
    if (!to)
        return false;
    for (size_t i = 0; i < n; i++) {
        size_t place = members[i].place;
        if (i > 0)
            *to++ = ',';
        to = write_plain(to, starts[place], place + 1 < n ? starts[place + 1] - 1 : end);
    }
    memcpy(starts[0], to - length, length);
    return true;
}

/* The object whose members were written, the last of them up to `end`. */
static bool order_members(struct canonical *canonical, char *end) {
    size_t n = canonical->reader.n_members;
    canonical->n_starts -= n;
    return canonical->reader.in_order ||
           rewrite_members(canonical, canonical->starts + canonical->n_starts, n, end);
}

/* ---- the text ---- */

/* A value or a member is written behind a comma unless it is the first or has its name before it. No value
 * ends with one of these three. */
static char *separate(char *to, const char *start) {
    if (to > start && to[-1] != '[' && to[-1] != '{' && to[-1] != ':')
        *to++ = ',';
    return to;
}

/* Writes a token to `to`, which then points behind it. False: no memory. */
static bool write_token(struct canonical *canonical, enum json_token token, const char *start, char **to) {
    const struct json_reader *reader = &canonical->reader;
    struct bytes text = reader->text;
    if (token == JSON_TOKEN_OBJECT_END && !order_members(canonical, *to))
        return false;
    if (token != JSON_TOKEN_OBJECT_END && token != JSON_TOKEN_ARRAY_END)
        *to = separate(*to, start);
    if (token == JSON_TOKEN_NAME && !note_start(canonical, *to))
        return false;
    if ((token == JSON_TOKEN_NAME || token == JSON_TOKEN_STRING) && reader->escaped)
        *to = write_escaped(*to, text);
    else
        *to = write_plain(*to, text.data, text.data + text.length);
    if (token == JSON_TOKEN_NAME)
        *(*to)++ = ':';
    return true;
}

static enum canonical_status write_text(struct canonical *canonical, char *start, char **to) {
    enum json_token token;
    *to = start;
    while ((token = json_next(&canonical->reader)) < JSON_TOKEN_END)
        if (!write_token(canonical, token, start, to))
            return CANONICAL_NO_MEMORY;
    return token == JSON_TOKEN_END   ? CANONICAL_OK
           : token == JSON_TOKEN_BAD ? CANONICAL_BAD_JSON
                                     : CANONICAL_NO_MEMORY;
}

static void free_starts(struct canonical *canonical) {
    free(canonical->starts);
    canonical->starts = NULL;
    canonical->capacity_starts = 0;
}

enum canonical_status canonical_append(struct canonical *canonical, struct bytes json, struct buffer *out) {
    char *end, *start = buffer_reserve(out, json.length);
    if (!start)
        return CANONICAL_NO_MEMORY;
    canonical->n_starts = 0;
    json_reader_begin(&canonical->reader, json);
    enum canonical_status status = write_text(canonical, start, &end);
    json_reader_end(&canonical->reader);
    if (canonical->capacity_starts > KEPT_STARTS)
        free_starts(canonical);
    if (status == CANONICAL_OK) {
        INVARIANT((size_t)(end - start) <= json.length);
        out->length += (size_t)(end - start);
    }
    return status;
}

void canonical_init(struct canonical *canonical, unsigned depth_max, size_t tokens_max) {
    *canonical = (struct canonical){.n_starts = 0};
    json_reader_init(&canonical->reader, depth_max, tokens_max);
    buffer_init(&canonical->sorted, SIZE_MAX);
}

void canonical_fini(struct canonical *canonical) {
    json_reader_fini(&canonical->reader);
    free_starts(canonical);
    buffer_fini(&canonical->sorted);
}
