/* A response in the making: header lines in one pooled buffer, the body as parts behind it. */
#ifndef INFERONCE_HTTP_RESPONSE_H
#define INFERONCE_HTTP_RESPONSE_H

#include <stdint.h>

#include "inferonce/base/buffer.h"

struct response {
    int status;         /* 0: not started */
    struct buffer head; /* "Status: 200 OK\r\n" and the fields so far, without the blank line */
    struct buffer body; /* for handlers that build a body; others hand pieces to exchange_send_pieces */
};

/* nginx answers 502 when a header is over its fastcgi_buffer_size, which is 8 KB and holds the FastCGI
 * record's own header too. */
#define RESPONSE_HEAD_MAX 8000u
#define RESPONSE_BODY_MAX (64u * 1024 * 1024)

void response_init(struct response *response);
void response_fini(struct response *response);

/* Empties it. Memory above `keep` bytes a buffer is given back. */
void response_reset(struct response *response, size_t keep);

/* Starts anew, dropping what was in head and body. `content_type` may be NULL: no such field. */
void response_start(struct response *response, int status, const char *content_type);

/* A name is a literal of ours. A value with a CR, LF or NUL is our bug. */
void response_header(struct response *response, const char *name, struct bytes value);
void response_header_text(struct response *response, const char *name, const char *value);
void response_header_number(struct response *response, const char *name, uint64_t value);

/* "OK" for 200; empty for a status that has no row in the table. */
const char *response_reason(int status);

/* Content-Length and the blank line. The header is then complete and `head` can be sent, unless head.failed:
 * it passed RESPONSE_HEAD_MAX, or there was no memory. 204 and 304 have no Content-Length. */
void response_finish(struct response *response, uint64_t content_length);

#endif
