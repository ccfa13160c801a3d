/* How texts become the body of one request to an inference server, and how each text's result is read out of
 * the answer: a table, one row per UPSTREAM_DIALECT. */
#ifndef INFERONCE_ENGINE_UPSTREAM_DIALECT_H
#define INFERONCE_ENGINE_UPSTREAM_DIALECT_H

#include "inferonce/base/buffer.h"
#include "inferonce/base/settings.h"

/* The content of one request. All borrowed. */
struct dialect_question {
    const struct bytes *texts; /* normalised UTF-8 */
    size_t n;                  /* at least 1; 1 where the dialect takes one text at a time */
    struct bytes parameters;   /* a JSON object in canonical form; length 0: none */
    struct bytes model_name;   /* length 0: not known */
    struct bytes id;           /* names the request, where the dialect has such a name; needs no escapes */
    struct bytes input_name;   /* UPSTREAM_INPUT_NAME; length 0: the dialect's own */
    bool column;               /* UPSTREAM_KSERVE_SHAPE is n,1 */
};

/* One text's result: one JSON value whose bytes are the model's own, where they stand in the answer or, put
 * together from several places of it, in a buffer. Zero-initialised: nothing. */
struct dialect_result {
    bool good;
    bool made; /* it stands in the buffer */
    size_t at, length;
};

struct dialect {
    bool takes_batches;

    /* The request's parameters stand in an object of their own, where no name of theirs is in the way. */
    bool parameters_apart;

    /* The member or tensor that has the text, unless UPSTREAM_INPUT_NAME says another; NULL: none has. */
    const char *input_name;

    /* Names of further members that the dialect gives itself, NULL-terminated: parameters must not have them.
     */
    const char *const *reserved;

    /* Appends the body. */
    void (*encode)(const struct dialect_question *question, struct buffer *body);

    /* Finds the results in a valid `answer`: `results` has question->n places, zero-initialised; `made` is an
     * empty buffer. What does not match a text is left, never guessed: counts that differ leave all, since it
     * cannot be known which one is missing. A value that is no result of this dialect (null, an empty list, a
     * wrong type) is left, too: it would be kept. */
    void (*decode)(const struct dialect_question *question, struct bytes answer, struct buffer *made,
                   struct dialect_result *results);
};

/* By the table in dialects.c. */
const struct dialect *dialect_of(enum settings_dialect name);

/* NULL, or the reserved name that the parameters have. `input_name` is UPSTREAM_INPUT_NAME, may be empty. */
const char *dialect_reserved_parameter(const struct dialect *dialect, const char *input_name,
                                       struct bytes parameters);

/* As decode, for any answer: of one that is no JSON no result is good. False: no memory to tell whether it is
 * JSON, and no result is good. */
bool dialect_decode(const struct dialect *dialect, const struct dialect_question *question,
                    struct bytes answer, struct buffer *made, struct dialect_result *results) MUST_CHECK;

struct bytes dialect_result_bytes(const struct dialect_result *result, struct bytes answer,
                                  const struct buffer *made);

/* ---- for the dialects' own files ---- */

extern const struct dialect dialect_plain;
extern const struct dialect dialect_tei;
extern const struct dialect dialect_tei_embed;
extern const struct dialect dialect_tei_rerank;
extern const struct dialect dialect_kserve;
extern const struct dialect dialect_kserve1;
extern const struct dialect dialect_openai;

/* Appends the name of the member or tensor that has the text, in quotes. */
void dialect_append_input_name(const struct dialect *dialect, const struct dialect_question *question,
                               struct buffer *body);

/* Appends `["text", ...]`. */
void dialect_append_texts(const struct dialect_question *question, struct buffer *body);

/* Appends the parameters' members, each behind a comma. */
void dialect_append_parameters(const struct dialect_question *question, struct buffer *body);

/* The result is `part`, which stands in `answer`. */
void dialect_found(struct dialect_result *result, struct bytes answer, struct bytes part);

/* The result is what is appended to `made` between these two calls. */
void dialect_begin(struct dialect_result *result, const struct buffer *made);
void dialect_end(struct dialect_result *result, const struct buffer *made);

/* No result is good after all. */
void dialect_leave_all(const struct dialect_question *question, struct dialect_result *results);

/* The index that an item of a list names: its text's place. */
enum dialect_index { DIALECT_INDEX_GOOD, DIALECT_INDEX_LEFT_OUT, DIALECT_INDEX_WRONG };
enum dialect_index dialect_read_index(struct bytes item, size_t n, size_t *index);

#endif
