/* Reads JSON (RFC 8259) token by token, strictly: in one pass, without a tree and without recursion, so that
 * neither the size nor the shape of a text decides how much memory it takes, but for the members of the
 * objects that are open at once.
 *
 * Strict beyond RFC 8259: a member given twice, a lone surrogate, invalid UTF-8, more depth or tokens than
 * allowed, and anything behind the value are errors. Numbers are not limited: they are not computed with.
 *
 *     json_reader_begin(&reader, text);
 *     while ((token = json_next(&reader)) < JSON_TOKEN_END)
 *         ...
 *     json_reader_end(&reader);
 */
#ifndef INFERONCE_BASE_JSON_READER_H
#define INFERONCE_BASE_JSON_READER_H

#include "inferonce/base/json_order.h"

enum json_token {
    JSON_TOKEN_ARRAY,
    JSON_TOKEN_ARRAY_END,
    JSON_TOKEN_OBJECT,
    JSON_TOKEN_OBJECT_END,
    JSON_TOKEN_NAME, /* a member's, with the colon behind it; its value is the next token */
    JSON_TOKEN_STRING,
    JSON_TOKEN_PLAIN, /* a number, true, false or null */

    /* Nothing comes behind these three. */
    JSON_TOKEN_END, /* the text is one value, and without fault */
    JSON_TOKEN_BAD,
    JSON_TOKEN_NO_MEMORY,

    JSON_TOKEN_MORE /* the budget is spent: there is no token yet, and json_next goes on when it has more */
};

/* Limits, what was read last, and memory that is reused from text to text. */
struct json_reader {
    unsigned depth_max; /* arrays and objects within each other */
    size_t tokens_max;  /* the structural characters { } [ ] : , */
    size_t budget; /* what json_next may still do, about ten nanoseconds each. A text begins with SIZE_MAX:
                      who wants to read it in slices lowers that, and raises it for each. Where a token ends,
                      it may be passed */

    struct bytes text; /* of the token, as it is written: of a name and a string with the quotes, of a name
                          without the colon; borrowed from what is read */
    bool escaped;      /* NAME, STRING: there are escapes */
    const struct json_member *members; /* OBJECT_END: sorted by name, as json_string_compare orders; borrowed
                                          until the next token is read */
    size_t n_members;
    bool in_order;      /* OBJECT_END: they are in the order of the text */
    const char *detail; /* BAD: what is wrong, one line, a literal */

    /* private */
    const char *at, *end;
    const char *checked; /* up to here the text is UTF-8 */
    const char *start;   /* of the token that is read */
    struct bytes name;   /* the last one, with its quotes */
    int within;
    int part; /* of a number */
    bool has_digits;
    struct json_order order;
    struct json_member *open; /* owned (json_reader.c) */
    size_t n_open, capacity_open;
    size_t container;
    unsigned depth;
    size_t tokens;
    int expects;
};

void json_reader_init(struct json_reader *reader, unsigned depth_max, size_t tokens_max);
void json_reader_fini(struct json_reader *reader);

/* `text` is borrowed until json_reader_end, which gives back memory that few texts need. */
void json_reader_begin(struct json_reader *reader, struct bytes text);
void json_reader_end(struct json_reader *reader);

enum json_token json_next(struct json_reader *reader) MUST_CHECK;

#endif
