/* One request at a time through libfcgi, in memory: records in, parameters and body out.
 *
 * Made once per connection and used for all its requests. What libfcgi allocates while a request is open is
 * about 17.7 KB, of which 16 are for reading and writing; between requests it holds nothing. The answer does
 * not go through libfcgi, which would copy it (fastcgi/output.h).
 *
 * A failed allocation inside libfcgi is its own assertion and aborts. */
#ifndef INFERONCE_FASTCGI_RESPONDER_H
#define INFERONCE_FASTCGI_RESPONDER_H

#include "inferonce/base/buffer.h"

struct responder;

/* libfcgi must be initialised (FCGX_Init). `spare` is borrowed: memory of a large body waits there for the
 * next one, whichever responder has that. NULL: no memory. Returns owned. */
struct responder *responder_create(struct buffer *spare);

/* Gives up an open request. Nulls the pointer. */
void responder_destroy(struct responder **responder);

/* Has libfcgi read one request, to the end of its STDIN, which has `body_length` bytes. `records` come from
 * the frame scanner and are not needed afterwards. False: libfcgi did not accept them or there is no memory;
 * nothing is open. */
bool responder_take(struct responder *responder, struct bytes records, size_t body_length) MUST_CHECK;

/* Parts of the open request, borrowed until it is dropped: "NAME=value", NULL-terminated; the body. */
char *const *responder_params(const struct responder *responder);
struct bytes responder_body(const struct responder *responder);

/* Gives back the body and what libfcgi needs for reading and writing; the parameters stay. */
void responder_forget_body(struct responder *responder);

/* Closes the open request, if there is one. */
void responder_drop(struct responder *responder);

#endif
