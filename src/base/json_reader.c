#include "inferonce/base/json_reader.h"

#include <stdlib.h>

#include "inferonce/base/json_string.h"
#include "inferonce/base/utf8.h"

/* What is open is one stack. A container (an array or an object) is there with its bracket for a name, of
 * length 0, and the index of the container around it for a place; behind an object are its members. */
#define OPEN_AT_FIRST 32
#define OPEN_KEPT     1024

#define FEW_MEMBERS 8

enum {
    EXPECTS_VALUE, /* the text's, or a member's */
    EXPECTS_FIRST, /* item or member, or the end of an empty container */
    EXPECTS_REST   /* a comma or the end of the container, or of the text */
};

static enum json_token bad(struct json_reader *reader, const char *detail) {
    reader->detail = detail;
    return JSON_TOKEN_BAD;
}

static void skip_space(struct json_reader *reader) {
    const char *at = reader->at;
    while (at < reader->end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
        at++;
    reader->at = at;
}

static bool is_at(const struct json_reader *reader, char c) {
    return reader->at < reader->end && *reader->at == c;
}

/* Moves behind a structural character, if that is what is here. */
static bool take(struct json_reader *reader, char c) {
    if (!is_at(reader, c))
        return false;
    reader->at++;
    reader->tokens++;
    return true;
}

/* From `start` to here. */
static struct bytes since(const struct json_reader *reader, const char *start) {
    return (struct bytes){start, (size_t)(reader->at - start)};
}

/* `expected` comes behind this token. */
static enum json_token found(struct json_reader *reader, enum json_token token, struct bytes text,
                             int expected) {
    if (reader->tokens > reader->tokens_max)
        return bad(reader, "more members and items than allowed");
    reader->text = text;
    reader->expects = expected;
    return token;
}

/* ---- what is open ---- */

static bool push(struct json_reader *reader, struct bytes name, size_t place) {
    if (reader->n_open == reader->capacity_open) {
        size_t capacity = reader->capacity_open ? 2 * reader->capacity_open : OPEN_AT_FIRST;
        struct json_member *open = reallocarray(reader->open, capacity, sizeof(*open));
        if (!open)
            return false;
        reader->open = open;
        reader->capacity_open = capacity;
    }
    reader->open[reader->n_open++] = (struct json_member){name, place};
    return true;
}

static enum json_token enter(struct json_reader *reader, enum json_token token) {
    const char *bracket = reader->at;
    if (reader->depth == reader->depth_max)
        return bad(reader, "nested too deeply");
    if (!push(reader, (struct bytes){bracket, 0}, reader->container))
        return JSON_TOKEN_NO_MEMORY;
    reader->container = reader->n_open - 1;
    reader->depth++;
    reader->at++;
    reader->tokens++;
    return found(reader, token, since(reader, bracket), EXPECTS_FIRST);
}

/* Behind the closing bracket. */
static enum json_token leave(struct json_reader *reader, enum json_token token) {
    reader->n_open = reader->container;
    reader->container = reader->open[reader->container].place;
    reader->depth--;
    return found(reader, token, since(reader, reader->at - 1), EXPECTS_REST);
}

static int compare(const void *a, const void *b) {
    const struct json_member *first = a, *second = b;
    return json_string_compare(first->name, second->name);
}

/* Strictly: no two are equal. */
static bool are_ascending(const struct json_member *members, size_t n) {
    for (size_t i = 1; i < n; i++)
        if (json_string_compare(members[i - 1].name, members[i].name) >= 0)
            return false;
    return true;
}

/* By insertion where there are few members, which is nearly everywhere: setting up qsort takes longer. */
static void sort(struct json_member *members, size_t n) {
    if (n > FEW_MEMBERS) {
        qsort(members, n, sizeof(*members), compare);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        struct json_member member = members[i];
        size_t to = i;
        for (; to > 0 && compare(&member, &members[to - 1]) < 0; to--)
            members[to] = members[to - 1];
        members[to] = member;
    }
}

/* Behind the closing brace. Most objects are small, or written by a program that sorts; the others are
 * sorted, so that many members cost no more than n log n comparisons. */
static enum json_token leave_object(struct json_reader *reader) {
    struct json_member *members = reader->open + reader->container + 1;
    size_t n = reader->n_open - reader->container - 1;
    reader->in_order = are_ascending(members, n);
    if (!reader->in_order) {
        sort(members, n);
        if (!are_ascending(members, n))
            return bad(reader, "a member is given twice");
    }
    reader->members = members;
    reader->n_members = n;
    return leave(reader, JSON_TOKEN_OBJECT_END);
}

/* ---- strings, numbers and words ---- */

/* At the opening quote. */
static bool read_string(struct json_reader *reader) {
    const char *quote = json_string_end(reader->at + 1, reader->end, &reader->escaped, &reader->detail);
    if (quote)
        reader->at = quote + 1;
    return quote != NULL;
}

static const char *digits_end(const char *at, const char *end) {
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at;
}

/* RFC 8259 section 6. NULL: no number. A digit behind a leading zero is left for the caller, to whom it is no
 * structural character. */
static const char *number_end(const char *at, const char *end) {
    at += at < end && *at == '-';
    const char *digits = at;
    at = at < end && *at == '0' ? at + 1 : digits_end(at, end);
    if (at > digits && at < end && *at == '.') {
        digits = at + 1;
        at = digits_end(digits, end);
    }
    if (at > digits && at < end && (*at == 'e' || *at == 'E')) {
        digits = at + 1;
        digits += digits < end && (*digits == '+' || *digits == '-');
        at = digits_end(digits, end);
    }
    return at > digits ? at : NULL;
}

static const char *word_end(const char *at, const char *end, const char *word) {
    size_t length = strlen(word);
    return (size_t)(end - at) >= length && memcmp(at, word, length) == 0 ? at + length : NULL;
}

static enum json_token read_plain(struct json_reader *reader) {
    const char *start = reader->at, *end = reader->end;
    const char *behind = *start == 't'   ? word_end(start, end, "true")
                         : *start == 'f' ? word_end(start, end, "false")
                         : *start == 'n' ? word_end(start, end, "null")
                                         : number_end(start, end);
    if (!behind)
        return bad(reader, "a value is expected where there is none");
    reader->at = behind;
    return found(reader, JSON_TOKEN_PLAIN, since(reader, start), EXPECTS_REST);
}

/* ---- the grammar: each is called behind white space ---- */

static enum json_token read_value(struct json_reader *reader) {
    const char *start = reader->at;
    if (start == reader->end)
        return bad(reader, "the text ends before its value does");
    switch (*start) {
    case '{':
        return enter(reader, JSON_TOKEN_OBJECT);
    case '[':
        return enter(reader, JSON_TOKEN_ARRAY);
    case '"':
        return read_string(reader) ? found(reader, JSON_TOKEN_STRING, since(reader, start), EXPECTS_REST)
                                   : JSON_TOKEN_BAD;
    default:
        return read_plain(reader);
    }
}

static enum json_token read_name(struct json_reader *reader) {
    const char *start = reader->at;
    if (!is_at(reader, '"'))
        return bad(reader, "a member's name is expected where there is none");
    if (!read_string(reader))
        return JSON_TOKEN_BAD;
    struct bytes quoted = since(reader, start);
    struct bytes name = {start + 1, quoted.length - 2};
    if (!push(reader, name, reader->n_open - reader->container - 1))
        return JSON_TOKEN_NO_MEMORY;
    skip_space(reader);
    if (!take(reader, ':'))
        return bad(reader, "a colon is missing behind a member's name");
    return found(reader, JSON_TOKEN_NAME, quoted, EXPECTS_VALUE);
}

static bool take_comma(struct json_reader *reader) {
    if (!take(reader, ','))
        return false;
    skip_space(reader);
    return true;
}

static enum json_token next_item(struct json_reader *reader) {
    if (take(reader, ']'))
        return leave(reader, JSON_TOKEN_ARRAY_END);
    if (reader->expects == EXPECTS_REST && !take_comma(reader))
        return bad(reader, "an array has neither a comma nor its end behind an item");
    return read_value(reader);
}

static enum json_token next_member(struct json_reader *reader) {
    if (take(reader, '}'))
        return leave_object(reader);
    if (reader->expects == EXPECTS_REST && !take_comma(reader))
        return bad(reader, "an object has neither a comma nor its end behind a member");
    return read_name(reader);
}

enum json_token json_next(struct json_reader *reader) {
    if (reader->detail)
        return JSON_TOKEN_BAD;
    skip_space(reader);
    if (reader->expects == EXPECTS_VALUE)
        return read_value(reader);
    if (reader->depth > 0)
        return *reader->open[reader->container].name.data == '[' ? next_item(reader) : next_member(reader);
    return reader->at == reader->end ? JSON_TOKEN_END : bad(reader, "there is something behind the value");
}

/* ---- a text ---- */

void json_reader_begin(struct json_reader *reader, struct bytes text) {
    reader->at = text.data;
    reader->end = text.length > 0 ? text.data + text.length : text.data;
    reader->n_open = reader->container = 0;
    reader->depth = 0;
    reader->tokens = 0;
    reader->expects = EXPECTS_VALUE;
    reader->detail = text.length == 0 ? "empty" : utf8_is_valid(text) ? NULL : "not UTF-8";
}

void json_reader_end(struct json_reader *reader) {
    if (reader->capacity_open > OPEN_KEPT)
        json_reader_fini(reader);
}

void json_reader_init(struct json_reader *reader, unsigned depth_max, size_t tokens_max) {
    *reader = (struct json_reader){.depth_max = depth_max, .tokens_max = tokens_max};
}

void json_reader_fini(struct json_reader *reader) {
    free(reader->open);
    reader->open = NULL;
    reader->capacity_open = 0;
}
