/* JSON as a model wrote it: checked as a whole, then walked in place, so that a result keeps its bytes. (A
 * number does not survive being parsed and printed.) */
#ifndef INFERONCE_ENGINE_JSON_TEXT_H
#define INFERONCE_ENGINE_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "inferonce/base/buffer.h"

/* The most structural characters { [ , : in an answer, because a tree of them takes up to 80 bytes each while
 * it is checked: about 40 MB. Enough for 128 embeddings of 4096 numbers. */
#define JSON_TEXT_TOKENS_MAX (512u * 1024)

/* Whether `text` is one JSON value (RFC 8259) in UTF-8, with nothing but white space around it, no member
 * given twice, not nested deeper than 2048 and within JSON_TEXT_TOKENS_MAX. A number beyond the range of a
 * double is refused. False also when memory is short. */
bool json_text_is_valid(struct bytes text);

/* What follows reads texts that json_text_is_valid accepted. On others it may find nonsense, but never
 * outside of the text. */

/* Without the white space around it. */
struct bytes json_text_trim(struct bytes text);

/* A place in an array or an object. */
struct json_walk {
    const char *at, *end;
};

/* False: `value` is no array, no object. */
bool json_walk_array(struct bytes value, struct json_walk *walk) MUST_CHECK;
bool json_walk_object(struct bytes value, struct json_walk *walk) MUST_CHECK;

/* The next item, or member; false behind the last one. A name is what stands between its quotes, escapes as
 * they are. */
bool json_next_item(struct json_walk *walk, struct bytes *item) MUST_CHECK;
bool json_next_member(struct json_walk *walk, struct bytes *name, struct bytes *value) MUST_CHECK;

/* The member of that name, which needs no escapes; a name written with escapes is not found. */
bool json_find(struct bytes object, const char *name, struct bytes *value) MUST_CHECK;

/* The number of items; false: no array. */
bool json_count(struct bytes array, size_t *n) MUST_CHECK;

/* Whether a value is of that kind. */
bool json_text_is_string(struct bytes value);
bool json_text_is_number(struct bytes value);

#endif
