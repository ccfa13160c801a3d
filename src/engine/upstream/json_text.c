/* A model's JSON, checked once and then walked where it stands. */
#include "engine/upstream/json_text.h"

#include "inferonce/base/json_reader.h"
#include "inferonce/base/json_value.h"

enum json_text_status json_text_check(struct bytes text, size_t n) {
    struct json_reader reader;
    enum json_token token;
    json_reader_init(&reader, JSON_TEXT_DEPTH_MAX, JSON_TEXT_TOKENS_MAX + n * JSON_TEXT_TOKENS_EACH);
    json_reader_begin(&reader, text);
    while ((token = json_next(&reader)) < JSON_TOKEN_END)
        ;
    json_reader_fini(&reader);
    return token == JSON_TOKEN_END   ? JSON_TEXT_VALID
           : token == JSON_TOKEN_BAD ? JSON_TEXT_INVALID
                                     : JSON_TEXT_NO_MEMORY;
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
    walk->at = json_value_end(start, walk->end);
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

bool json_text_is_boolean(struct bytes value) {
    return bytes_equal(value, LITERAL("true")) || bytes_equal(value, LITERAL("false"));
}

bool json_text_is_null(struct bytes value) {
    return bytes_equal(value, LITERAL("null"));
}

static bool may_be_in_number(char c) {
    return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

/* In valid JSON an array of nothing but these characters is an array of numbers. One pass, because an answer
 * may have a million of them. */
bool json_text_is_numbers(struct bytes value, size_t *n) {
    struct json_walk walk;
    size_t commas = 0;
    bool any = false;
    if (!json_walk_array(value, &walk) || walk.at == walk.end || walk.end[-1] != ']')
        return false;
    for (const char *at = walk.at; at < walk.end - 1; at++) {
        if (may_be_in_number(*at))
            any = true;
        else if (*at == ',')
            commas++;
        else if (!is_space(*at))
            return false;
    }
    *n = commas + 1;
    return any;
}
