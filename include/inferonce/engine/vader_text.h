/* How VADER reads a text: as words, separated by white space, from which punctuation was taken. */
#ifndef INFERONCE_ENGINE_VADER_TEXT_H
#define INFERONCE_ENGINE_VADER_TEXT_H

#include <stdbool.h>

#include "inferonce/base/buffer.h"

/* Takes the next word from the front of `rest`; false: there is only white space left, and it is taken too.
 * Words of one character are none to the rules: they come out with length 0.
 * "(word" keeps its punctuation, as do emoticons; "word," and "'word" lose it. Linear in what it takes. */
bool vader_text_next(struct bytes *rest, struct bytes *word);

#endif
