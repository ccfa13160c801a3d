/* Takes a request body apart: its text or texts, and its parameters. */
#include "api/body.h"

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

/* The members that an object may hold. */
struct shape {
    unsigned n_known; /* of KNOWN_NAMES, from the first */
    bool empty_allowed;
    const char *pointer; /* to the object, without a member */
    const char *detail;  /* what to say when it is not exactly one of them */
};

#define PURGE_DETAIL                                                                         \
    "must have exactly one of the members \"text\", \"texts\", \"keys\", \"namespace\" and " \
    "\"request\""

static const struct shape SHAPES[] = {
    [BODY_PREDICT] = {.n_known = KNOWN_TEXTS + 1, .pointer = "#", .detail = PREDICT_DETAIL},
    [BODY_PURGE] = {.n_known = KNOWN_COUNT, .empty_allowed = true, .pointer = "#", .detail = PURGE_DETAIL},
    [BODY_PURGED_REQUEST] = {.n_known = KNOWN_TEXTS + 1,
                             .empty_allowed = true,
                             .pointer = "#/request",
                             .detail = PREDICT_DETAIL},
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
    if (body->phase == BODY_CANONICAL)
        canonical_leave(&body->canonical);
    body->phase = BODY_IDLE;
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

/* ---- any body: its canonical form, then one pass over the members, then the one that counts ---- */

static enum body_status bad_shape(struct body *body, const char *detail) {
    body->detail = detail;
    return BODY_BAD_SHAPE;
}

static const struct shape *shape_of(const struct body *body) {
    return &SHAPES[body->kind];
}

/* The whole of it: no pointer, or the one to a purge's request. */
static enum body_status bad_object(struct body *body, const char *detail) {
    if (body->kind == BODY_PURGED_REQUEST)
        snprintf(body->pointer, sizeof(body->pointer), "%s", shape_of(body)->pointer);
    return bad_shape(body, detail);
}

static const char *storage_end(const struct body *body) {
    return body->storage.data + body->storage.length;
}

/* The canonical form is ours to change. */
static char *writable(const struct body *body, const char *at) {
    return body->storage.data + (at - body->storage.data);
}

/* KNOWN_COUNT: not one of those that `shape` knows. */
static enum known_member recognise(const struct shape *shape, struct bytes name) {
    for (unsigned i = 0; i < shape->n_known; i++)
        if (bytes_equal(name, bytes_of(KNOWN_NAMES[i])))
            return (enum known_member)i;
    return KNOWN_COUNT;
}

/* The member at `at` begins. */
static void begin_member(struct body *body, char *at) {
    body->member = at;
    body->value = NULL;
    json_skip_begin(&body->skip, at);
}

/* At an object in canonical form. */
static enum body_status begin_survey(struct body *body, char *object) {
    if (*object != '{')
        return bad_object(body, "must be an object");
    body->n_known = 0;
    body->known = NULL;
    body->phase = BODY_SURVEY;
    begin_member(body, object + 1);
    return BODY_MORE;
}

/* Keeps a member that is a parameter: in their order, which is that of the canonical form. */
static void keep_parameter(struct body *body, const char *end) {
    buffer_append_char(&body->further, body->further.length == 0 ? '{' : ',');
    buffer_append(&body->further, body->member, (size_t)(end - body->member));
}

/* The member was skipped. */
static void note_member(struct body *body) {
    struct bytes name = {body->member + 1, (size_t)(body->value - body->member) - 3};
    enum known_member which = recognise(shape_of(body), name);
    if (which == KNOWN_COUNT) {
        keep_parameter(body, body->skip.at);
        return;
    }
    body->n_known++;
    body->which = (unsigned)which;
    body->known = body->value;
}

static enum body_status begin_known(struct body *body);

/* The object is over. */
static enum body_status end_survey(struct body *body) {
    const struct shape *shape = shape_of(body);
    if (body->n_known != 1)
        return bad_object(body, shape->detail);
    bool has_parameters = body->further.length > 0;
    if (has_parameters && body->which != KNOWN_TEXT && body->which != KNOWN_TEXTS)
        return bad_object(body, "has members that mean nothing here");
    if (has_parameters)
        buffer_append_char(&body->further, '}');
    if (body->further.failed)
        return BODY_NO_MEMORY;
    if (has_parameters)
        body->parameters = buffer_bytes(&body->further);
    return begin_known(body);
}

/* Skips one member's name or value. */
static enum body_status survey(struct body *body, size_t *budget) {
    if (*body->member == '}')
        return end_survey(body);
    if (!json_skip_go_on(&body->skip, storage_end(body), budget))
        return BODY_MORE;
    if (!body->value) {
        body->value = writable(body, body->skip.at) + 1;
        json_skip_begin(&body->skip, body->value);
        return BODY_MORE;
    }
    note_member(body);
    char *end = writable(body, body->skip.at);
    if (*end == '}')
        return end_survey(body);
    begin_member(body, end + 1);
    return BODY_MORE;
}

/* ---- the member that counts ---- */

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

static enum body_status bad_member(struct body *body, const char *detail) {
    snprintf(body->pointer, sizeof(body->pointer), "%s/%s", shape_of(body)->pointer,
             KNOWN_NAMES[body->which]);
    return bad_shape(body, detail);
}

/* The member itself, or an item of it. */
static enum body_status bad_string(struct body *body, const char *detail) {
    if (body->which == KNOWN_TEXT || body->which == KNOWN_NAMESPACE)
        return bad_member(body, detail);
    snprintf(body->pointer, sizeof(body->pointer), "%s/%s/%zu", shape_of(body)->pointer,
             KNOWN_NAMES[body->which], body->n_strings);
    return bad_shape(body, detail);
}

/* The string that begins at `value`: first to its end, then its escapes. */
static enum body_status begin_string(struct body *body, char *value) {
    if (*value != '"')
        return bad_string(body, "must be a string");
    body->value = value;
    body->phase = BODY_SKIPS_STRING;
    json_skip_begin(&body->skip, value);
    return BODY_MORE;
}

/* The next item of the array begins at `item`. */
static enum body_status begin_item(struct body *body, char *item) {
    if (body->n_strings == body->max_batch)
        return bad_member(body, "has more items than one request may have");
    return make_room(body, body->n_strings) ? begin_string(body, item) : BODY_NO_MEMORY;
}

static enum body_status begin_known(struct body *body) {
    char *value = body->known;
    body->n_strings = 0;
    switch ((enum known_member)body->which) {
    case KNOWN_TEXT:
    case KNOWN_NAMESPACE:
        return begin_string(body, value);
    case KNOWN_TEXTS:
    case KNOWN_KEYS:
        if (*value != '[')
            return bad_member(body, "must be an array of strings");
        if (value[1] == ']')
            return bad_member(body, "must have at least one item");
        return begin_item(body, value + 1);
    default:
        body->kind = BODY_PURGED_REQUEST;
        return begin_survey(body, value);
    }
}

static enum body_status end_reading(struct body *body) {
    body->phase = BODY_IDLE;
    if (body->which == KNOWN_TEXTS) {
        body->texts = body->strings;
        body->n_texts = body->n_strings;
    } else if (body->which == KNOWN_KEYS) {
        body->keys = body->strings;
        body->n_keys = body->n_strings;
    }
    return BODY_OK;
}

/* A string has lost its escapes. */
static enum body_status end_string(struct body *body) {
    struct bytes string = {body->value + 1, (size_t)(body->to - body->value) - 1};
    if (string.length == 0 && !shape_of(body)->empty_allowed)
        return bad_string(body, "must not be empty");
    if (body->which == KNOWN_TEXT || body->which == KNOWN_NAMESPACE) {
        *(body->which == KNOWN_TEXT ? &body->text : &body->cache_namespace) = string;
        return end_reading(body);
    }
    body->strings[body->n_strings++] = string;
    char *end = writable(body, body->skip.at);
    return *end == ',' ? begin_item(body, end + 1) : end_reading(body);
}

static enum body_status unescape(struct body *body, size_t *budget) {
    if (!json_unescape_go_on(&body->to, &body->from, body->skip.at - 1, budget))
        return BODY_MORE;
    return end_string(body);
}

static enum body_status skip_string(struct body *body, size_t *budget) {
    if (!json_skip_go_on(&body->skip, storage_end(body), budget))
        return BODY_MORE;
    body->to = body->value + 1;
    body->from = body->to;
    body->phase = BODY_UNESCAPES;
    return unescape(body, budget);
}

/* ---- a body ---- */

static enum body_status write_canonical(struct body *body, size_t *budget) {
    switch (canonical_go_on(&body->canonical, budget)) {
    case CANONICAL_MORE:
        return BODY_MORE;
    case CANONICAL_OK:
        return begin_survey(body, body->storage.data);
    case CANONICAL_BAD_JSON:
        body->detail = body->canonical.reader.detail;
        return BODY_BAD_JSON;
    case CANONICAL_NO_MEMORY:
        break;
    }
    return BODY_NO_MEMORY;
}

static enum body_status step(struct body *body, size_t *budget) {
    switch (body->phase) {
    case BODY_CANONICAL:
        return write_canonical(body, budget);
    case BODY_SURVEY:
        return survey(body, budget);
    case BODY_SKIPS_STRING:
        return skip_string(body, budget);
    case BODY_UNESCAPES:
        return unescape(body, budget);
    case BODY_IDLE:
        break;
    }
    return BODY_NO_MEMORY;
}

bool body_begin(struct body *body, enum body_kind kind, struct bytes json, size_t max_batch) {
    body_reset(body);
    body->kind = kind;
    body->max_batch = max_batch;
    body->phase = BODY_CANONICAL;
    return canonical_begin(&body->canonical, json, &body->storage);
}

enum body_status body_go_on(struct body *body, size_t *budget) {
    enum body_status status = BODY_MORE;
    while (status == BODY_MORE && *budget > 0)
        status = step(body, budget);
    if (status != BODY_OK && status != BODY_MORE) {
        body->phase = BODY_IDLE;
        clear_results(body);
    }
    return status;
}

enum body_status body_read(struct body *body, enum body_kind kind, struct bytes json, size_t max_batch) {
    size_t budget = SIZE_MAX;
    struct bytes text;
    if (read_plain(json, &text)) {
        body_reset(body);
        body->text = text;
        return BODY_OK;
    }
    if (!body_begin(body, kind, json, max_batch))
        return BODY_NO_MEMORY;
    return body_go_on(body, &budget);
}

void body_problem(struct exchange *exchange, enum body_status status, const struct body *body) {
    switch (status) {
    case BODY_BAD_JSON:
        exchange_problem(exchange, PROBLEM_BAD_JSON, body->detail, NULL);
        return;
    case BODY_BAD_SHAPE:
        exchange_problem(exchange, PROBLEM_BAD_SHAPE, body->detail, body->pointer[0] ? body->pointer : NULL);
        return;
    case BODY_OK:
    case BODY_MORE:
    case BODY_NO_MEMORY:
        exchange_problem(exchange, PROBLEM_INTERNAL, "no memory for the request", NULL);
        return;
    }
}
