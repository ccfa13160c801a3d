/* Reads JSON strictly, in slices, without a tree. */
#include "inferonce/base/json_reader.h"

#include <stdlib.h>

#include "inferonce/base/json_string.h"
#include "inferonce/base/utf8.h"

/* The open values are one stack. A container (an array or an object) is there with its bracket for a name, of
 * length 0, and the index of the container around it for a place; behind an object are its members. */
#define OPEN_AT_FIRST 32
#define OPEN_KEPT     1024

/* Bytes that are gone through for one of the budget. */
#define READ_AT_ONCE 8

#define NO_VALUE "a value is expected where there is none"

enum {
    EXPECTS_VALUE, /* the text's, or a member's */
    EXPECTS_FIRST, /* item or member, or the end of an empty container */
    EXPECTS_REST,  /* a comma or the end of the container, or of the text */
    EXPECTS_NEXT   /* item or member, behind a comma */
};

/* The place where the budget ended. */
enum {
    WITHIN_NOTHING, /* or white space before a token */
    WITHIN_TEXT,    /* which is UTF-8 up to `checked` */
    WITHIN_STRING,
    WITHIN_NAME,
    BEHIND_NAME,
    WITHIN_NUMBER,
    WITHIN_MEMBERS /* which are sorted */
};

/* The parts of a number (RFC 8259 section 6). Behind a leading zero there are no more digits of the integer:
 * one that stands there is left for the caller, to whom it is no structural character. */
enum { INTEGER, ZERO, FRACTION, EXPONENT };

static enum json_token bad(struct json_reader *reader, const char *detail) {
    reader->detail = detail;
    return JSON_TOKEN_BAD;
}

static enum json_token more(struct json_reader *reader, int within) {
    reader->within = within;
    return JSON_TOKEN_MORE;
}

/* As far as the budget goes from here. */
static const char *limit_of(const struct json_reader *reader, const char *at) {
    size_t left = (size_t)(reader->end - at);
    return left / READ_AT_ONCE < reader->budget ? reader->end : at + reader->budget * READ_AT_ONCE;
}

static void spend(struct json_reader *reader, size_t bytes) {
    size_t steps = (bytes + READ_AT_ONCE - 1) / READ_AT_ONCE;
    reader->budget -= steps < reader->budget ? steps : reader->budget;
}

/* False: the budget ended, perhaps within the white space. */
static bool skip_space(struct json_reader *reader) {
    const char *at = reader->at, *limit = limit_of(reader, at);
    while (at < limit && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
        at++;
    spend(reader, (size_t)(at - reader->at));
    reader->at = at;
    return at < limit || at == reader->end;
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
    reader->budget -= reader->budget > 0;
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

/* Behind the closing brace. */
static enum json_token leave_object(struct json_reader *reader) {
    switch (json_order_go_on(&reader->order, &reader->budget)) {
    case JSON_ORDER_MORE:
        return more(reader, WITHIN_MEMBERS);
    case JSON_ORDER_NO_MEMORY:
        return JSON_TOKEN_NO_MEMORY;
    case JSON_ORDER_TWICE:
        return bad(reader, "a member is given twice");
    case JSON_ORDER_DONE:
        break;
    }
    reader->within = WITHIN_NOTHING;
    reader->in_order = reader->order.in_order;
    reader->members = reader->open + reader->container + 1;
    reader->n_members = reader->n_open - reader->container - 1;
    return leave(reader, JSON_TOKEN_OBJECT_END);
}

static enum json_token begin_leaving_object(struct json_reader *reader) {
    json_order_begin(&reader->order, reader->open + reader->container + 1,
                     reader->n_open - reader->container - 1);
    return leave_object(reader);
}

/* ---- strings, numbers and words ---- */

/* Within a string; `token` when its end was found, which is taken. */
static enum json_token go_on_with_string(struct json_reader *reader, enum json_token token, int within) {
    const char *began = reader->at;
    enum json_string_status status = json_string_go_on(&reader->at, limit_of(reader, began), reader->end,
                                                       &reader->escaped, &reader->detail);
    if (status == JSON_STRING_BAD)
        return JSON_TOKEN_BAD;
    spend(reader, (size_t)(reader->at - began));
    if (status == JSON_STRING_MORE)
        return more(reader, within);
    reader->at++;
    reader->within = WITHIN_NOTHING;
    return token;
}

/* At the opening quote. */
static enum json_token begin_string(struct json_reader *reader, enum json_token token, int within) {
    reader->start = reader->at++;
    reader->escaped = false;
    return go_on_with_string(reader, token, within);
}

static enum json_token read_string(struct json_reader *reader, bool begin) {
    enum json_token token = begin ? begin_string(reader, JSON_TOKEN_STRING, WITHIN_STRING)
                                  : go_on_with_string(reader, JSON_TOKEN_STRING, WITHIN_STRING);
    return token == JSON_TOKEN_STRING ? found(reader, token, since(reader, reader->start), EXPECTS_REST)
                                      : token;
}

static bool is_digit(const struct json_reader *reader) {
    return reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9';
}

/* The next part begins, if one does here. */
static bool begin_part(struct json_reader *reader) {
    if (reader->part < FRACTION && is_at(reader, '.')) {
        reader->part = FRACTION;
        reader->at++;
    } else if (reader->part < EXPONENT && (is_at(reader, 'e') || is_at(reader, 'E'))) {
        reader->part = EXPONENT;
        reader->at++;
        reader->at += is_at(reader, '+') || is_at(reader, '-');
    } else {
        return false;
    }
    reader->has_digits = false;
    return true;
}

static enum json_token go_on_with_number(struct json_reader *reader) {
    do {
        const char *began = reader->at, *limit = limit_of(reader, began);
        while (reader->part != ZERO && reader->at < limit && is_digit(reader))
            reader->at++;
        reader->has_digits = reader->has_digits || reader->at > began;
        spend(reader, (size_t)(reader->at - began));
        if (reader->at == limit && limit < reader->end)
            return more(reader, WITHIN_NUMBER);
    } while (reader->has_digits && begin_part(reader));
    reader->within = WITHIN_NOTHING;
    if (!reader->has_digits)
        return bad(reader, NO_VALUE);
    return found(reader, JSON_TOKEN_PLAIN, since(reader, reader->start), EXPECTS_REST);
}

static enum json_token begin_number(struct json_reader *reader) {
    reader->start = reader->at;
    reader->at += is_at(reader, '-');
    reader->has_digits = is_at(reader, '0');
    reader->part = reader->has_digits ? ZERO : INTEGER;
    reader->at += reader->has_digits;
    return go_on_with_number(reader);
}

static enum json_token read_word(struct json_reader *reader, struct bytes word) {
    const char *start = reader->at;
    if ((size_t)(reader->end - start) < word.length || memcmp(start, word.data, word.length) != 0)
        return bad(reader, NO_VALUE);
    reader->at += word.length;
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
        return read_string(reader, true);
    case 't':
        return read_word(reader, LITERAL("true"));
    case 'f':
        return read_word(reader, LITERAL("false"));
    case 'n':
        return read_word(reader, LITERAL("null"));
    default:
        return begin_number(reader);
    }
}

/* Behind a name. */
static enum json_token take_colon(struct json_reader *reader) {
    if (!skip_space(reader))
        return more(reader, BEHIND_NAME);
    reader->within = WITHIN_NOTHING;
    if (!take(reader, ':'))
        return bad(reader, "a colon is missing behind a member's name");
    return found(reader, JSON_TOKEN_NAME, reader->name, EXPECTS_VALUE);
}

static enum json_token read_name(struct json_reader *reader, bool begin) {
    if (begin && !is_at(reader, '"'))
        return bad(reader, "a member's name is expected where there is none");
    enum json_token token = begin ? begin_string(reader, JSON_TOKEN_NAME, WITHIN_NAME)
                                  : go_on_with_string(reader, JSON_TOKEN_NAME, WITHIN_NAME);
    if (token != JSON_TOKEN_NAME)
        return token;
    reader->name = since(reader, reader->start);
    struct bytes inside = {reader->name.data + 1, reader->name.length - 2};
    if (!push(reader, inside, reader->n_open - reader->container - 1))
        return JSON_TOKEN_NO_MEMORY;
    return take_colon(reader);
}

/* Takes the comma before the next item or member. */
static bool take_comma(struct json_reader *reader) {
    if (reader->expects != EXPECTS_REST)
        return true;
    if (!take(reader, ','))
        return false;
    reader->expects = EXPECTS_NEXT;
    return true;
}

static enum json_token next_item(struct json_reader *reader) {
    if (reader->expects != EXPECTS_NEXT && take(reader, ']'))
        return leave(reader, JSON_TOKEN_ARRAY_END);
    if (!take_comma(reader))
        return bad(reader, "an array has neither a comma nor its end behind an item");
    return skip_space(reader) ? read_value(reader) : more(reader, WITHIN_NOTHING);
}

static enum json_token next_member(struct json_reader *reader) {
    if (reader->expects != EXPECTS_NEXT && take(reader, '}'))
        return begin_leaving_object(reader);
    if (!take_comma(reader))
        return bad(reader, "an object has neither a comma nor its end behind a member");
    return skip_space(reader) ? read_name(reader, true) : more(reader, WITHIN_NOTHING);
}

static enum json_token next_token(struct json_reader *reader) {
    if (!skip_space(reader))
        return more(reader, WITHIN_NOTHING);
    if (reader->expects == EXPECTS_VALUE)
        return read_value(reader);
    if (reader->depth > 0)
        return *reader->open[reader->container].name.data == '[' ? next_item(reader) : next_member(reader);
    return reader->at == reader->end ? JSON_TOKEN_END : bad(reader, "there is something behind the value");
}

/* Before anything else is looked at. */
static enum json_token check_text(struct json_reader *reader) {
    const char *began = reader->checked;
    reader->checked = utf8_check(began, limit_of(reader, began), reader->end);
    if (!reader->checked)
        return bad(reader, "not UTF-8");
    spend(reader, (size_t)(reader->checked - began));
    if (reader->checked < reader->end)
        return JSON_TOKEN_MORE;
    reader->within = WITHIN_NOTHING;
    return next_token(reader);
}

enum json_token json_next(struct json_reader *reader) {
    if (reader->detail)
        return JSON_TOKEN_BAD;
    switch (reader->within) {
    case WITHIN_TEXT:
        return check_text(reader);
    case WITHIN_STRING:
        return read_string(reader, false);
    case WITHIN_NAME:
        return read_name(reader, false);
    case BEHIND_NAME:
        return take_colon(reader);
    case WITHIN_NUMBER:
        return go_on_with_number(reader);
    case WITHIN_MEMBERS:
        return leave_object(reader);
    default:
        return next_token(reader);
    }
}

/* ---- a text ---- */

void json_reader_begin(struct json_reader *reader, struct bytes text) {
    reader->at = text.data;
    reader->end = text.length > 0 ? text.data + text.length : text.data;
    reader->n_open = reader->container = 0;
    reader->depth = 0;
    reader->tokens = 0;
    reader->expects = EXPECTS_VALUE;
    reader->detail = text.length == 0 ? "empty" : NULL;
    reader->checked = text.data;
    reader->within = WITHIN_TEXT;
    reader->budget = SIZE_MAX;
}

void json_reader_end(struct json_reader *reader) {
    json_order_rest(&reader->order);
    if (reader->capacity_open <= OPEN_KEPT)
        return;
    free(reader->open);
    reader->open = NULL;
    reader->capacity_open = 0;
}

void json_reader_init(struct json_reader *reader, unsigned depth_max, size_t tokens_max) {
    *reader = (struct json_reader){.depth_max = depth_max, .tokens_max = tokens_max};
}

void json_reader_fini(struct json_reader *reader) {
    json_order_fini(&reader->order);
    free(reader->open);
    reader->open = NULL;
    reader->capacity_open = 0;
}
