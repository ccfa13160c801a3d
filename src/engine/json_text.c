#include "inferonce/engine/json_text.h"

#include <jansson.h>

/* ---- checking ---- */

/* Just behind the string whose opening quote is at `at`, or `end`. */
static const char *string_end(const char *at, const char *end) {
    for (at++; at < end; at++) {
        if (*at == '"')
            return at + 1;
        if (*at == '\\' && end - at > 1)
            at++;
    }
    return end;
}

static bool tokens_are_allowed(struct bytes text) {
    const char *at = text.data, *end = at + text.length;
    size_t tokens = 0;
    while (at < end) {
        if (*at == '"') {
            at = string_end(at, end);
            continue;
        }
        tokens += *at == ',' || *at == ':' || *at == '[' || *at == '{';
        at++;
    }
    return tokens <= JSON_TEXT_TOKENS_MAX;
}

bool json_text_is_valid(struct bytes text) {
    /* jansson takes a NUL byte behind a value for the end of the text. */
    if (text.length == 0 || memchr(text.data, '\0', text.length) || !tokens_are_allowed(text))
        return false;
    /* Integers as reals: one that does not fit into 64 bits is a JSON number all the same. What jansson makes
     * of the values is not looked at, so neither is what it loses when memory is short. */
    json_t *json =
        json_loadb(text.data, text.length,
                   JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, NULL);
    json_decref(json);
    return json != NULL;
}

/* ---- walking ---- */

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

struct bytes json_text_trim(struct bytes text) {
    while (text.length > 0 && is_space(text.data[0])) {
        text.data++;
        text.length--;
    }
    while (text.length > 0 && is_space(text.data[text.length - 1]))
        text.length--;
    return text;
}

static void skip_space(struct json_walk *walk) {
    while (walk->at < walk->end && is_space(*walk->at))
        walk->at++;
}

static bool take(struct json_walk *walk, char c) {
    skip_space(walk);
    if (walk->at == walk->end || *walk->at != c)
        return false;
    walk->at++;
    return true;
}

/* Just behind the value at `at`, or `end`; needs no stack, however deep the value is. */
static const char *value_end(const char *at, const char *end) {
    size_t depth = 0;
    while (at < end) {
        if (*at == '"') {
            at = string_end(at, end);
            if (depth == 0)
                return at;
            continue;
        }
        bool closes = *at == ']' || *at == '}';
        if (depth == 0 && (closes || *at == ',' || is_space(*at)))
            return at;
        depth += *at == '[' || *at == '{';
        depth -= closes;
        at++;
        if (closes && depth == 0)
            return at;
    }
    return end;
}

static bool walk_within(struct bytes value, char opening, struct json_walk *walk) {
    *walk = (struct json_walk){value.data, value.data + value.length};
    return take(walk, opening);
}

bool json_walk_array(struct bytes value, struct json_walk *walk) {
    return walk_within(value, '[', walk);
}

bool json_walk_object(struct bytes value, struct json_walk *walk) {
    return walk_within(value, '{', walk);
}

bool json_next_item(struct json_walk *walk, struct bytes *item) {
    (void)take(walk, ',');
    skip_space(walk);
    const char *start = walk->at;
    walk->at = value_end(start, walk->end);
    *item = (struct bytes){start, (size_t)(walk->at - start)};
    return item->length > 0;
}

bool json_next_member(struct json_walk *walk, struct bytes *name, struct bytes *value) {
    struct bytes quoted;
    if (!json_next_item(walk, &quoted) || quoted.length < 2 || !take(walk, ':'))
        return false;
    *name = (struct bytes){quoted.data + 1, quoted.length - 2};
    return json_next_item(walk, value);
}

bool json_find(struct bytes object, const char *name, struct bytes *value) {
    struct json_walk walk;
    struct bytes found;
    if (!json_walk_object(object, &walk))
        return false;
    while (json_next_member(&walk, &found, value))
        if (bytes_equal(found, bytes_of(name)))
            return true;
    return false;
}

bool json_count(struct bytes array, size_t *n) {
    struct json_walk walk;
    struct bytes item;
    if (!json_walk_array(array, &walk))
        return false;
    for (*n = 0; json_next_item(&walk, &item); (*n)++)
        ;
    return true;
}

bool json_text_is_string(struct bytes value) {
    return value.length > 0 && value.data[0] == '"';
}

bool json_text_is_number(struct bytes value) {
    return value.length > 0 && (value.data[0] == '-' || (value.data[0] >= '0' && value.data[0] <= '9'));
}
