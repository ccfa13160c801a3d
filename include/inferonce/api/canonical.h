/* JSON read strictly and written canonically, in one pass and without a tree, so that neither the size nor
 * the shape of a body decides how much memory it takes.
 *
 * Strict beyond RFC 8259: a member given twice, a lone surrogate, invalid UTF-8, more depth or tokens than
 * allowed, and anything behind the value are errors. Numbers are not limited: they are not computed with.
 *
 * Canonical form: no white space; members sorted by the bytes of their names (as they are without escapes),
 * at every depth; in strings only the escapes that RFC 8259 demands, in their shortest spelling; numbers as
 * they were written (1, 1.0 and 1e0 stay different: a model may tell them apart). It is never longer than
 * what it was made from. */
#ifndef INFERONCE_API_CANONICAL_H
#define INFERONCE_API_CANONICAL_H

#include "inferonce/base/buffer.h"

struct canonical_member; /* canonical.c */

/* Limits, and scratch space that is reused from text to text. */
struct canonical {
    unsigned depth_max; /* arrays and objects within each other */
    size_t tokens_max;  /* the structural characters { } [ ] : , */
    const char *detail; /* CANONICAL_BAD_JSON: what is wrong, one line, a literal */

    /* private */
    struct canonical_member *members; /* of the objects being read; owned */
    size_t n_members, capacity_members;
    struct buffer sorted;
};

enum canonical_status { CANONICAL_OK, CANONICAL_BAD_JSON, CANONICAL_NO_MEMORY };

void canonical_init(struct canonical *canonical, unsigned depth_max, size_t tokens_max);
void canonical_fini(struct canonical *canonical);

/* Appends the canonical form of `json`, one value of any type, to `out`; nothing unless CANONICAL_OK.
 * NO_MEMORY also when the cap of `out` does not leave room for json.length bytes. */
enum canonical_status canonical_append(struct canonical *canonical, struct bytes json,
                                       struct buffer *out) MUST_CHECK;

/* The first byte in [at, end) that a JSON string cannot hold as it is (a quote, a backslash, a control
 * character), or `end`. */
const char *canonical_plain_end(const char *at, const char *end);

/* The two below trust what they read: it was written by canonical_append. */

/* Just behind the value that begins at `at`, in a text that ends at `end`. */
char *canonical_value_end(char *at, const char *end);

/* Removes the escapes from the inside of a string, in place. Returns the length that is left. */
size_t canonical_unescape(char *text, size_t length);

#endif
