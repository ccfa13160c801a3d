/* Finds the ends of values in JSON that was checked. */
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

static bool ends_plain(char c) {
    return c == ',' || c == ']' || c == '}' || c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Each of these goes on up to `limit` or just behind an escape there. True: skip->at is behind the string,
 * the container, the plain value. */

static bool skip_string(struct json_skip *skip, const char *limit, const char *end) {
    while (skip->at < limit && (skip->at = json_plain_end(skip->at, limit)) < limit) {
        char c = *skip->at++;
        if (c == '"')
            return true;
        if (c == '\\' && skip->at < end)
            skip->at++;
    }
    return skip->at >= end;
}

static bool skip_container(struct json_skip *skip, const char *limit) {
    while ((skip->at = next_mark(skip->at, limit)) < limit) {
        char c = *skip->at++;
        if (c == '"') {
            skip->within = JSON_SKIP_STRING;
            return false;
        }
        skip->depth += c == '[' || c == '{';
        skip->depth -= c == ']' || c == '}';
        if (skip->depth == 0)
            return true;
    }
    return false;
}

static bool skip_plain(struct json_skip *skip, const char *limit) {
    while (skip->at < limit && !ends_plain(*skip->at))
        skip->at++;
    return skip->at < limit;
}

static void begin_skip(struct json_skip *skip) {
    skip->within = *skip->at == '"'                       ? JSON_SKIP_STRING
                   : *skip->at == '[' || *skip->at == '{' ? JSON_SKIP_CONTAINER
                                                          : JSON_SKIP_PLAIN;
    skip->at += skip->within == JSON_SKIP_STRING;
}

/* True: the value is over. */
static bool skip_on(struct json_skip *skip, const char *limit, const char *end) {
    switch (skip->within) {
    case JSON_SKIP_BEGIN:
        begin_skip(skip);
        return false;
    case JSON_SKIP_PLAIN:
        return skip_plain(skip, limit);
    case JSON_SKIP_STRING:
        if (!skip_string(skip, limit, end))
            return false;
        skip->within = JSON_SKIP_CONTAINER;
        return skip->depth == 0;
    default:
        return skip_container(skip, limit);
    }
}

/* Bytes that are skipped for one of a budget. */
#define SKIPPED_AT_ONCE 8

void json_skip_begin(struct json_skip *skip, const char *at) {
    *skip = (struct json_skip){.at = at};
}

bool json_skip_go_on(struct json_skip *skip, const char *end, size_t *budget) {
    const char *began = skip->at;
    size_t left = (size_t)(end - began);
    const char *limit = left / SKIPPED_AT_ONCE < *budget ? end : began + *budget * SKIPPED_AT_ONCE;
    bool over = false;
    while (!over && skip->at < limit)
        over = skip_on(skip, limit, end);
    size_t steps = (size_t)(skip->at - began) / SKIPPED_AT_ONCE + 1;
    *budget -= steps < *budget ? steps : *budget;
    return over || skip->at >= end;
}

const char *json_value_end(const char *at, const char *end) {
    struct json_skip skip;
    size_t budget = SIZE_MAX;
    json_skip_begin(&skip, at);
    (void)json_skip_go_on(&skip, end, &budget);
    return skip.at;
}
