/* Finds the ends of values in JSON that was checked before (base/json_reader.h). On another text this may
 * find nonsense, but never outside of it. */
#ifndef INFERONCE_BASE_JSON_VALUE_H
#define INFERONCE_BASE_JSON_VALUE_H

#include <stdbool.h>
#include <stddef.h>

/* Just behind the value, or the member's name, that begins at `at`, in a text that ends at `end`; `at` when
 * there is none, `end` when it is cut off. Needs no stack, however deep the value is. */
const char *json_value_end(const char *at, const char *end);

/* The same in pieces. */
struct json_skip {
    const char *at;
    enum { JSON_SKIP_BEGIN, JSON_SKIP_PLAIN, JSON_SKIP_STRING, JSON_SKIP_CONTAINER } within;
    size_t depth; /* of containers that are open */
};

void json_skip_begin(struct json_skip *skip, const char *at);

/* True: skip->at is what json_value_end returns. False: `*budget`, which is lowered by what was done, is
 * spent. */
bool json_skip_go_on(struct json_skip *skip, const char *end, size_t *budget);

#endif
