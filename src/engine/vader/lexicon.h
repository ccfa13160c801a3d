/* VADER's lexicon: about 7500 words, emoticons and acronyms with their mean valence as rated by people, from
 * -4, extremely negative, to 4, extremely positive. From src/engine/vader/lexicon.tsv; compiled in. */
#ifndef INFERONCE_ENGINE_VADER_LEXICON_H
#define INFERONCE_ENGINE_VADER_LEXICON_H

#include "inferonce/base/buffer.h"

/* Looks up a word in lower case, in constant time. False: it is not in the lexicon, and `valence` stays as it
 * was. */
bool vader_lexicon_find(struct bytes word, double *valence);

#endif
