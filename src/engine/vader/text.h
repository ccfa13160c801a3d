/* How VADER reads a text: as words, separated by white space, from which punctuation was taken. */
#ifndef INFERONCE_ENGINE_VADER_TEXT_H
#define INFERONCE_ENGINE_VADER_TEXT_H

#include "inferonce/base/buffer.h"

/* How far a text was read. */
struct vader_reading {
    struct bytes rest;
    size_t scanned; /* of the word at its front, whose end was not found yet */
};

enum vader_next {
    VADER_WORD,
    VADER_END, /* there was only white space left, and it is taken too */
    VADER_MORE /* the bytes are used up: to be called again */
};

/* Takes the next word from the front of the rest, reading `*bytes` at most, which it lowers by what it read:
 * a text may be one word. Words of one character are none to the rules: they come out with length 0.
 * "(word" keeps its punctuation, as do emoticons; "word," and "'word" lose it. `token` is the word with all
 * of its punctuation. */
enum vader_next vader_text_next(struct vader_reading *reading, size_t *bytes, struct bytes *word,
                                struct bytes *token);

#endif
