/* One request at a time through libfcgi, in memory: records in, parameters and body out; parts of an answer
 * in, records out.
 *
 * Made once per connection and used for all its requests. What libfcgi allocates while a request is open is
 * about 17.7 KB; between requests it holds nothing.
 *
 * A failed allocation inside libfcgi is its own assertion and aborts. */
#ifndef INFERONCE_FASTCGI_RESPONDER_H
#define INFERONCE_FASTCGI_RESPONDER_H

#include "inferonce/base/buffer.h"

struct responder;

/* libfcgi must be initialised (FCGX_Init). NULL: no memory. Returns owned. */
struct responder *responder_create(void);

/* Gives up an open request. Nulls the pointer. */
void responder_destroy(struct responder **responder);

/* Has libfcgi read one request, to the end of its STDIN, which has `body_length` bytes. `records` come from
 * the frame scanner and are not needed afterwards. False: libfcgi did not accept them or there is no memory;
 * nothing is open. */
bool responder_take(struct responder *responder, struct bytes records, size_t body_length) MUST_CHECK;

/* Of the open request, borrowed until it is answered or dropped: "NAME=value", NULL-terminated; the body. */
char *const *responder_params(const struct responder *responder);
struct bytes responder_body(const struct responder *responder);

/* Answers the open request: appends STDOUT records that hold `parts` one after the other, and END_REQUEST, to
 * `output`. False: `output` did not take all of it, what it holds is no complete answer. The request is
 * closed in any case. */
bool responder_answer(struct responder *responder, const struct bytes *parts, size_t n,
                      struct buffer *output) MUST_CHECK;

/* Closes the open request, if there is one, without an answer. */
void responder_drop(struct responder *responder);

#endif
