/* The canonical form of JSON: what is the same but for its spelling becomes the same bytes.
 *
 * No white space; members sorted by the bytes of their names (as they are without escapes), at every depth;
 * in strings only the escapes that RFC 8259 demands, in their shortest spelling; numbers as they were written
 * (1, 1.0 and 1e0 stay different: a model may tell them apart). It is never longer than what it was made
 * from. */
#ifndef INFERONCE_API_CANONICAL_H
#define INFERONCE_API_CANONICAL_H

#include "inferonce/base/json_reader.h"

/* Reused from text to text. */
struct canonical {
    struct json_reader reader; /* says what is JSON; of CANONICAL_BAD_JSON its `detail` tells what is wrong */

    /* private */
    struct buffer *out;
    char *start, *to; /* of what is written, behind what `out` holds */
    size_t most;
    enum json_token token; /* what is not written whole yet; MORE: nothing */
    struct bytes rest;     /* what is left of it */
    bool escaped;          /* with escapes */
    bool orders;           /* an object's members */
    size_t ordered;        /* how many of them */
    char **starts;         /* of the members of the objects that are open, in the output; owned */
    size_t n_starts, capacity_starts;
    struct buffer sorted;
};

enum canonical_status { CANONICAL_OK, CANONICAL_BAD_JSON, CANONICAL_NO_MEMORY, CANONICAL_MORE };

/* The limits are base/json_reader's. */
void canonical_init(struct canonical *canonical, unsigned depth_max, size_t tokens_max);
void canonical_fini(struct canonical *canonical);

/* Appends the canonical form of `json`, one value of any type, to `out`; nothing unless CANONICAL_OK.
 * NO_MEMORY also when the cap of `out` does not leave room for json.length bytes. */
enum canonical_status canonical_append(struct canonical *canonical, struct bytes json,
                                       struct buffer *out) MUST_CHECK;

/* The same in slices. `json` and `out` are borrowed until canonical_go_on says anything but MORE; nothing
 * else is appended to `out` meanwhile. False: NO_MEMORY. */
bool canonical_begin(struct canonical *canonical, struct bytes json, struct buffer *out) MUST_CHECK;

/* `*budget` is lowered by what was done, about ten nanoseconds each. MORE: it is spent. */
enum canonical_status canonical_go_on(struct canonical *canonical, size_t *budget) MUST_CHECK;

/* Gives up what was begun, if anything was: memory that few texts need is given back. */
void canonical_leave(struct canonical *canonical);

#endif
