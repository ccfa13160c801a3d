/* Reads the lines of an export.
 *
 *   {"key": 64 hex digits, "namespace": "default", "model": {"name": ..., "version": ...},
 *    "created_us": ..., "fresh_until_us": ..., "stale_while_revalidate_until_us": ...,
 *    "stale_if_error_until_us": ..., "inference_us": ..., "body": the result}
 *   {"end": true, "entries": how many there were}
 *
 * Times are microseconds since 1970. Key, namespace, created_us, fresh_until_us and body must be there; other
 * members, as "age" and "ttl", are for people. */
#ifndef INFERONCE_API_TRANSFER_LINE_H
#define INFERONCE_API_TRANSFER_LINE_H

#include "inferonce/base/json_reader.h"
#include "inferonce/cache/entry.h"

enum transfer_line_status {
    TRANSFER_ENTRY,
    TRANSFER_END, /* the last line */
    TRANSFER_BAD, /* `detail` says what is wrong */
    TRANSFER_MORE /* the budget is spent */
};

/* Reused from line to line. */
struct transfer_line {
    struct entry entry; /* ENTRY: without a generation; borrows from the line, and from `names` */
    uint64_t entries;   /* END */
    const char *detail; /* BAD: one line, a literal */

    /* private */
    struct json_reader reader;
    struct buffer names; /* model's name and version without their escapes */
    unsigned depth;      /* containers that are open */
    unsigned member;     /* of the line, whose value is read */
    unsigned within;     /* the member "model": which of its members */
    unsigned has;        /* a bit a member */
    const char *body;    /* where it begins */
    bool end;            /* {"end": true} */
};

void transfer_line_init(struct transfer_line *line);
void transfer_line_fini(struct transfer_line *line);

/* `text` is borrowed until the next line begins. */
void transfer_line_begin(struct transfer_line *line, struct bytes text);

/* `*budget`, which is lowered by what was done, is about ten nanoseconds each. Not called again after
 * anything but MORE. `now_us`: the wall clock. */
enum transfer_line_status transfer_line_go_on(struct transfer_line *line, uint64_t now_us,
                                              size_t *budget) MUST_CHECK;

#endif
