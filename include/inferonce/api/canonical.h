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
    char **starts; /* of the members of the objects that are open, in the output; owned */
    size_t n_starts, capacity_starts;
    struct buffer sorted;
};

enum canonical_status { CANONICAL_OK, CANONICAL_BAD_JSON, CANONICAL_NO_MEMORY };

/* The limits are base/json_reader's. */
void canonical_init(struct canonical *canonical, unsigned depth_max, size_t tokens_max);
void canonical_fini(struct canonical *canonical);

/* Appends the canonical form of `json`, one value of any type, to `out`; nothing unless CANONICAL_OK.
 * NO_MEMORY also when the cap of `out` does not leave room for json.length bytes. */
enum canonical_status canonical_append(struct canonical *canonical, struct bytes json,
                                       struct buffer *out) MUST_CHECK;

#endif
