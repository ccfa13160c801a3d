/* Reads the reason out of a model's error: one line out of its JSON, for the client and for the log.
 *
 * A server may repeat what it was given: the text, or the credential. Neither may get into a log, and of a
 * call of several texts none may get to another's client. A message is therefore taken only out of JSON, and
 * without what it has in common with what was sent. */
#ifndef INFERONCE_ENGINE_UPSTREAM_MODEL_ERROR_H
#define INFERONCE_ENGINE_UPSTREAM_MODEL_ERROR_H

#include "inferonce/base/buffer.h"

/* The most of a message, with its end mark. */
#define MODEL_ERROR_MAX 512

/* The longest answer that is looked into. */
#define MODEL_ERROR_ANSWER_MAX 4096

/* So many bytes in a row of a text that a message repeats make it unfit. */
#define MODEL_ERROR_REPEATED_MAX 24

struct model_error {
    char message[MODEL_ERROR_MAX]; /* valid UTF-8 without control characters; empty: it said none */
};

/* Finds the message in `answer`: {"error": {"message"}}, {"error": "..."}, {"message"}, {"detail": "..."},
 * FastAPI's {"detail": [{"msg"}]}, an RFC 9457 problem's detail or title. Cut to fit, between characters.
 *
 * `sent` are the texts, and whatever else of the request is to stay secret. One shorter than
 * MODEL_ERROR_REPEATED_MAX is replaced by "..." where it stands as a word of its own; of a longer one no
 * MODEL_ERROR_REPEATED_MAX bytes in a row are let through: the message is then empty. */
void model_error_read(struct model_error *error, struct bytes answer, const struct bytes *sent, size_t n);

#endif
