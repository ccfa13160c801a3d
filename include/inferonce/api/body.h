/* The JSON bodies of requests: checked, and taken apart.
 *
 * What counts as JSON, and the canonical form of what else is in a body, is api/canonical's to say. The
 * commonest body, one object with the one member "text" whose string has no escapes, is read in place; a test
 * holds that path against the general one. */
#ifndef INFERONCE_API_BODY_H
#define INFERONCE_API_BODY_H

#include "inferonce/api/canonical.h"
#include "inferonce/base/buffer.h"

#define BODY_DEPTH_MAX   64
#define BODY_TOKENS_MAX  65536
#define BODY_POINTER_MAX 64

enum body_status {
    BODY_OK,
    BODY_BAD_JSON,  /* 400 */
    BODY_BAD_SHAPE, /* 422: JSON, but not what the endpoint takes */
    BODY_NO_MEMORY  /* 500 */
};

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

/* POST and QUERY /predict: exactly one of "text" (a string that is not empty) and "texts" (1 to max_batch
 * such strings). An empty or wrong text in a batch is BAD_SHAPE for the whole request. Whether a text of
 * white space alone is empty is decided after its normalisation, so not here. `json` is borrowed until
 * body_reset, which reading begins with. */
enum body_status body_read_predict(struct body *body, struct bytes json, size_t max_batch) MUST_CHECK;

/* POST /cache/purge: exactly one of "text", "texts", "keys" (both 1 to max_batch), "namespace" and "request";
 * with "text" or "texts", further members are parameters as in a predict request, because they are part of
 * the key; with the others they are BAD_SHAPE, because they would mean nothing. "request" is a whole predict
 * request, so that entries whose parameters have these very names can be purged: its text or texts and its
 * parameters are the results. Empty strings are for the caller to judge. */
enum body_status body_read_purge(struct body *body, struct bytes json, size_t max_batch) MUST_CHECK;

#endif
