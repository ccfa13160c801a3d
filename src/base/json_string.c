/* Reads and writes strings of JSON. */
#include "inferonce/base/json_string.h"

#include "inferonce/base/eight_bytes.h"
#include "inferonce/base/little_endian.h"
#include "inferonce/base/utf8.h"

char *json_escape(char *to, unsigned char c) {
    static const char DIGITS[] = "0123456789abcdef";
    char letter = json_escape_letter(c);
    if (!letter) {
        *to++ = (char)c;
        return to;
    }
    *to++ = '\\';
    *to++ = letter;
    if (letter == 'u') {
        *to++ = '0';
        *to++ = '0';
        *to++ = DIGITS[c >> 4];
        *to++ = DIGITS[c & 15];
    }
    return to;
}

const char *json_plain_end(const char *at, const char *end) {
    while ((size_t)(end - at) >= sizeof(uint64_t)) {
        uint64_t word = load_u64(at);
        uint64_t marks = word_has_below(word, ' ') | word_has(word, '"') | word_has(word, '\\');
        if (marks)
            return at + word_first(marks);
        at += sizeof(word);
    }
    while (at < end && *at != '"' && *at != '\\' && (uint8_t)*at >= ' ')
        at++;
    return at;
}

/* ---- checking ---- */

/* Above every unit, at whatever place the digit is. */
#define NO_DIGIT 0x10000u

static uint32_t digit_of(char c) {
    if (c >= '0' && c <= '9')
        return (uint32_t)(c - '0');
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10) : NO_DIGIT;
}

/* The four digits of \uXXXX; at least NO_DIGIT when one of them is none. */
static uint32_t unit_of(const char *digits) {
    return digit_of(digits[0]) << 12 | digit_of(digits[1]) << 8 | digit_of(digits[2]) << 4 |
           digit_of(digits[3]);
}

static bool is_high_surrogate(uint32_t unit) {
    return unit >= 0xD800 && unit <= 0xDBFF;
}

static bool is_low_surrogate(uint32_t unit) {
    return unit >= 0xDC00 && unit <= 0xDFFF;
}

static const char *fault(const char **detail, const char *what) {
    *detail = what;
    return NULL;
}

/* Behind \u: returns what is behind the digits, those of a pair's second half included. */
static const char *check_units(const char *at, const char *end, const char **detail) {
    uint32_t unit = end - at >= 4 ? unit_of(at) : NO_DIGIT;
    if (unit >= NO_DIGIT)
        return fault(detail, "an escape \\u without four hexadecimal digits");
    at += 4;
    if (!is_high_surrogate(unit) && !is_low_surrogate(unit))
        return at;
    if (is_low_surrogate(unit) || end - at < 6 || at[0] != '\\' || at[1] != 'u' ||
        !is_low_surrogate(unit_of(at + 2)))
        return fault(detail, "a surrogate stands alone");
    return at + 6;
}

/* Behind a backslash: returns what is behind the escape. */
static const char *check_escape(const char *at, const char *end, const char **detail) {
    if (at == end)
        return fault(detail, "a string ends within an escape");
    switch (*at) {
    case 'u':
        return check_units(at + 1, end, detail);
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return at + 1;
    default:
        return fault(detail, "an escape that JSON does not have");
    }
}

enum json_string_status json_string_go_on(const char **at, const char *limit, const char *end, bool *escaped,
                                          const char **detail) {
    while (*at < limit && (*at = json_plain_end(*at, limit)) < limit) {
        if (**at == '"')
            return JSON_STRING_END;
        if (**at != '\\') {
            *detail = "a control character within a string";
            return JSON_STRING_BAD;
        }
        *escaped = true;
        *at = check_escape(*at + 1, end, detail);
        if (!*at)
            return JSON_STRING_BAD;
    }
    if (*at < end)
        return JSON_STRING_MORE;
    *detail = "a string has no end";
    return JSON_STRING_BAD;
}

const char *json_string_end(const char *at, const char *end, bool *escaped, const char **detail) {
    *escaped = false;
    return json_string_go_on(&at, end, end, escaped, detail) == JSON_STRING_END ? at : NULL;
}

/* ---- reading what was checked ---- */

uint32_t json_unescape(const char **at) {
    const char *escape = *at + 1;
    *at += 2;
    switch (*escape) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'u':
        break;
    default:
        return (uint8_t)*escape;
    }
    uint32_t unit = unit_of(escape + 1);
    *at += 4;
    if (!is_high_surrogate(unit))
        return unit;
    *at += 6;
    return 0x10000 + ((unit - 0xD800) << 10) + (unit_of(*at - 4) - 0xDC00);
}

/* Bytes between escapes that are moved for one of a budget. */
#define MOVED_AT_ONCE 16

bool json_unescape_go_on(char **to, const char **from, const char *end, size_t *budget) {
    while (*from<end && * budget> 0) {
        if (**from == '\\') {
            *to = utf8_write(*to, json_unescape(from));
            --*budget;
            continue;
        }
        size_t left = (size_t)(end - *from);
        size_t most = left / MOVED_AT_ONCE < *budget ? left : *budget * MOVED_AT_ONCE;
        const char *escape = memchr(*from, '\\', most);
        size_t n = escape ? (size_t)(escape - *from) : most;
        if (*to != *from)
            memmove(*to, *from, n);
        *to += n;
        *from += n;
        size_t steps = (n + MOVED_AT_ONCE - 1) / MOVED_AT_ONCE;
        *budget -= steps < *budget ? steps : *budget;
    }
    return *from == end;
}

size_t json_string_unescape(char *text, size_t length) {
    char *to = text;
    const char *from = text;
    size_t budget = SIZE_MAX;
    (void)json_unescape_go_on(&to, &from, text + length, &budget);
    return (size_t)(to - text);
}

/* The character at `*at`, which then points behind it. */
static uint32_t next_point(const char **at) {
    if (**at == '\\')
        return json_unescape(at);
    uint32_t point = utf8_read(*at);
    *at += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    return point;
}

/* How far both are the same bytes and none of them begins an escape, in steps of eight. */
static size_t plain_prefix(struct bytes a, struct bytes b) {
    size_t shorter = a.length < b.length ? a.length : b.length, length = 0;
    while (shorter - length >= sizeof(uint64_t)) {
        uint64_t word = load_u64(a.data + length);
        if (word != load_u64(b.data + length) || word_has(word, '\\'))
            break;
        length += sizeof(word);
    }
    return length;
}

/* UTF-8 orders as the characters do, so that bytes are compared where neither has an escape. An escape is
 * only ever met at the beginning of a character of both, because all before it is equal. */
int json_string_compare(struct bytes a, struct bytes b) {
    size_t prefix = plain_prefix(a, b);
    const char *x = a.data + prefix, *x_end = a.data + a.length;
    const char *y = b.data + prefix, *y_end = b.data + b.length;
    while (x < x_end && y < y_end) {
        if (*x == *y && *x != '\\') {
            x++;
            y++;
            continue;
        }
        bool escape = *x == '\\' || *y == '\\';
        uint32_t first = escape ? next_point(&x) : (uint8_t)*x;
        uint32_t second = escape ? next_point(&y) : (uint8_t)*y;
        if (first != second)
            return first < second ? -1 : 1;
    }
    return (x < x_end) - (y < y_end);
}
