/* The JSON bodies of requests: checked, and taken apart.
 *
 * What counts as JSON, and the canonical form of what else is in a body, is api/canonical's to say. The
 * commonest body, one object with the one member "text" whose string has no escapes, is read in place; a test
 * holds that path against the general one. */
#ifndef INFERONCE_API_BODY_H
#define INFERONCE_API_BODY_H

#include "api/canonical.h"
#include "inferonce/base/buffer.h"
#include "inferonce/base/json_value.h"
#include "inferonce/http/exchange.h"

#define BODY_DEPTH_MAX   64
#define BODY_TOKENS_MAX  65536
#define BODY_POINTER_MAX 64

enum body_status {
    BODY_OK,
    BODY_BAD_JSON,  /* 400 */
    BODY_BAD_SHAPE, /* 422: JSON, but not what the endpoint takes */
    BODY_NO_MEMORY, /* 500 */
    BODY_MORE       /* the budget is spent */
};

enum body_kind {
    BODY_PREDICT,
    BODY_PURGE,
    BODY_PURGED_REQUEST /* private: what is in a purge's "request" */
};

/*   IDLE          nothing was begun, or it is over
 *   CANONICAL     the canonical form is written       -> SURVEY, IDLE
 *   SURVEY        the members are gone through        -> SKIPS_STRING, SURVEY (of a purge's request), IDLE
 *   SKIPS_STRING  the end of a string is looked for   -> UNESCAPES
 *   UNESCAPES     it loses its escapes                -> SKIPS_STRING (the next item), IDLE */
enum body_phase { BODY_IDLE, BODY_CANONICAL, BODY_SURVEY, BODY_SKIPS_STRING, BODY_UNESCAPES };

/* Reused from request to request; owns what the results borrow. Results are set only when BODY_OK was
 * returned. */
struct body {
    struct bytes text;   /* predict, purge: {"text": ...}; data NULL: not given. Empty only for purge */
    struct bytes *texts; /* predict, purge: {"texts": [...]}; NULL: not given */
    size_t n_texts;
    struct bytes *keys; /* purge: {"keys": [...]}, strings not yet checked; NULL: not given */
    size_t n_keys;
    struct bytes cache_namespace; /* purge: {"namespace": ...}, not yet checked; data NULL: not given */
    struct bytes parameters; /* the further members, as a JSON object in canonical form; length 0: none */

    const char *detail;             /* BAD_JSON, BAD_SHAPE: what is wrong, one line, a literal */
    char pointer[BODY_POINTER_MAX]; /* BAD_SHAPE: "#/text", "#/texts/3"; empty: the whole body */

    /* private */
    enum body_phase phase;
    enum body_kind kind;
    size_t max_batch;
    struct json_skip skip;
    char *member, *value; /* that is skipped; value NULL: its name is */
    unsigned n_known;     /* members that the endpoint knows */
    unsigned which;       /* the last of these */
    char *known;          /* its value */
    size_t n_strings;     /* that were read of an array */
    char *to;             /* where the string goes that loses its escapes, and from where */
    const char *from;
    struct canonical canonical;
    struct buffer storage; /* the body in canonical form; texts borrow from it */
    struct buffer further; /* parameters borrow from it */
    struct bytes *strings; /* texts or keys; owned */
    size_t capacity_strings;
};

void body_init(struct body *body);
void body_fini(struct body *body);

/* Gives back what the last body needed; init'ed state again, with some memory kept for the next. */
void body_reset(struct body *body);

/* Reads a body. `json` is borrowed until body_reset, which reading begins with.
 *
 * PREDICT: exactly one of "text" (a string that is not empty) and "texts" (1 to max_batch such strings). An
 * empty or wrong text in a batch is BAD_SHAPE for the whole request. Whether a text of white space alone is
 * empty is decided after its normalisation, so not here.
 *
 * PURGE: exactly one of "text", "texts", "keys" (both 1 to max_batch), "namespace" and "request"; with "text"
 * or "texts", further members are parameters as in a predict request, because they are part of the key; with
 * the others they are BAD_SHAPE, because they would mean nothing. "request" is a whole predict request, so
 * that entries whose parameters have these very names can be purged: its text or texts and its parameters are
 * the results. Empty strings are for the caller to judge. */
enum body_status body_read(struct body *body, enum body_kind kind, struct bytes json,
                           size_t max_batch) MUST_CHECK;

/* The same in slices, with the same results. False: NO_MEMORY. */
bool body_begin(struct body *body, enum body_kind kind, struct bytes json, size_t max_batch) MUST_CHECK;

/* MORE: `*budget`, which is lowered by what was done, about ten nanoseconds each, is spent. Not called again
 * after anything else. */
enum body_status body_go_on(struct body *body, size_t *budget) MUST_CHECK;

/* Answers what reading a body found wrong. */
void body_problem(struct exchange *exchange, enum body_status status, const struct body *body);

#endif
