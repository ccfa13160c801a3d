/* Sorts the members of an object by their names, in slices: an object may have as many as its text has room
 * for. */
#ifndef INFERONCE_BASE_JSON_ORDER_H
#define INFERONCE_BASE_JSON_ORDER_H

#include "inferonce/base/buffer.h"

/* A member of an object. */
struct json_member {
    struct bytes name; /* as it is written, without its quotes */
    size_t place;      /* which one it is, from 0, in the order of the text */
};

enum json_order_status { JSON_ORDER_DONE, JSON_ORDER_TWICE, JSON_ORDER_MORE, JSON_ORDER_NO_MEMORY };

/* Its memory is reused from object to object. */
struct json_order {
    bool in_order; /* DONE: the members were sorted before */

    /* private */
    struct json_member *members; /* borrowed */
    struct json_member *spare;   /* owned */
    size_t n, capacity;
    enum { JSON_ORDER_LOOKING, JSON_ORDER_MERGING, JSON_ORDER_CHECKING } phase;
    size_t at;            /* LOOKING, CHECKING: members up to here ascend */
    size_t width;         /* MERGING: runs of so many are sorted */
    size_t low;           /* where the pair of runs begins that is merged now */
    size_t first, second; /* what of each is next */
};

/* `members` is borrowed until the last json_order_go_on. */
void json_order_begin(struct json_order *order, struct json_member *members, size_t n);

/* DONE: they are sorted as json_string_compare orders. TWICE: two names are the same. MORE: `*budget`, which
 * is lowered by what was done, is spent. */
enum json_order_status json_order_go_on(struct json_order *order, size_t *budget) MUST_CHECK;

/* Gives back memory that few objects need; all of it. */
void json_order_rest(struct json_order *order);
void json_order_fini(struct json_order *order);

#endif
