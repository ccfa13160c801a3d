/* Lower case of a text that comes character by character: Unicode's full, context-dependent, untailored
 * mapping. Two characters are not mapped one by one: U+0130 becomes two, and how a capital sigma is written
 * depends on whether a letter follows, however far behind. Until that is known a sigma goes out as
 * CASING_SIGMA plus a number, which takes as many bytes as what it becomes. */
#ifndef INFERONCE_CACHE_CASING_H
#define INFERONCE_CACHE_CASING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CASING_SIGMA 0x110000 /* and 0x110001 */

#define CASING_SMALL_SIGMA 0x03C3
#define CASING_FINAL_SIGMA 0x03C2

/* A sigma in the output. */
struct casing_sigma {
    bool is_final;
    bool written;
    size_t at; /* where it was written */
};

struct casing {
    int32_t letter; /* the last character that is not case-ignorable; -1: none */
    int32_t extra;  /* comes next; 0: none */
    bool open;      /* whether the last sigma is final is not known yet */
    unsigned last;  /* which of `sigmas` that is */
    struct casing_sigma sigmas[2];
};

/* Whether a character has the property White_Space. */
bool casing_is_white_space(int32_t point);

void casing_init(struct casing *casing);

/* The lower case of the next character. `*closed` becomes the sigma that has been written and is now known to
 * be final; NULL: none. */
int32_t casing_lower(struct casing *casing, int32_t point, const struct casing_sigma **closed);

/* The text is over: the same for a sigma at its end. */
const struct casing_sigma *casing_end(struct casing *casing);

/* Says where the sigma that went out as `point` is written. Returns what is to be written there, by what is
 * known. */
int32_t casing_written(struct casing *casing, int32_t point, size_t at);

#endif
