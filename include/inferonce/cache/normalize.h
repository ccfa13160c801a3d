/* Texts that mean the same to the model become the same bytes. What is hashed is also what is inferred.
 *
 * Levels (CACHE_NORMALIZE):
 *   none   bytes as they are
 *   nfc    Unicode NFC (UAX #15)
 *   space  that, runs of white space made one space, trimmed. White space is Unicode's property White_Space,
 *          so U+0009 to U+000D, U+0020, U+0085, U+00A0 and on to U+3000; not U+001C to U+001F, which Python's
 *          str.split takes too, and not U+200B
 *   lower  that, in lower case (Unicode's full, context-dependent, untailored mapping: what Python's
 *          str.lower does), and NFC once more, because lower-casing can leave it
 *
 * The result is a fixed point: normalising it again changes nothing. The time taken is linear in the length,
 * whatever the text (a million combining marks out of order included). */
#ifndef INFERONCE_CACHE_NORMALIZE_H
#define INFERONCE_CACHE_NORMALIZE_H

#include "inferonce/base/buffer.h"
#include "inferonce/base/settings.h"

/* Appends the normal form of `text`, which is valid UTF-8, to `out`. An ASCII text takes a path of its own
 * that gives the same bytes and allocates nothing beyond `out`. False: no memory, or the cap of `out`, which
 * must have room for all of `text` even if less of it is left; nothing was appended. */
bool normalize_append(enum cache_normalize level, struct bytes text, struct buffer *out) MUST_CHECK;

#endif
