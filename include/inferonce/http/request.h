/* A request as HTTP, read out of the FastCGI parameters (RFC 3875 names).
 *
 * All bytes are borrowed from the FastCGI request. A parameter that stands several times is one field with
 * several lines: Cache-Control, Pragma and Content-Encoding are merged line by line, Accept and If-None-Match
 * keep their lines; two X-Cache-TTL, X-Cache-Namespace or Host are malformed, as they are when a server joins
 * them ("a, b"); of the others the first counts. HTTP_PROXY,
 * HTTP_CONTENT_LENGTH and HTTP_CONTENT_TYPE come from request headers of these names and are never looked
 * at. */
#ifndef INFERONCE_HTTP_REQUEST_H
#define INFERONCE_HTTP_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "inferonce/base/buffer.h"
#include "inferonce/fastcgi/connection.h"
#include "inferonce/http/cache_control.h"

/* Those that some route has, and those that are known but no route has (405 rather than 501). */
#define METHODS(X) X(GET) X(HEAD) X(POST) X(QUERY) X(DELETE) X(OPTIONS) X(PUT) X(PATCH) X(TRACE) X(CONNECT)

enum method {
#define METHODS_ENUM(name) METHOD_##name,
    METHODS(METHODS_ENUM)
#undef METHODS_ENUM
        METHOD_UNKNOWN,
    METHODS_COUNT = METHOD_UNKNOWN
};

/* "GET" for METHOD_GET, "unknown" for METHOD_UNKNOWN. */
const char *method_name(enum method method);

/* The lines of a field that is a list, in their order. A client that sends more than these means no good:
 * the further ones are not looked at. */
#define FIELD_LINES_MAX 8

struct field_lines {
    struct bytes lines[FIELD_LINES_MAX];
    size_t n; /* 0: the field was not sent */
};

struct request {
    enum method method;
    /* DOCUMENT_URI; else SCRIPT_NAME or PATH_INFO where the other is empty; else REQUEST_URI up to '?' */
    struct bytes path;
    struct bytes query; /* without the '?' */
    struct bytes body;
    bool body_too_large;   /* 413 */
    bool body_goes_on;     /* `body` is the beginning of it (fastcgi/connection.h) */
    bool body_truncated;   /* CONTENT_LENGTH is there and not the length that arrived: 400 */
    bool fields_too_large; /* 431: no parameter is known */
    struct bytes content_type;
    bool body_encoded; /* a Content-Encoding other than identity: 415 */
    struct field_lines accept;
    struct bytes authorization;
    struct field_lines if_none_match;
    struct bytes remote_addr;
    struct bytes host;
    bool forwarded; /* Forwarded, X-Forwarded-For, X-Real-IP or Via: a proxy asks for somebody else */
    struct bytes cache_namespace; /* X-Cache-Namespace; data NULL: not given */
    struct bytes cache_ttl;       /* X-Cache-TTL; data NULL: not given */
    struct bytes traceparent;
    struct bytes tracestate;
    struct cache_control cache_control; /* with Pragma applied */
};

/* Fields that were not sent have data NULL. */
void request_read(struct request *request, const struct fastcgi_request *transport);

/* Whether a Content-Type is JSON: application/json, text/json, or any type whose subtype ends in +json, with
 * any parameters; a charset other than utf-8 (or utf8, as many write it) is not. */
bool request_content_type_is_json(struct bytes content_type);

/* Whether a Content-Type is lines of JSON: application/x-ndjson, application/jsonl or
 * application/x-jsonlines, with parameters as above. */
bool request_content_type_is_json_lines(struct bytes content_type);

/* Whether a line of If-None-Match matches the entity tag `etag` (weak or strong, with its quotes), by weak
 * comparison; `*` matches (RFC 9110 section 13.1.2). */
bool request_none_match(const struct field_lines *if_none_match, struct bytes etag);

/* Whether an Authorization field's value gives `token`: as a bearer token (RFC 6750 section 2.1), the scheme
 * in any case. How long the comparison takes tells whether the length is right, not where the token differs.
 */
bool request_bears_token(struct bytes authorization, struct bytes token);

/* REMOTE_ADDR as a string, for the log; cut off if it is longer than an address can be. */
#define REQUEST_REMOTE_MAX 64
void request_remote(const struct request *request, char text[REQUEST_REMOTE_MAX]);

/* A hash of who asks, by `address` (REMOTE_ADDR): an IPv4 address, or the first 64 bits of an IPv6 address,
 * all of which one client has. 0: it is missing or no address; those are one client. */
uint64_t request_client(struct bytes address);

/* Whether `address` (REMOTE_ADDR) is a loopback address: 127.0.0.0/8, ::1, and IPv4-mapped
 * ::ffff:127.0.0.0/104. */
bool request_is_loopback(struct bytes address);

/* Whether `host` (the field Host, with or without a port) names this machine whatever a name server says:
 * localhost, a name that ends in .localhost (RFC 6761), or a loopback address. */
bool request_host_is_loopback(struct bytes host);

#endif
