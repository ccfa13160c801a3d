/* A text as code points, and what normalisation does to it: the wrapper of utf8proc. What each step means is
 * in cache/normalize.h.
 *
 * The steps that can fail do so for want of memory alone; the points are then good for points_fini only. */
#ifndef INFERONCE_CACHE_POINTS_H
#define INFERONCE_CACHE_POINTS_H

#include "inferonce/base/buffer.h"

/* Zero-initialised: no points. */
struct points {
    int32_t *at; /* owned */
    size_t length;
    size_t capacity;
};

void points_fini(struct points *points);

/* Takes valid UTF-8. */
bool points_append(struct points *points, struct bytes text) MUST_CHECK;

/* NFC. */
bool points_compose(struct points *points) MUST_CHECK;

/* Runs of White_Space become one space; none at either end. */
void points_collapse_space(struct points *points);

/* Full lower case, with its one unconditional exception of two code points (U+0130) and its one context
 * (final sigma). */
bool points_lower(struct points *points) MUST_CHECK;

/* Appends them as UTF-8. */
bool points_encode(const struct points *points, struct buffer *out) MUST_CHECK;

#endif
