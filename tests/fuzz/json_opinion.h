/* jansson as the second opinion on what is JSON. It differs from ours in three things. */
#ifndef INFERONCE_TESTS_JSON_OPINION_H
#define INFERONCE_TESTS_JSON_OPINION_H

#include <jansson.h>

#include "inferonce/base/buffer.h"

/* Above what most inputs reach and below jansson's own, so that the two differ by it only for long inputs. */
#define OPINION_DEPTH_MAX 1000

/* jansson's tree of the text; NULL: it refuses it. Returned owned. */
static inline json_t *opinion_of(struct bytes json, json_error_t *error) {
    return json_loadb(json.length > 0 ? json.data : "", json.length,
                      JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, error);
}

/* Whether ours, `good` or not, can stand beside jansson's: it takes a NUL byte behind a value for the end,
 * and refuses two things that are JSON, a NUL in a member's name and numbers that do not fit its types. */
static inline bool opinion_agrees(bool good, struct bytes json, const json_t *theirs,
                                  const json_error_t *error) {
    bool has_nul = json.length > 0 && memchr(json.data, '\0', json.length);
    if (!good)
        return !theirs || has_nul || json.length > OPINION_DEPTH_MAX;
    enum json_error_code code = theirs ? json_error_unknown : json_error_code(error);
    return !has_nul && (theirs || code == json_error_null_byte_in_key || code == json_error_numeric_overflow);
}

#endif
