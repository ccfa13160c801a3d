/* Errors as application/problem+json (RFC 9457): one table, a row a problem. `type` is a URN, because there
 * is no page of ours to look up; `title` names the problem and `detail` says what to do. */
#ifndef INFERONCE_HTTP_PROBLEM_H
#define INFERONCE_HTTP_PROBLEM_H

#include "inferonce/base/buffer.h"
#include "inferonce/http/response.h"

/* X(NAME, status, type, title, detail). The types are "urn:inferonce:problem:<type>"; the detail is for when
 * the caller has no better one. */
#define PROBLEMS(X)                                                                                          \
    X(BAD_JSON, 400, "bad-json", "The body is not acceptable JSON",                                          \
      "Send one JSON value in UTF-8, without duplicate members")                                             \
    X(BAD_REQUEST, 400, "bad-request", "The request is malformed",                                           \
      "See /openapi.json for what the request may look like")                                                \
    X(UNAUTHORIZED, 401, "unauthorized", "A valid bearer token is required",                                 \
      "Send Authorization: Bearer with the ADMIN_TOKEN")                                                     \
    X(FORBIDDEN, 403, "forbidden", "Only clients on this machine may do this",                               \
      "Set ADMIN_TOKEN, and send it as a bearer token")                                                      \
    X(NOT_FOUND, 404, "not-found", "There is nothing at this path",                                          \
      "See /openapi.json for the paths there are")                                                           \
    X(NO_ENTRY, 404, "no-entry", "There is no entry with this key",                                          \
      "It was never stored, its time is over, or it belongs to another namespace")                           \
    X(METHOD_NOT_ALLOWED, 405, "method-not-allowed", "The path does not have this method",                   \
      "The Allow field names the methods that it has")                                                       \
    X(TOO_LARGE, 413, "too-large", "The body is too large", "The limit is the setting MAX_BODY_KB")          \
    X(FIELDS_TOO_LARGE, 431, "fields-too-large", "The header fields are too large",                          \
      "All header fields together may have 64 KB")                                                           \
    X(UNSUPPORTED_TYPE, 415, "unsupported-type", "The body must be application/json",                        \
      "Send Content-Type: application/json")                                                                 \
    X(NOT_JSON_LINES, 415, "unsupported-type", "The body must be application/x-ndjson",                      \
      "Send Content-Type: application/x-ndjson")                                                             \
    X(UNSUPPORTED_ENCODING, 415, "unsupported-encoding", "The body must not be encoded",                     \
      "Send the body without a Content-Encoding")                                                            \
    X(BAD_SHAPE, 422, "bad-shape", "The JSON does not have the expected shape",                              \
      "See /openapi.json for the members that it takes")                                                     \
    X(RATE_LIMITED, 429, "rate-limited", "The model limits how often this credential may ask",               \
      "Try again after the time that Retry-After gives")                                                     \
    X(INTERNAL, 500, "internal", "The request could not be answered",                                        \
      "Try again; the log of the server says more")                                                          \
    X(METHOD_UNKNOWN, 501, "method-unknown", "The method is not known",                                      \
      "See /openapi.json for the methods there are")                                                         \
    X(NOT_THIS_STORE, 501, "not-this-store", "This store cannot tell what it holds",                         \
      "Entries can be exported and imported with CACHE_BACKEND=memory")                                      \
    X(UPSTREAM_FAILED, 502, "upstream-failed", "The model failed", "Nothing was stored; try again")          \
    X(OVERLOADED, 503, "overloaded", "Too much is waiting already",                                          \
      "Try again after the time that Retry-After gives")                                                     \
    X(MODEL_DOWN, 503, "model-down", "The model cannot be reached",                                          \
      "Try again after the time that Retry-After gives")                                                     \
    X(SHORT, 503, "short-of-resources", "This server lacks descriptors or memory",                           \
      "Try again after the time that Retry-After gives; the log of the server says more")                    \
    X(CACHE_AWAY, 503, "cache-away", "The cache servers cannot be told",                                     \
      "Too many invalidations wait for a cache server to return; try again then")                            \
    X(DRAINING, 503, "draining", "This server is stopping",                                                  \
      "Another server, or this one after a restart, can answer")                                             \
    X(TIMEOUT, 504, "timeout", "The model did not answer in time", "Nothing was stored; try again")          \
    X(ONLY_IF_CACHED, 504, "only-if-cached", "Nothing usable is stored and the request allows nothing else", \
      "Ask without only-if-cached to have it inferred")                                                      \
    X(REJECTED, 400, "rejected", "The model rejected the request", "The same request will be rejected again")

#define PROBLEM_TEXT_MAX 512

enum problem {
#define PROBLEMS_ENUM(name, status, type, title, detail) PROBLEM_##name,
    PROBLEMS(PROBLEMS_ENUM)
#undef PROBLEMS_ENUM
        PROBLEMS_COUNT
};

int problem_status(enum problem problem);

/* Appends the JSON object. `status` 0: the table's; REJECTED carries the model's own. `detail` NULL: the
 * table's. `pointer` (a JSON pointer as "#/text") may be NULL or empty; else the object has `errors:
 * [{"detail", "pointer"}]`. Of both, bytes that are not UTF-8 become '?' and what is behind PROBLEM_TEXT_MAX
 * bytes is cut, so that it is JSON whatever a model said. */
void problem_append(struct buffer *buffer, enum problem problem, int status, const char *detail,
                    const char *pointer);

/* Makes `response` the problem: starts it and fills response->body. The caller may add fields before it is
 * sent. */
void problem_respond(struct response *response, enum problem problem, int status, const char *detail,
                     const char *pointer);

#endif
