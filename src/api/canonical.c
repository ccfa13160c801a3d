#include "inferonce/api/canonical.h"

#include <stdlib.h>

#include "inferonce/cache/normalize.h"

/* Memory for sorting that is kept between texts. What a text needs is bounded by its own length. */
#define KEPT_MEMBERS     1024
#define KEPT_SORTED      (64 * 1024)
#define MEMBERS_AT_FIRST 32

/* A member as it was written to the output: `"name":value`. */
struct canonical_member {
    char *start; /* of the name, with its quote */
    char *name_end;
    char *end; /* of the value */
};

struct reader {
    const char *at, *end;
    char *to; /* the output, which has room for as much as is read */
    struct canonical *canonical;
    size_t tokens;
    unsigned depth;
    bool no_memory;
};

static bool read_value(struct reader *reader);

static bool fail(struct reader *reader, const char *detail) {
    reader->canonical->detail = detail;
    return false;
}

static void skip_space(struct reader *reader) {
    while (reader->at < reader->end &&
           (*reader->at == ' ' || *reader->at == '\t' || *reader->at == '\n' || *reader->at == '\r'))
        reader->at++;
}

/* Whether the next token is the structural character `c`, which is then copied. */
static bool take(struct reader *reader, char c) {
    skip_space(reader);
    if (reader->at == reader->end || *reader->at != c)
        return false;
    reader->at++;
    reader->tokens++;
    *reader->to++ = c;
    return true;
}

static bool enter(struct reader *reader) {
    if (++reader->depth > reader->canonical->depth_max)
        return fail(reader, "the body is nested too deeply");
    return true;
}

static bool leave(struct reader *reader) {
    reader->depth--;
    return true;
}

static bool count_is_allowed(struct reader *reader) {
    return reader->tokens <= reader->canonical->tokens_max ||
           fail(reader, "the body has too many members and items");
}

/* ---- strings ---- */

#define EACH_BYTE(value) (UINT64_C(0x0101010101010101) * (value))
#define HIGH_BITS        EACH_BYTE(0x80)

/* Not 0 when a byte of the word is below `limit`, which is at most 80. */
static uint64_t has_below(uint64_t word, uint8_t limit) {
    return (word - EACH_BYTE(limit)) & ~word & HIGH_BITS;
}

const char *canonical_plain_end(const char *at, const char *end) {
    while ((size_t)(end - at) >= sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, at, sizeof(word));
        if (has_below(word, ' ') | has_below(word ^ EACH_BYTE('"'), 1) | has_below(word ^ EACH_BYTE('\\'), 1))
            break;
        at += sizeof(word);
    }
    while (at < end && *at != '"' && *at != '\\' && (uint8_t)*at >= ' ')
        at++;
    return at;
}

static char *write_utf8(char *to, uint32_t point) {
    if (point < 0x80) {
        *to++ = (char)point;
        return to;
    }
    unsigned more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    const uint32_t marks[] = {0, 0xC0, 0xE0, 0xF0};
    *to++ = (char)(marks[more] | point >> (6 * more));
    while (more-- > 0)
        *to++ = (char)(0x80 | (point >> (6 * more) & 0x3F));
    return to;
}

/* The letters of the short escapes and what they stand for; '/' needs none and is written plainly. */
static const char SHORT_ESCAPES[] = "\"\\bfnrt";
static const char SHORT_ESCAPED[] = "\"\\\b\f\n\r\t";

static char *write_point(char *to, uint32_t point) {
    static const char DIGITS[] = "0123456789abcdef";
    if (point >= ' ' && point != '"' && point != '\\')
        return write_utf8(to, point);
    *to++ = '\\';
    const char *short_escape = point ? strchr(SHORT_ESCAPED, (int)point) : NULL;
    if (short_escape) {
        *to++ = SHORT_ESCAPES[short_escape - SHORT_ESCAPED];
        return to;
    }
    memcpy(to, "u00", 3);
    to[3] = DIGITS[point >> 4];
    to[4] = DIGITS[point & 15];
    return to + 5;
}

static unsigned hex_value(char c) {
    return c >= '0' && c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

/* The four digits of \uXXXX. */
static bool read_unit(struct reader *reader, uint32_t *unit) {
    if (reader->end - reader->at < 4)
        return fail(reader, "a string ends within an escape");
    uint32_t value = 0;
    for (int i = 0; i < 4; i++, reader->at++) {
        char c = *reader->at;
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')))
            return fail(reader, "an escape \\u without four hexadecimal digits");
        value = value << 4 | hex_value(c);
    }
    *unit = value;
    return true;
}

static bool read_code_point(struct reader *reader, uint32_t *point) {
    uint32_t low;
    if (!read_unit(reader, point))
        return false;
    if (*point < 0xD800 || *point > 0xDFFF)
        return true;
    if (*point > 0xDBFF || reader->end - reader->at < 2 || memcmp(reader->at, "\\u", 2) != 0)
        return fail(reader, "a surrogate stands alone");
    reader->at += 2;
    if (!read_unit(reader, &low))
        return false;
    if (low < 0xDC00 || low > 0xDFFF)
        return fail(reader, "a surrogate stands alone");
    *point = 0x10000 + ((*point - 0xD800) << 10) + (low - 0xDC00);
    return true;
}

/* Behind a backslash. */
static bool read_escape(struct reader *reader) {
    if (reader->at == reader->end)
        return fail(reader, "a string ends within an escape");
    char c = *reader->at++;
    uint32_t point = '/';
    const char *short_escape = c ? strchr(SHORT_ESCAPES, c) : NULL;
    if (short_escape)
        point = (uint8_t)SHORT_ESCAPED[short_escape - SHORT_ESCAPES];
    else if (c == 'u') {
        if (!read_code_point(reader, &point))
            return false;
    } else if (c != '/')
        return fail(reader, "an escape that JSON does not have");
    reader->to = write_point(reader->to, point);
    return true;
}

/* At the opening quote. */
static bool read_string(struct reader *reader) {
    *reader->to++ = *reader->at++;
    for (;;) {
        const char *plain_end = canonical_plain_end(reader->at, reader->end);
        size_t plain = (size_t)(plain_end - reader->at);
        memcpy(reader->to, reader->at, plain);
        reader->to += plain;
        reader->at = plain_end;
        if (reader->at == reader->end)
            return fail(reader, "a string has no end");
        char c = *reader->at++;
        if (c == '"') {
            *reader->to++ = c;
            return true;
        }
        if (c != '\\')
            return fail(reader, "a control character within a string");
        if (!read_escape(reader))
            return false;
    }
}

/* ---- numbers and words ---- */

static bool take_digits(struct reader *reader) {
    const char *start = reader->at;
    while (reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9')
        reader->at++;
    return reader->at > start;
}

static bool take_one_of(struct reader *reader, char a, char b) {
    if (reader->at == reader->end || (*reader->at != a && *reader->at != b))
        return false;
    reader->at++;
    return true;
}

/* RFC 8259 section 6. A digit behind a leading zero is left for the caller, to whom it is no structural
 * character. */
static bool read_number(struct reader *reader) {
    const char *start = reader->at;
    (void)take_one_of(reader, '-', '-');
    bool good = take_one_of(reader, '0', '0') || take_digits(reader);
    if (good && take_one_of(reader, '.', '.'))
        good = take_digits(reader);
    if (good && take_one_of(reader, 'e', 'E')) {
        (void)take_one_of(reader, '+', '-');
        good = take_digits(reader);
    }
    if (!good)
        return fail(reader, "a value is expected where there is none");
    size_t length = (size_t)(reader->at - start);
    memcpy(reader->to, start, length);
    reader->to += length;
    return true;
}

static bool read_word(struct reader *reader, const char *word) {
    size_t length = strlen(word);
    if ((size_t)(reader->end - reader->at) < length || memcmp(reader->at, word, length) != 0)
        return fail(reader, "a value is expected where there is none");
    memcpy(reader->to, word, length);
    reader->at += length;
    reader->to += length;
    return true;
}

/* ---- arrays and objects ---- */

static bool read_array(struct reader *reader) {
    if (!enter(reader))
        return false;
    if (!take(reader, ']')) {
        do {
            if (!read_value(reader))
                return false;
        } while (take(reader, ','));
        if (!take(reader, ']'))
            return fail(reader, "an array has neither a comma nor its end behind an item");
    }
    return leave(reader);
}

/* One byte of a canonical string without its escapes; they all stand for one byte. */
static uint8_t next_byte(const char **at) {
    char c = *(*at)++;
    if (c != '\\')
        return (uint8_t)c;
    c = *(*at)++;
    if (c != 'u')
        return (uint8_t)SHORT_ESCAPED[strchr(SHORT_ESCAPES, c) - SHORT_ESCAPES];
    *at += 4;
    return (uint8_t)(hex_value((*at)[-2]) << 4 | hex_value((*at)[-1]));
}

static int compare_members(const void *a, const void *b) {
    const struct canonical_member *first = a, *second = b;
    const char *x = first->start + 1, *x_end = first->name_end - 1;
    const char *y = second->start + 1, *y_end = second->name_end - 1;
    while (x < x_end && y < y_end) {
        int difference = next_byte(&x) - next_byte(&y);
        if (difference != 0)
            return difference;
    }
    return (x < x_end) - (y < y_end);
}

/* Index into members of a new one; SIZE_MAX when there is no memory. */
static size_t add_member(struct reader *reader) {
    struct canonical *canonical = reader->canonical;
    if (canonical->n_members == canonical->capacity_members) {
        size_t capacity = canonical->capacity_members ? 2 * canonical->capacity_members : MEMBERS_AT_FIRST;
        struct canonical_member *members = reallocarray(canonical->members, capacity, sizeof(*members));
        if (!members) {
            reader->no_memory = true;
            return SIZE_MAX;
        }
        canonical->members = members;
        canonical->capacity_members = capacity;
    }
    return canonical->n_members++;
}

/* Writes the members of one object again, in order; the length stays what it was. */
static bool rewrite_members(struct reader *reader, const struct canonical_member *members, size_t n,
                            char *start) {
    size_t length = (size_t)(reader->to - start);
    struct buffer *sorted = &reader->canonical->sorted;
    buffer_reset(sorted, KEPT_SORTED);
    char *to = buffer_reserve(sorted, length);
    if (!to) {
        reader->no_memory = true;
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        size_t size = (size_t)(members[i].end - members[i].start);
        if (i > 0)
            *to++ = ',';
        memcpy(to, members[i].start, size);
        to += size;
    }
    memcpy(start, to - length, length);
    return true;
}

/* The members from `first` on are those of the object that was just read, without its closing brace. */
static bool sort_members(struct reader *reader, size_t first) {
    struct canonical_member *members = reader->canonical->members + first;
    size_t n = reader->canonical->n_members - first;
    reader->canonical->n_members = first;
    char *start = members[0].start;
    size_t ascending = 1;
    while (ascending < n && compare_members(&members[ascending - 1], &members[ascending]) < 0)
        ascending++;
    if (ascending == n)
        return true;
    qsort(members, n, sizeof(*members), compare_members);
    for (size_t i = 1; i < n; i++)
        if (compare_members(&members[i - 1], &members[i]) == 0)
            return fail(reader, "a member is given twice");
    return rewrite_members(reader, members, n, start);
}

static bool read_member(struct reader *reader) {
    size_t index = add_member(reader);
    if (index == SIZE_MAX)
        return false;
    skip_space(reader);
    if (reader->at == reader->end || *reader->at != '"')
        return fail(reader, "a member's name is expected where there is none");
    struct canonical_member member = {.start = reader->to};
    if (!read_string(reader))
        return false;
    member.name_end = reader->to;
    if (!take(reader, ':'))
        return fail(reader, "a colon is missing behind a member's name");
    if (!read_value(reader))
        return false;
    member.end = reader->to;
    reader->canonical->members[index] = member;
    return true;
}

static bool read_object(struct reader *reader) {
    if (!enter(reader))
        return false;
    if (!take(reader, '}')) {
        size_t first = reader->canonical->n_members;
        do {
            if (!read_member(reader))
                return false;
        } while (take(reader, ','));
        if (!sort_members(reader, first))
            return false;
        if (!take(reader, '}'))
            return fail(reader, "an object has neither a comma nor its end behind a member");
    }
    return leave(reader);
}

/* Recursion is bounded by depth_max. Looking for a brace skips the white space before a value of any kind. */
static bool read_value(struct reader *reader) {
    if (!count_is_allowed(reader))
        return false;
    if (take(reader, '{'))
        return read_object(reader);
    if (take(reader, '['))
        return read_array(reader);
    if (reader->at == reader->end)
        return fail(reader, "the body ends before its value does");
    switch (*reader->at) {
    case '"':
        return read_string(reader);
    case 't':
        return read_word(reader, "true");
    case 'f':
        return read_word(reader, "false");
    case 'n':
        return read_word(reader, "null");
    default:
        return read_number(reader);
    }
}

static bool read_text(struct reader *reader) {
    if (!read_value(reader) || !count_is_allowed(reader))
        return false;
    skip_space(reader);
    return reader->at == reader->end || fail(reader, "there is something behind the value");
}

enum canonical_status canonical_append(struct canonical *canonical, struct bytes json, struct buffer *out) {
    canonical->detail = NULL;
    canonical->n_members = 0;
    if (json.length == 0 || !normalize_is_utf8(json)) {
        canonical->detail = json.length == 0 ? "the body is empty" : "the body is not UTF-8";
        return CANONICAL_BAD_JSON;
    }
    char *to = buffer_reserve(out, json.length);
    if (!to)
        return CANONICAL_NO_MEMORY;
    struct reader reader = {
        .at = json.data, .end = json.data + json.length, .to = to, .canonical = canonical};
    bool good = read_text(&reader);
    if (canonical->capacity_members > KEPT_MEMBERS) {
        free(canonical->members);
        canonical->members = NULL;
        canonical->capacity_members = 0;
    }
    if (!good)
        return reader.no_memory ? CANONICAL_NO_MEMORY : CANONICAL_BAD_JSON;
    INVARIANT((size_t)(reader.to - to) <= json.length);
    out->length += (size_t)(reader.to - to);
    return CANONICAL_OK;
}

void canonical_init(struct canonical *canonical, unsigned depth_max, size_t tokens_max) {
    *canonical = (struct canonical){.depth_max = depth_max, .tokens_max = tokens_max};
    buffer_init(&canonical->sorted, SIZE_MAX);
}

void canonical_fini(struct canonical *canonical) {
    free(canonical->members);
    canonical->members = NULL;
    canonical->capacity_members = 0;
    buffer_fini(&canonical->sorted);
}

/* ---- reading what was written ---- */

/* `at` is behind the opening quote; the result is behind the closing one. */
static char *string_end(char *at, const char *end) {
    for (;;) {
        at += canonical_plain_end(at, end) - at;
        if (*at == '"')
            return at + 1;
        at += 2;
    }
}

char *canonical_value_end(char *at, const char *end) {
    if (*at == '"')
        return string_end(at + 1, end);
    if (*at != '{' && *at != '[') {
        while (at < end && *at != ',' && *at != '}' && *at != ']')
            at++;
        return at;
    }
    size_t depth = 0;
    do {
        char c = *at++;
        if (c == '"')
            at = string_end(at, end);
        else if (c == '{' || c == '[')
            depth++;
        else if (c == '}' || c == ']')
            depth--;
    } while (depth > 0);
    return at;
}

size_t canonical_unescape(char *text, size_t length) {
    char *escape = memchr(text, '\\', length);
    if (!escape)
        return length;
    const char *from = escape, *end = text + length;
    char *to = escape;
    while (from < end)
        *to++ = (char)next_byte(&from);
    return (size_t)(to - text);
}
