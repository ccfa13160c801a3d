#include "inferonce/base/json_value.h"

#include "inferonce/base/eight_bytes.h"
#include "inferonce/base/json_string.h"
#include "inferonce/base/little_endian.h"

/* The bits in which [ ] { and } differ from DEL: with them set all four are DEL. */
#define BRACKET_BITS 0x26u
#define DEL          0x7f

/* The next quote or bracket, or `end`. May be another byte that JSON has in strings alone (Y _ y DEL). */
static const char *next_mark(const char *at, const char *end) {
    while ((size_t)(end - at) >= sizeof(uint64_t)) {
        uint64_t word = load_u64(at);
        uint64_t marks = word_has(word, '"') | word_has(word | EACH_BYTE(BRACKET_BITS), DEL);
        if (marks)
            return at + word_first(marks);
        at += sizeof(word);
    }
    while (at < end && *at != '"' && ((uint8_t)*at | BRACKET_BITS) != DEL)
        at++;
    return at;
}

/* At the opening quote. */
static const char *string_end(const char *at, const char *end) {
    for (at++; (at = json_plain_end(at, end)) < end; at++) {
        if (*at == '"')
            return at + 1;
        if (*at == '\\' && end - at > 1)
            at++;
    }
    return end;
}

/* At the opening bracket. */
static const char *container_end(const char *at, const char *end) {
    size_t depth = 0;
    while ((at = next_mark(at, end)) < end) {
        char c = *at;
        if (c == '"') {
            at = string_end(at, end);
            continue;
        }
        at++;
        depth += c == '[' || c == '{';
        depth -= c == ']' || c == '}';
        if (depth == 0)
            return at;
    }
    return end;
}

static bool ends_plain(char c) {
    return c == ',' || c == ']' || c == '}' || c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

const char *json_value_end(const char *at, const char *end) {
    if (at < end && *at == '"')
        return string_end(at, end);
    if (at < end && (*at == '[' || *at == '{'))
        return container_end(at, end);
    while (at < end && !ends_plain(*at))
        at++;
    return at;
}
