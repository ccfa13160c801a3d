/* VADER, the rule-based sentiment model: C.J. Hutto and E. Gilbert, "VADER: A Parsimonious Rule-based Model
 * for Sentiment Analysis of Social Media Text", ICWSM 2014. Lexicon valence, boosters and dampeners,
 * negation, capitals, punctuation, "but", the special idioms.
 *
 * Where implementations of VADER differ it scores as the JavaScript one, vader-sentiment 1.1.3, does. For
 * one, negations and idioms count in lower case only, which makes a difference for texts that are not
 * normalised to lower case. */
#ifndef INFERONCE_ENGINE_VADER_VADER_H
#define INFERONCE_ENGINE_VADER_VADER_H

#include "inferonce/base/buffer.h"

struct vader_scores {
    double compound;                    /* -1 to 1, four decimals as published */
    double positive, neutral, negative; /* shares, three decimals; all 0 for a text without words */
};

/* Scores a UTF-8 text. Pure; allocates nothing; linear in the text's length. Bytes that are not UTF-8 belong
 * to words that no rule knows. */
void vader_score(struct bytes text, struct vader_scores *scores);

/* The same in parts, for who has other things to do in between: one text at a time. */
struct vader_scoring;

/* Returns owned; NULL: no memory. */
struct vader_scoring *vader_scoring_create(void) MUST_CHECK;
void vader_scoring_destroy(struct vader_scoring **scoring);

/* Begins with a text, whatever became of the one before. It is borrowed until the end, or until another one
 * is begun. */
void vader_scoring_begin(struct vader_scoring *scoring, struct bytes text);

/* Goes on for `*bytes` of reading, and to the end of the word that is then being read. A text is read twice.
 * `*bytes` is lowered by what was read, to 0 at the least. True: that was the end, and here are the scores.
 */
bool vader_scoring_go_on(struct vader_scoring *scoring, size_t *bytes,
                         struct vader_scores *scores) MUST_CHECK;

/* Appends {"sentiment":"positive|negative|neutral","confidence":c,"compound":x}: positive from 0.05, negative
 * from -0.05, the paper's thresholds; confidence is |compound| for these two and 1 - |compound| for neutral.
 */
void vader_append_result(const struct vader_scores *scores, struct buffer *buffer);

#endif
