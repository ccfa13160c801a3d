/* JSON as a model wrote it: checked as a whole, then walked in place, so that a result keeps its bytes. (A
 * number does not survive being parsed and printed.) */
#ifndef INFERONCE_ENGINE_UPSTREAM_JSON_TEXT_H
#define INFERONCE_ENGINE_UPSTREAM_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "inferonce/base/buffer.h"

/* Arrays and objects within each other. */
#define JSON_TEXT_DEPTH_MAX 2048

/* Structural characters { } [ ] : , of an answer, at least, and more for each text that it is about: room for
 * an embedding of 4096 numbers each. They bound the memory that members take while it is checked (6 MB, 12 MB
 * with 256 texts) and the time that sorting them takes. */
#define JSON_TEXT_TOKENS_MAX  (512u * 1024)
#define JSON_TEXT_TOKENS_EACH 4608u

enum json_text_status { JSON_TEXT_VALID, JSON_TEXT_INVALID, JSON_TEXT_NO_MEMORY };

/* Whether `text`, an answer about `n` texts, is one JSON value, as strictly as base/json_reader.h has it and
 * within these limits. */
enum json_text_status json_text_check(struct bytes text, size_t n) MUST_CHECK;

/* The functions below read texts that json_text_check found valid. On others they may find nonsense, but
 * never outside of the text. */

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
bool json_text_is_boolean(struct bytes value);
bool json_text_is_null(struct bytes value);

/* Whether a value is an array of numbers alone, at least one; `*n`: how many. */
bool json_text_is_numbers(struct bytes value, size_t *n) MUST_CHECK;

#endif
