/* Reads one line of an export. */
#include "api/transfer_line.h"

#include "api/body.h"
#include "inferonce/api/api.h"
#include "inferonce/base/json_string.h"

/* Room for both names of the model, whose escapes go. */
#define NAMES_MAX (2 * 6 * ENTRY_NAME_MAX)

#define MEMBERS(X)                     \
    X(key)                             \
    X(namespace)                       \
    X(created_us)                      \
    X(fresh_until_us)                  \
    X(body)                            \
    X(stale_while_revalidate_until_us) \
    X(stale_if_error_until_us)         \
    X(inference_us)                    \
    X(model)                           \
    X(end)                             \
    X(entries)

enum member {
#define MEMBERS_ENUM(name) MEMBER_##name,
    MEMBERS(MEMBERS_ENUM)
#undef MEMBERS_ENUM
        MEMBERS_COUNT,
    MEMBER_OTHER = MEMBERS_COUNT
};

static const char *const NAMES[MEMBERS_COUNT] = {
#define MEMBERS_NAME(name) #name,
    MEMBERS(MEMBERS_NAME)
#undef MEMBERS_NAME
};

#define BIT(member) (1u << (member))

/* Without these a line is no entry. */
#define NEEDED                                                                                       \
    (BIT(MEMBER_key) | BIT(MEMBER_namespace) | BIT(MEMBER_created_us) | BIT(MEMBER_fresh_until_us) | \
     BIT(MEMBER_body))

enum within { WITHIN_NAME, WITHIN_VERSION, WITHIN_OTHER };

void transfer_line_init(struct transfer_line *line) {
    *line = (struct transfer_line){.detail = NULL};
    json_reader_init(&line->reader, BODY_DEPTH_MAX, SIZE_MAX);
    buffer_init(&line->names, NAMES_MAX);
}

void transfer_line_fini(struct transfer_line *line) {
    json_reader_end(&line->reader);
    json_reader_fini(&line->reader);
    buffer_fini(&line->names);
}

void transfer_line_begin(struct transfer_line *line, struct bytes text) {
    json_reader_end(&line->reader);
    json_reader_begin(&line->reader, text);
    buffer_reset(&line->names, NAMES_MAX);
    line->entry = (struct entry){.created_us = 0};
    line->entries = 0;
    line->detail = NULL;
    line->depth = line->has = 0;
    line->member = MEMBER_OTHER;
    line->end = false;
}

static enum transfer_line_status bad(struct transfer_line *line, const char *detail) {
    line->detail = detail;
    return TRANSFER_BAD;
}

/* A string token without its quotes. */
static struct bytes inside(struct bytes text) {
    return (struct bytes){text.data + 1, text.length - 2};
}

static unsigned member_of(struct bytes name) {
    unsigned member = 0;
    while (member < MEMBERS_COUNT && !bytes_equal(name, bytes_of(NAMES[member])))
        member++;
    return member;
}

static bool take_name(struct transfer_line *line, struct bytes text, struct bytes *name) {
    struct buffer *names = &line->names;
    char *to =
        buffer_reserve(names, NAMES_MAX - names->length); /* all at once: the first name stays in place */
    if (!to || text.length > NAMES_MAX / 2) {
        line->detail = "a name of the model is too long";
        return false;
    }
    memcpy(to, text.data, text.length);
    *name = (struct bytes){to, json_string_unescape(to, text.length)};
    names->length += text.length;
    return true;
}

static uint64_t *number_of(struct transfer_line *line) {
    struct entry *entry = &line->entry;
    switch ((enum member)line->member) {
    case MEMBER_created_us:
        return &entry->created_us;
    case MEMBER_fresh_until_us:
        return &entry->fresh_until_us;
    case MEMBER_stale_while_revalidate_until_us:
        return &entry->stale_while_revalidate_until_us;
    case MEMBER_stale_if_error_until_us:
        return &entry->stale_if_error_until_us;
    case MEMBER_inference_us:
        return &entry->inference_us;
    case MEMBER_entries:
        return &line->entries;
    default:
        return NULL;
    }
}

/* A string or a plain value of the line itself. False: it is none that the member may have. */
static bool take_value(struct transfer_line *line, enum json_token token) {
    const struct json_reader *reader = &line->reader;
    struct bytes text = token == JSON_TOKEN_STRING ? inside(reader->text) : reader->text;
    uint64_t *number = number_of(line);
    if (line->member == MEMBER_OTHER || line->member == MEMBER_body)
        return true;
    if (number)
        line->detail = token == JSON_TOKEN_PLAIN && bytes_to_number(text, number)
                           ? NULL
                           : "a time or number is not a whole number";
    else if (line->member == MEMBER_end)
        line->end = bytes_equal(text, LITERAL("true"));
    else if (line->member == MEMBER_key)
        line->detail = key_from_hex(text, &line->entry.key) ? NULL : "a key is 64 hex digits";
    else if (line->member == MEMBER_namespace && token == JSON_TOKEN_STRING && api_namespace_is_valid(text))
        line->entry.cache_namespace = text;
    else
        line->detail = line->member == MEMBER_namespace
                           ? "a namespace is 1 to 64 characters of A-Z a-z 0-9 . _ -"
                           : "the model is an object with name and version";
    return line->detail == NULL;
}

/* A value within the member "model". */
static bool take_of_model(struct transfer_line *line, enum json_token token) {
    if (token != JSON_TOKEN_STRING || line->within == WITHIN_OTHER)
        return true;
    struct bytes *name = line->within == WITHIN_NAME ? &line->entry.model_name : &line->entry.model_version;
    return take_name(line, inside(line->reader.text), name);
}

static void take_member(struct transfer_line *line, struct bytes name) {
    if (line->depth == 1) {
        line->member = member_of(name);
        line->has |= line->member < MEMBERS_COUNT ? BIT(line->member) : 0;
    } else if (line->depth == 2 && line->member == MEMBER_model) {
        line->within = bytes_equal(name, LITERAL("name"))      ? WITHIN_NAME
                       : bytes_equal(name, LITERAL("version")) ? WITHIN_VERSION
                                                               : WITHIN_OTHER;
    }
}

/* A value has ended: the body is taken as it is written. */
static void end_value(struct transfer_line *line) {
    struct bytes text = line->reader.text;
    if (line->depth == 1 && line->member == MEMBER_body)
        line->entry.body = (struct bytes){line->body, (size_t)(text.data + text.length - line->body)};
}

static bool open_container(struct transfer_line *line, enum json_token token) {
    bool allowed = line->depth == 0 ? token == JSON_TOKEN_OBJECT
                                    : line->depth > 1 || line->member == MEMBER_OTHER ||
                                          line->member == MEMBER_body || line->member == MEMBER_model;
    if (!allowed)
        line->detail = line->depth == 0 ? "a line is an object" : "a member is an object or array";
    line->depth++;
    return allowed;
}

/* False: the line is bad, and `detail` says why. */
static bool take(struct transfer_line *line, enum json_token token) {
    if (line->depth == 1 && token != JSON_TOKEN_NAME && token != JSON_TOKEN_OBJECT_END)
        line->body = line->reader.text.data;
    switch (token) {
    case JSON_TOKEN_NAME:
        take_member(line, inside(line->reader.text));
        return true;
    case JSON_TOKEN_OBJECT:
    case JSON_TOKEN_ARRAY:
        return open_container(line, token);
    case JSON_TOKEN_OBJECT_END:
    case JSON_TOKEN_ARRAY_END:
        line->depth--;
        end_value(line);
        return true;
    default:
        if (line->depth == 0)
            line->detail = "a line is an object";
        else if (line->depth == 1 && !take_value(line, token))
            return false;
        else if (line->depth == 2 && line->member == MEMBER_model)
            return take_of_model(line, token);
        end_value(line);
        return line->detail == NULL;
    }
}

static uint64_t or_else(uint64_t us, uint64_t otherwise) {
    return us ? us : otherwise;
}

/* The line is whole. */
static enum transfer_line_status judge(struct transfer_line *line, uint64_t now_us) {
    struct entry *entry = &line->entry;
    if (line->end)
        return TRANSFER_END;
    if ((line->has & NEEDED) != NEEDED)
        return bad(line, "key, namespace, created_us, fresh_until_us or body is missing");
    entry->stale_while_revalidate_until_us =
        or_else(entry->stale_while_revalidate_until_us, entry->fresh_until_us);
    entry->stale_if_error_until_us = or_else(entry->stale_if_error_until_us, entry->fresh_until_us);
    if (entry->created_us > now_us + ENTRY_CLOCK_SKEW_US)
        return bad(line, "created_us is in the future");
    if (entry->inference_us > entry->created_us || entry->fresh_until_us < entry->created_us ||
        entry->stale_while_revalidate_until_us < entry->fresh_until_us ||
        entry->stale_if_error_until_us < entry->fresh_until_us)
        return bad(line, "the times contradict each other");
    return TRANSFER_ENTRY;
}

enum transfer_line_status transfer_line_go_on(struct transfer_line *line, uint64_t now_us, size_t *budget) {
    struct json_reader *reader = &line->reader;
    reader->budget = *budget;
    for (;;) {
        enum json_token token = json_next(reader);
        *budget = reader->budget;
        if (token == JSON_TOKEN_MORE)
            return TRANSFER_MORE;
        if (token == JSON_TOKEN_END)
            return judge(line, now_us);
        if (token == JSON_TOKEN_BAD)
            return bad(line, reader->detail);
        if (token == JSON_TOKEN_NO_MEMORY)
            return bad(line, "there is no memory to read it");
        if (!take(line, token))
            return TRANSFER_BAD;
    }
}
