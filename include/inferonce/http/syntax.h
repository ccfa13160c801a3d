/* The pieces that HTTP field values are made of (RFC 9110 section 5.6).
 *
 * A reader takes what it reads off the front of `rest`. Nothing is copied and nothing here is an error: a
 * reader that does not find its piece says so. */
#ifndef INFERONCE_HTTP_SYNTAX_H
#define INFERONCE_HTTP_SYNTAX_H

#include <stdbool.h>

#include "inferonce/base/buffer.h"

/* Optional white space: spaces and tabs. */
void syntax_skip_space(struct bytes *rest);

/* Takes `c` if it comes next. */
bool syntax_take_char(struct bytes *rest, char c);

/* Takes the longest token that comes next; empty when there is none. */
struct bytes syntax_take_token(struct bytes *rest);

/* A token or the inside of a quoted string, whose escapes are still in it. */
struct syntax_value {
    struct bytes raw;
    bool quoted;
};

/* False: there is neither. A quoted string that does not end takes all of `rest` with it, so that nothing
 * inside is read as something else. */
bool syntax_take_value(struct bytes *rest, struct syntax_value *value);

/* Takes the next character of a value, escapes resolved; false at its end. */
bool syntax_next_char(struct syntax_value *value, char *c);

/* Whether the value is `text`, ASCII letters of either case being equal. */
bool syntax_value_is(struct syntax_value value, const char *text);

/* Moves behind the next `separator` that is not inside a quoted string, or to the end. */
void syntax_skip_past(struct bytes *rest, char separator);

#endif
