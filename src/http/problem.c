/* Writes problems (RFC 9457). */
#include "inferonce/http/problem.h"

#include "inferonce/base/utf8.h"

static const struct description {
    int status;
    struct bytes members; /* "type" and "title", which need no escapes, ready to be copied */
    const char *detail;
} DESCRIPTIONS[PROBLEMS_COUNT] = {
#define MEMBERS(type, title) "\"type\":\"urn:inferonce:problem:" type "\",\"title\":\"" title "\""
#define PROBLEMS_DESCRIPTION(name, status, type, title, detail) \
    [PROBLEM_##name] = {(status), {MEMBERS(type, title), sizeof(MEMBERS(type, title)) - 1}, (detail)},
    PROBLEMS(PROBLEMS_DESCRIPTION)
#undef PROBLEMS_DESCRIPTION
#undef MEMBERS
};

int problem_status(enum problem problem) {
    return DESCRIPTIONS[problem].status;
}

/* A model's words can be anything; JSON is UTF-8. */
static void append_text(struct buffer *buffer, const char *text) {
    char clean[PROBLEM_TEXT_MAX];
    struct bytes rest = bytes_of(text);
    size_t length = 0;
    while (rest.length > 0) {
        size_t step = utf8_step(rest);
        size_t taken = step > 0 ? step : 1;
        if (taken > sizeof(clean) - length)
            break;
        memcpy(clean + length, step > 0 ? rest.data : "?", taken);
        length += taken;
        rest = (struct bytes){rest.data + taken, rest.length - taken};
    }
    buffer_append_json(buffer, (struct bytes){clean, length});
}

void problem_append(struct buffer *buffer, enum problem problem, int status, const char *detail,
                    const char *pointer) {
    const struct description *description = &DESCRIPTIONS[problem];
    APPEND_LITERAL(buffer, "{");
    buffer_append_bytes(buffer, description->members);
    APPEND_LITERAL(buffer, ",\"status\":");
    buffer_append_number(buffer, (uint64_t)(status != 0 ? status : description->status));
    if (!detail)
        detail = description->detail;
    APPEND_LITERAL(buffer, ",\"detail\":");
    append_text(buffer, detail);
    if (pointer && pointer[0] != '\0') {
        APPEND_LITERAL(buffer, ",\"errors\":[{\"detail\":");
        append_text(buffer, detail);
        APPEND_LITERAL(buffer, ",\"pointer\":");
        append_text(buffer, pointer);
        APPEND_LITERAL(buffer, "}]");
    }
    APPEND_LITERAL(buffer, "}");
}

void problem_respond(struct response *response, enum problem problem, int status, const char *detail,
                     const char *pointer) {
    if (status == 0)
        status = problem_status(problem);
    response_start(response, status, "application/problem+json");
    problem_append(&response->body, problem, status, detail, pointer);
}
