/* The inside of JSON strings (RFC 8259 section 7): what stands between the quotes. */
#ifndef INFERONCE_BASE_JSON_STRING_H
#define INFERONCE_BASE_JSON_STRING_H

#include "inferonce/base/buffer.h"

/* The letter of a character's two-character escape, 'u' for the other control characters, 0 for what stands
 * for itself. */
static inline char json_escape_letter(unsigned char c) {
    switch (c) {
    case '"':
    case '\\':
        return (char)c;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return c < 0x20 ? 'u' : 0;
    }
}

/* Writes a byte as it stands in a string, escaped if it must be, in 1, 2 or 6 characters. Returns where they
 * end. */
char *json_escape(char *to, unsigned char c);

/* The first byte in [at, end) that does not stand for itself (a quote, a backslash, a control character), or
 * `end`. */
const char *json_plain_end(const char *at, const char *end);

/* Finds the closing quote of the string whose inside begins at `at`, in a text that is UTF-8. NULL: the
 * string is none; `*detail` tells why in one line, a literal. `*escaped`: it has escapes. */
const char *json_string_end(const char *at, const char *end, bool *escaped, const char **detail);

/* The same in pieces. Goes on at `*at`, which is not within an escape, up to `limit` or, to finish an escape,
 * a little beyond; `*escaped` is set when there was one. */
enum json_string_status { JSON_STRING_END, JSON_STRING_MORE, JSON_STRING_BAD };
enum json_string_status json_string_go_on(const char **at, const char *limit, const char *end, bool *escaped,
                                          const char **detail);

/* The functions below trust the string: json_string_end found no fault in it. */

/* The character of the escape whose backslash `*at` points to, which then points behind it. */
uint32_t json_unescape(const char **at);

/* Removes the escapes, in place. Returns the length that is left. */
size_t json_string_unescape(char *text, size_t length);

/* The same in pieces: from `*from` to `*to`, which are the same at first. True: `*from` is `end`. False:
 * `*budget`, which is lowered by what was done, is spent. */
bool json_unescape_go_on(char **to, const char **from, const char *end, size_t *budget);

/* As memcmp and then by length, on what the two stand for, in UTF-8. */
int json_string_compare(struct bytes a, struct bytes b);

#endif
