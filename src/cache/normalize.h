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

#include "cache/casing.h"
#include "cache/compose.h"
#include "inferonce/base/buffer.h"
#include "inferonce/base/settings.h"

/* Appends the normal form of `text`, which is valid UTF-8, to `out`. An ASCII text takes a path of its own
 * that gives the same bytes and allocates nothing beyond `out`. False: no memory, or the cap of `out`, which
 * must have room for all of `text` even if less of it is left; nothing was appended. */
bool normalize_append(enum cache_normalize level, struct bytes text, struct buffer *out) MUST_CHECK;

/* The same in slices, for a text that is too long for one turn of the loop. */

enum normalize_status { NORMALIZE_DONE, NORMALIZE_MORE, NORMALIZE_NO_MEMORY };

struct normalizer {
    enum cache_normalize level;
    const char *at, *end; /* what of the text is left */
    struct buffer *out;
    size_t start; /* in `out` */
    enum { NORMALIZE_LOOKING, NORMALIZE_COPYING, NORMALIZE_FOLDING, NORMALIZE_COMPOSING } phase;
    const char *looked; /* LOOKING: up to where the text is ASCII, or surely in NFC */
    bool ascii;
    bool after_space; /* as if there were white space before the text: leading one is then a repeated one */
    struct compose first, second;
    struct casing casing;
};

/* `text` and `out` are borrowed until normalizer_fini; nothing else is appended to `out` meanwhile. */
void normalizer_begin(struct normalizer *normalizer, enum cache_normalize level, struct bytes text,
                      struct buffer *out);

/* Goes on until the text is done or `*budget` spent, which is lowered by what was done: about ten
 * nanoseconds each. NO_MEMORY, as above: nothing was appended. */
enum normalize_status normalizer_go_on(struct normalizer *normalizer, size_t *budget) MUST_CHECK;

/* At any time. */
void normalizer_fini(struct normalizer *normalizer);

#endif
