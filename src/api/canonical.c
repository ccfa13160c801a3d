/* Writes the parameters of a request in the one form that keys are made of. */
#include "api/canonical.h"

#include <stdlib.h>

#include "inferonce/base/json_string.h"
#include "inferonce/base/utf8.h"

/* Memory for sorting that is kept between texts. What a text needs is bounded by its own length. */
#define KEPT_STARTS     1024
#define KEPT_SORTED     (64 * 1024)
#define STARTS_AT_FIRST 32

/* Bytes that are copied for one of the budget. */
#define COPIED_AT_ONCE  16
#define COPIED_DIRECTLY 128

/* ---- strings ---- */

static char *write_point(char *to, uint32_t point) {
    return point < 0x80 ? json_escape(to, (unsigned char)point) : utf8_write(to, point);
}

static char *write_plain(char *to, const char *start, const char *end) {
    memcpy(to, start, (size_t)(end - start));
    return to + (end - start);
}

static void spend(struct canonical *canonical, size_t steps) {
    size_t *budget = &canonical->reader.budget;
    *budget -= steps < *budget ? steps : *budget;
}

/* Goes on with the rest of a token. False: the budget is spent. */
static bool write_rest(struct canonical *canonical) {
    const char *at = canonical->rest.data, *end = at + canonical->rest.length;
    while (at < end && canonical->reader.budget > 0) {
        if (canonical->escaped && *at == '\\') {
            canonical->to = write_point(canonical->to, json_unescape(&at));
            spend(canonical, 1);
            continue;
        }
        size_t left = (size_t)(end - at), budget = canonical->reader.budget;
        size_t most = left / COPIED_AT_ONCE < budget ? left : budget * COPIED_AT_ONCE;
        const char *escape = canonical->escaped ? memchr(at, '\\', most) : NULL;
        const char *plain_end = escape ? escape : at + most;
        spend(canonical, 1 + (size_t)(plain_end - at) / COPIED_AT_ONCE);
        canonical->to = write_plain(canonical->to, at, plain_end);
        at = plain_end;
    }
    canonical->rest = (struct bytes){at, (size_t)(end - at)};
    return at == end;
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

/* The object whose members were written: they are written again in the order of their names, which changes no
 * length. False: no memory. */
static bool begin_ordering(struct canonical *canonical) {
    canonical->n_starts -= canonical->reader.n_members;
    canonical->ordered = 0;
    canonical->orders = !canonical->reader.in_order;
    if (!canonical->orders)
        return true;
    buffer_reset(&canonical->sorted, SIZE_MAX);
    return buffer_reserve(&canonical->sorted,
                          (size_t)(canonical->to - canonical->starts[canonical->n_starts]));
}

/* False: the budget is spent. */
static bool order_members(struct canonical *canonical) {
    const struct json_member *members = canonical->reader.members;
    char *const *starts = canonical->starts + canonical->n_starts;
    struct buffer *sorted = &canonical->sorted;
    size_t n = canonical->reader.n_members;
    for (; canonical->ordered < n && canonical->reader.budget > 0; canonical->ordered++) {
        size_t place = members[canonical->ordered].place;
        const char *end = place + 1 < n ? starts[place + 1] - 1 : canonical->to;
        if (canonical->ordered > 0)
            buffer_append_char(sorted, ',');
        buffer_append(sorted, starts[place], (size_t)(end - starts[place]));
        spend(canonical, 1 + (size_t)(end - starts[place]) / COPIED_AT_ONCE);
    }
    if (canonical->ordered < n)
        return false;
    memcpy(starts[0], sorted->data, sorted->length);
    spend(canonical, sorted->length / COPIED_AT_ONCE);
    canonical->orders = false;
    return true;
}

/* ---- the text ---- */

/* A value or a member is written behind a comma unless it is the first or has its name before it. No value
 * ends with one of these three. */
static char *separate(char *to, const char *start) {
    if (to > start && to[-1] != '[' && to[-1] != '{' && to[-1] != ':')
        *to++ = ',';
    return to;
}

/* Begins to write the token that was read. False: no memory. */
static bool write_token(struct canonical *canonical, enum json_token token) {
    const struct json_reader *reader = &canonical->reader;
    if (token != JSON_TOKEN_OBJECT_END && token != JSON_TOKEN_ARRAY_END)
        canonical->to = separate(canonical->to, canonical->start);
    if (token == JSON_TOKEN_NAME && !note_start(canonical, canonical->to))
        return false;
    canonical->escaped = (token == JSON_TOKEN_NAME || token == JSON_TOKEN_STRING) && reader->escaped;
    canonical->rest = reader->text;
    if (!canonical->escaped && canonical->rest.length <= COPIED_DIRECTLY) {
        canonical->to =
            write_plain(canonical->to, reader->text.data, reader->text.data + reader->text.length);
        canonical->rest.length = 0;
    }
    return true;
}

/* Goes on with what was begun of the last token. False: the budget is spent. */
static bool finish_token(struct canonical *canonical) {
    if (canonical->rest.length > 0 && !write_rest(canonical))
        return false;
    if (canonical->orders && !order_members(canonical))
        return false;
    if (canonical->token == JSON_TOKEN_NAME)
        *canonical->to++ = ':';
    if (canonical->token == JSON_TOKEN_OBJECT_END)
        *canonical->to++ = '}';
    canonical->token = JSON_TOKEN_MORE;
    return true;
}

/* END, BAD, NO_MEMORY, or MORE. */
static enum json_token write_tokens(struct canonical *canonical) {
    for (;;) {
        if (canonical->token != JSON_TOKEN_MORE && !finish_token(canonical))
            return JSON_TOKEN_MORE;
        enum json_token token = json_next(&canonical->reader);
        if (token >= JSON_TOKEN_END)
            return token;
        canonical->token = token;
        if (token == JSON_TOKEN_OBJECT_END ? !begin_ordering(canonical) : !write_token(canonical, token))
            return JSON_TOKEN_NO_MEMORY;
    }
}

static void free_starts(struct canonical *canonical) {
    free(canonical->starts);
    canonical->starts = NULL;
    canonical->capacity_starts = 0;
}

void canonical_leave(struct canonical *canonical) {
    json_reader_end(&canonical->reader);
    buffer_reset(&canonical->sorted, KEPT_SORTED);
    if (canonical->capacity_starts > KEPT_STARTS)
        free_starts(canonical);
}

bool canonical_begin(struct canonical *canonical, struct bytes json, struct buffer *out) {
    canonical->out = out;
    canonical->start = canonical->to = buffer_reserve(out, json.length);
    canonical->most = json.length;
    canonical->n_starts = 0;
    canonical->token = JSON_TOKEN_MORE;
    canonical->rest = (struct bytes){NULL, 0};
    canonical->orders = false;
    json_reader_begin(&canonical->reader, json);
    return canonical->start != NULL;
}

enum canonical_status canonical_go_on(struct canonical *canonical, size_t *budget) {
    canonical->reader.budget = *budget;
    enum json_token token = write_tokens(canonical);
    *budget = canonical->reader.budget;
    if (token == JSON_TOKEN_MORE)
        return CANONICAL_MORE;
    canonical_leave(canonical);
    if (token != JSON_TOKEN_END)
        return token == JSON_TOKEN_BAD ? CANONICAL_BAD_JSON : CANONICAL_NO_MEMORY;
    size_t length = (size_t)(canonical->to - canonical->start);
    INVARIANT(length <= canonical->most);
    canonical->out->length += length;
    return CANONICAL_OK;
}

enum canonical_status canonical_append(struct canonical *canonical, struct bytes json, struct buffer *out) {
    size_t budget = SIZE_MAX;
    if (!canonical_begin(canonical, json, out))
        return CANONICAL_NO_MEMORY;
    return canonical_go_on(canonical, &budget);
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
