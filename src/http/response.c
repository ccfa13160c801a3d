/* Writes status and header fields. */
#include "inferonce/http/response.h"

/* X(status, reason): what we send ourselves, and what of a model's answers is relayed. Reasons: RFC 9110
 * section 15, RFC 6585. */
#define STATUSES(X)                           \
    X(200, "OK")                              \
    X(202, "Accepted")                        \
    X(204, "No Content")                      \
    X(304, "Not Modified")                    \
    X(400, "Bad Request")                     \
    X(401, "Unauthorized")                    \
    X(402, "Payment Required")                \
    X(403, "Forbidden")                       \
    X(404, "Not Found")                       \
    X(405, "Method Not Allowed")              \
    X(413, "Content Too Large")               \
    X(415, "Unsupported Media Type")          \
    X(422, "Unprocessable Content")           \
    X(429, "Too Many Requests")               \
    X(431, "Request Header Fields Too Large") \
    X(500, "Internal Server Error")           \
    X(501, "Not Implemented")                 \
    X(502, "Bad Gateway")                     \
    X(503, "Service Unavailable")             \
    X(504, "Gateway Timeout")

void response_init(struct response *response) {
    response->status = 0;
    buffer_init(&response->head, RESPONSE_HEAD_MAX);
    buffer_init(&response->body, RESPONSE_BODY_MAX);
}

void response_fini(struct response *response) {
    buffer_fini(&response->head);
    buffer_fini(&response->body);
}

void response_reset(struct response *response, size_t keep) {
    response->status = 0;
    buffer_reset(&response->head, keep);
    buffer_reset(&response->body, keep);
}

const char *response_reason(int status) {
    switch (status) {
#define STATUS_REASON(code, reason) \
    case code:                      \
        return reason;
        STATUSES(STATUS_REASON)
#undef STATUS_REASON
    default:
        return "";
    }
}

static void append_status_line(struct buffer *head, int status) {
    switch (status) {
#define STATUS_LINE(code, reason)                                 \
    case code:                                                    \
        APPEND_LITERAL(head, "Status: " #code " " reason "\r\n"); \
        return;
        STATUSES(STATUS_LINE)
#undef STATUS_LINE
    default:
        APPEND_LITERAL(head, "Status: ");
        buffer_append_number(head, (uint64_t)status);
        APPEND_LITERAL(head, " \r\n");
    }
}

void response_start(struct response *response, int status, const char *content_type) {
    INVARIANT(status >= 200 && status <= 599);
    response_reset(response, RESPONSE_BODY_MAX);
    response->status = status;
    append_status_line(&response->head, status);
    if (content_type)
        response_header_text(response, "Content-Type", content_type);
}

static bool is_one_line(struct bytes value) {
    return value.length == 0 ||
           (memchr(value.data, '\r', value.length) == NULL &&
            memchr(value.data, '\n', value.length) == NULL && memchr(value.data, '\0', value.length) == NULL);
}

void response_header(struct response *response, const char *name, struct bytes value) {
    struct buffer *head = &response->head;
    size_t name_length = strlen(name);
    size_t length = name_length + 2 + value.length + 2;
    INVARIANT(response->status != 0 && is_one_line(value));
    char *at = buffer_reserve(head, length);
    if (!at)
        return;
    memcpy(at, name, name_length);
    at += name_length;
    memcpy(at, ": ", 2);
    at += 2;
    if (value.length > 0)
        memcpy(at, value.data, value.length);
    memcpy(at + value.length, "\r\n", 2);
    head->length += length;
}

void response_header_text(struct response *response, const char *name, const char *value) {
    response_header(response, name, bytes_of(value));
}

void response_header_number(struct response *response, const char *name, uint64_t value) {
    char digits[20]; /* UINT64_MAX has 20 */
    size_t first = sizeof(digits);

    do {
        digits[--first] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    response_header(response, name, (struct bytes){digits + first, sizeof(digits) - first});
}

void response_finish(struct response *response, uint64_t content_length) {
    if (response->status != 204 && response->status != 304)
        response_header_number(response, "Content-Length", content_length);
    APPEND_LITERAL(&response->head, "\r\n");
}
