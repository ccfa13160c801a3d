/* Where values end in JSON that was checked before (base/json_reader.h). On another text this may find
 * nonsense, but never outside of it. */
#ifndef INFERONCE_BASE_JSON_VALUE_H
#define INFERONCE_BASE_JSON_VALUE_H

/* Just behind the value, or the member's name, that begins at `at`, in a text that ends at `end`; `at` when
 * there is none, `end` when it is cut off. Needs no stack, however deep the value is. */
const char *json_value_end(const char *at, const char *end);

#endif
