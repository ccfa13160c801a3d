/* The words to which VADER's rules give a role, beside the valence that they may have: degree adverbs,
 * negations, and the words of which its phrases consist. */
#ifndef INFERONCE_ENGINE_VADER_WORDS_H
#define INFERONCE_ENGINE_VADER_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "inferonce/base/buffer.h"

/* By how much a degree adverb moves the valence of what it qualifies ("very good", "somewhat good"): the mean
 * of what the paper measured (Table 3). */
#define VADER_DEGREE 0.293

/* Words that a rule calls by their name. */
enum vader_name {
    VADER_UNNAMED,
    VADER_ASS,
    VADER_AT,
    VADER_BAD,
    VADER_BOMB,
    VADER_BUT,
    VADER_CUT,
    VADER_DEATH,
    VADER_ENOUGH,
    VADER_HAND,
    VADER_JUST,
    VADER_KIND,
    VADER_KISS,
    VADER_LEAST,
    VADER_MOUTH,
    VADER_MUSTARD,
    VADER_NEVER,
    VADER_OF,
    VADER_RIGHT,
    VADER_SHIT,
    VADER_SO,
    VADER_SORT,
    VADER_THE,
    VADER_THIS,
    VADER_TO,
    VADER_VERY,
    VADER_YEAH
};

enum vader_degree { VADER_NO_DEGREE, VADER_BOOSTS, VADER_DAMPENS };

struct vader_word {
    char text[sizeof("substantially")]; /* the longest */
    enum vader_degree degree;
    bool negates;
    enum vader_name name;
};

/* Looks up a word in lower case, in logarithmic time. NULL: no rule knows it. */
const struct vader_word *vader_word_find(struct bytes word);

#endif
