#include "inferonce/api/body.h"

#include <stdio.h>
#include <stdlib.h>

#include "inferonce/base/json_string.h"
#include "inferonce/base/json_value.h"
#include "inferonce/base/utf8.h"

/* Memory that is kept between bodies. */
#define KEPT_STORAGE     (64 * 1024)
#define KEPT_STRINGS     256
#define STRINGS_AT_FIRST 32

/* The members that an endpoint knows; all others are parameters. */
enum known_member { KNOWN_TEXT, KNOWN_TEXTS, KNOWN_KEYS, KNOWN_NAMESPACE, KNOWN_REQUEST, KNOWN_COUNT };

static const char *const KNOWN_NAMES[KNOWN_COUNT] = {"text", "texts", "keys", "namespace", "request"};

#define PREDICT_DETAIL "must have exactly one of the members \"text\" and \"texts\""

/* What an endpoint takes. */
struct shape {
    unsigned n_known; /* of KNOWN_NAMES, from the first */
    bool empty_allowed;
    size_t max_batch;
    const char *pointer; /* to the object, without a member */
    const char *detail;  /* what to say when it is not exactly one of them */
};

/* A member of an object in canonical form. */
struct member {
    char *start;       /* of the name, with its quote */
    struct bytes name; /* with its escapes, if any */
    char *value, *end;
};

/* What is in a body, before any of it is looked into. */
struct contents {
    unsigned known; /* how many */
    unsigned unknown;
    enum known_member which; /* if one is known */
    struct member member;    /* that one */
};

void body_init(struct body *body) {
    *body = (struct body){0};
    canonical_init(&body->canonical, BODY_DEPTH_MAX, BODY_TOKENS_MAX);
    /* No cap of their own: neither gets longer than the body that was received, which had one. */
    buffer_init(&body->storage, SIZE_MAX);
    buffer_init(&body->further, SIZE_MAX);
}

void body_fini(struct body *body) {
    canonical_fini(&body->canonical);
    buffer_fini(&body->storage);
    buffer_fini(&body->further);
    free(body->strings);
    *body = (struct body){0};
}

static void clear_results(struct body *body) {
    body->text = body->cache_namespace = body->parameters = (struct bytes){0};
    body->texts = body->keys = NULL;
    body->n_texts = body->n_keys = 0;
}

void body_reset(struct body *body) {
    clear_results(body);
    body->detail = NULL;
    body->pointer[0] = '\0';
    buffer_reset(&body->storage, KEPT_STORAGE);
    buffer_reset(&body->further, KEPT_STORAGE);
    if (body->capacity_strings > KEPT_STRINGS) {
        free(body->strings);
        body->strings = NULL;
        body->capacity_strings = 0;
    }
}

/* ---- the commonest body ---- */

static const char *skip_space(const char *at, const char *end) {
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
        at++;
    return at;
}

/* Moves behind `token` and the white space around it. */
static bool take(const char **at, const char *end, const char *token, size_t length) {
    const char *start = skip_space(*at, end);
    if ((size_t)(end - start) < length || memcmp(start, token, length) != 0)
        return false;
    *at = skip_space(start + length, end);
    return true;
}

/* {"text": "..."} and nothing else, the string not empty and without escapes. False: something else, good or
 * bad. */
static bool read_plain(struct bytes json, struct bytes *text) {
    if (json.length == 0)
        return false;
    const char *at = json.data, *end = at + json.length;
    if (!take(&at, end, "{", 1) || !take(&at, end, "\"text\"", 6) || !take(&at, end, ":", 1) || at == end ||
        *at != '"')
        return false;
    const char *start = at + 1;
    at = json_plain_end(start, end);
    struct bytes plain = {start, (size_t)(at - start)};
    if (plain.length == 0 || !take(&at, end, "\"", 1) || !take(&at, end, "}", 1) || at < end ||
        !utf8_is_valid(plain))
        return false;
    *text = plain;
    return true;
}

/* ---- any body ---- */

static enum body_status bad_shape(struct body *body, const char *detail) {
    body->detail = detail;
    return BODY_BAD_SHAPE;
}

/* In the canonical form, which is ours to change. */
static char *value_end(char *at, const char *end) {
    return at + (json_value_end(at, end) - at);
}

/* Reads the member that begins at `at`; returns where the next one does, or NULL behind the last. */
static char *next_member(const struct body *body, char *at, struct member *member) {
    const char *end = body->storage.data + body->storage.length;
    char *name_end = value_end(at, end);
    *member = (struct member){.start = at,
                              .name = {at + 1, (size_t)(name_end - at) - 2},
                              .value = name_end + 1,
                              .end = value_end(name_end + 1, end)};
    return *member->end == ',' ? member->end + 1 : NULL;
}

/* KNOWN_COUNT: not one of those that `shape` knows. */
static enum known_member recognise(const struct shape *shape, struct bytes name) {
    for (unsigned i = 0; i < shape->n_known; i++)
        if (bytes_equal(name, bytes_of(KNOWN_NAMES[i])))
            return (enum known_member)i;
    return KNOWN_COUNT;
}

/* The first member of an object in canonical form; NULL: it has none. */
static char *first_member(char *object) {
    return object[1] == '}' ? NULL : object + 1;
}

static struct contents survey(const struct body *body, const struct shape *shape, char *object) {
    struct contents contents = {0};
    struct member member;
    for (char *at = first_member(object); at;) {
        at = next_member(body, at, &member);
        enum known_member which = recognise(shape, member.name);
        if (which == KNOWN_COUNT) {
            contents.unknown++;
            continue;
        }
        contents.known++;
        contents.which = which;
        contents.member = member;
    }
    return contents;
}

/* The members that `shape` does not know, in their order, which is that of the canonical form. */
static bool collect_parameters(struct body *body, const struct shape *shape, char *object) {
    struct member member;
    buffer_append_char(&body->further, '{');
    for (char *at = first_member(object); at;) {
        at = next_member(body, at, &member);
        if (recognise(shape, member.name) != KNOWN_COUNT)
            continue;
        if (body->further.length > 1)
            buffer_append_char(&body->further, ',');
        buffer_append(&body->further, member.start, (size_t)(member.end - member.start));
    }
    buffer_append_char(&body->further, '}');
    body->parameters = buffer_bytes(&body->further);
    return !body->further.failed;
}

/* The string in [value, end), its escapes undone in place. */
static enum body_status take_string(struct body *body, const struct shape *shape, char *value,
                                    const char *end, struct bytes *string) {
    if (*value != '"')
        return bad_shape(body, "must be a string");
    size_t length = json_string_unescape(value + 1, (size_t)(end - value) - 2);
    if (length == 0 && !shape->empty_allowed)
        return bad_shape(body, "must not be empty");
    *string = (struct bytes){value + 1, length};
    return BODY_OK;
}

static bool make_room(struct body *body, size_t n) {
    if (n < body->capacity_strings)
        return true;
    size_t capacity = body->capacity_strings ? 2 * body->capacity_strings : STRINGS_AT_FIRST;
    struct bytes *strings = reallocarray(body->strings, capacity, sizeof(*strings));
    if (!strings)
        return false;
    body->strings = strings;
    body->capacity_strings = capacity;
    return true;
}

static enum body_status take_strings(struct body *body, const struct shape *shape,
                                     const struct contents *contents, size_t *n) {
    char *value = contents->member.value;
    if (*value != '[')
        return bad_shape(body, "must be an array of strings");
    if (value[1] == ']')
        return bad_shape(body, "must have at least one item");
    *n = 0;
    char *end = value;
    do {
        char *item = end + 1;
        end = value_end(item, contents->member.end);
        if (*n == shape->max_batch)
            return bad_shape(body, "has more items than one request may have");
        if (!make_room(body, *n))
            return BODY_NO_MEMORY;
        enum body_status status = take_string(body, shape, item, end, &body->strings[*n]);
        if (status != BODY_OK) {
            snprintf(body->pointer, sizeof(body->pointer), "%s/%s/%zu", shape->pointer,
                     KNOWN_NAMES[contents->which], *n);
            return status;
        }
        (*n)++;
    } while (*end == ',');
    return BODY_OK;
}

static enum body_status read_shape(struct body *body, const struct shape *shape, char *object);

/* The request to /predict that a purge is about. */
static enum body_status read_request(struct body *body, const struct shape *shape, char *object) {
    const struct shape inner = {.n_known = KNOWN_TEXTS + 1,
                                .empty_allowed = shape->empty_allowed,
                                .max_batch = shape->max_batch,
                                .pointer = "#/request",
                                .detail = PREDICT_DETAIL};
    snprintf(body->pointer, sizeof(body->pointer), "%s", inner.pointer);
    return read_shape(body, &inner, object);
}

static enum body_status take_known(struct body *body, const struct shape *shape,
                                   const struct contents *contents) {
    char *value = contents->member.value;
    const char *end = contents->member.end;
    enum body_status status;
    snprintf(body->pointer, sizeof(body->pointer), "%s/%s", shape->pointer, KNOWN_NAMES[contents->which]);
    switch (contents->which) {
    case KNOWN_TEXT:
        status = take_string(body, shape, value, end, &body->text);
        break;
    case KNOWN_NAMESPACE:
        status = take_string(body, shape, value, end, &body->cache_namespace);
        break;
    case KNOWN_TEXTS:
        status = take_strings(body, shape, contents, &body->n_texts);
        body->texts = body->strings;
        break;
    case KNOWN_KEYS:
        status = take_strings(body, shape, contents, &body->n_keys);
        body->keys = body->strings;
        break;
    default:
        return read_request(body, shape, value);
    }
    if (status == BODY_OK)
        body->pointer[0] = '\0';
    return status;
}

static enum body_status read_shape(struct body *body, const struct shape *shape, char *object) {
    if (object[0] != '{')
        return bad_shape(body, "must be an object");
    struct contents contents = survey(body, shape, object);
    if (contents.known != 1)
        return bad_shape(body, shape->detail);
    if (contents.unknown > 0 && contents.which != KNOWN_TEXT && contents.which != KNOWN_TEXTS)
        return bad_shape(body, "has members that mean nothing here");
    /* Before the strings lose their escapes, in place: after that the object cannot be walked again. */
    if (contents.unknown > 0 && !collect_parameters(body, shape, object))
        return BODY_NO_MEMORY;
    return take_known(body, shape, &contents);
}

static enum body_status read_body(struct body *body, struct bytes json, const struct shape *shape) {
    body_reset(body);
    if (read_plain(json, &body->text))
        return BODY_OK;
    enum body_status status = BODY_OK;
    switch (canonical_append(&body->canonical, json, &body->storage)) {
    case CANONICAL_OK:
        status = read_shape(body, shape, body->storage.data);
        break;
    case CANONICAL_BAD_JSON:
        body->detail = body->canonical.reader.detail;
        status = BODY_BAD_JSON;
        break;
    case CANONICAL_NO_MEMORY:
        status = BODY_NO_MEMORY;
        break;
    }
    if (status != BODY_OK)
        clear_results(body);
    return status;
}

enum body_status body_read_predict(struct body *body, struct bytes json, size_t max_batch) {
    const struct shape shape = {
        .n_known = KNOWN_TEXTS + 1, .max_batch = max_batch, .pointer = "#", .detail = PREDICT_DETAIL};
    return read_body(body, json, &shape);
}

enum body_status body_read_purge(struct body *body, struct bytes json, size_t max_batch) {
    const struct shape shape = {
        .n_known = KNOWN_COUNT,
        .empty_allowed = true,
        .max_batch = max_batch,
        .pointer = "#",
        .detail =
            "must have exactly one of the members \"text\", \"texts\", \"keys\", \"namespace\" and "
            "\"request\""};
    return read_body(body, json, &shape);
}
