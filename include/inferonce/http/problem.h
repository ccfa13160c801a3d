/* Errors as application/problem+json (RFC 9457): one table, a row a problem. `type` is a URN, because there
 * is no page of ours to look up; `title` names the problem and `detail` says what to do. */
#ifndef INFERONCE_HTTP_PROBLEM_H
#define INFERONCE_HTTP_PROBLEM_H

#include "inferonce/base/buffer.h"
#include "inferonce/http/response.h"

/* X(NAME, status, type, title). The types are "urn:inferonce:problem:<type>". */
#define PROBLEMS(X)                                                                                          \
    X(BAD_JSON, 400, "bad-json", "The body is not acceptable JSON")                                          \
    X(BAD_REQUEST, 400, "bad-request", "The request is malformed")                                           \
    X(UNAUTHORIZED, 401, "unauthorized", "A valid bearer token is required")                                 \
    X(FORBIDDEN, 403, "forbidden", "Only clients on this machine may do this")                               \
    X(NOT_FOUND, 404, "not-found", "There is nothing at this path")                                          \
    X(NO_ENTRY, 404, "no-entry", "There is no entry with this key")                                          \
    X(METHOD_NOT_ALLOWED, 405, "method-not-allowed", "The path does not have this method")                   \
    X(TOO_LARGE, 413, "too-large", "The body is too large")                                                  \
    X(UNSUPPORTED_TYPE, 415, "unsupported-type", "The body must be application/json")                        \
    X(UNSUPPORTED_ENCODING, 415, "unsupported-encoding", "The body must not be encoded")                     \
    X(BAD_SHAPE, 422, "bad-shape", "The JSON does not have the expected shape")                              \
    X(INTERNAL, 500, "internal", "The request could not be answered")                                        \
    X(METHOD_UNKNOWN, 501, "method-unknown", "The method is not known")                                      \
    X(UPSTREAM_FAILED, 502, "upstream-failed", "The model failed")                                           \
    X(OVERLOADED, 503, "overloaded", "Too much is waiting already")                                          \
    X(DRAINING, 503, "draining", "This server is stopping")                                                  \
    X(TIMEOUT, 504, "timeout", "The model did not answer in time")                                           \
    X(ONLY_IF_CACHED, 504, "only-if-cached", "Nothing usable is stored and the request allows nothing else") \
    X(REJECTED, 400, "rejected", "The model rejected the request")

#define PROBLEM_TEXT_MAX 512

enum problem {
#define PROBLEMS_ENUM(name, status, type, title) PROBLEM_##name,
    PROBLEMS(PROBLEMS_ENUM)
#undef PROBLEMS_ENUM
        PROBLEMS_COUNT
};

int problem_status(enum problem problem);

/* Appends the JSON object. `status` 0: the table's; REJECTED carries the model's own. `detail` may be NULL.
 * `pointer` (a JSON pointer as "#/text") may be NULL or empty; else the object has `errors: [{"detail",
 * "pointer"}]`. Of both, bytes that are not UTF-8 become '?' and what is behind PROBLEM_TEXT_MAX bytes is
 * cut, so that it is JSON whatever a model said. */
void problem_append(struct buffer *buffer, enum problem problem, int status, const char *detail,
                    const char *pointer);

/* Makes `response` the problem: starts it and fills response->body. The caller may add fields before it is
 * sent. */
void problem_respond(struct response *response, enum problem problem, int status, const char *detail,
                     const char *pointer);

#endif
