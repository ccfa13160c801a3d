/* UTF-8 (RFC 3629: shortest form, no surrogates, up to U+10FFFF). */
#ifndef INFERONCE_BASE_UTF8_H
#define INFERONCE_BASE_UTF8_H

#include "inferonce/base/buffer.h"

/* The length, 1 to 4, of the well-formed sequence that `bytes` begins with; 0 when it begins with none. */
size_t utf8_step(struct bytes bytes);

bool utf8_is_valid(struct bytes text);

/* The same in pieces: checks the characters that begin in [at, limit), of a text that goes on to `end`.
 * Returns where the next one begins; NULL: one is malformed. */
const char *utf8_check(const char *at, const char *limit, const char *end);

/* The first byte in [at, end) that is not ASCII, or `end`. */
const char *utf8_ascii_end(const char *at, const char *end);

/* The character that stands at `at`, in a text that was checked. */
uint32_t utf8_read(const char *at);

/* Writes the sequence of a character, at most 4 bytes; returns where it ends. */
char *utf8_write(char *to, uint32_t point);

#endif
