/* VADER, the rule-based sentiment model: C.J. Hutto and E. Gilbert, "VADER: A Parsimonious Rule-based Model
 * for Sentiment Analysis of Social Media Text", ICWSM 2014. Lexicon valence, boosters and dampeners,
 * negation, capitals, punctuation, "but", the special idioms.
 *
 * Where implementations of VADER differ it scores as the JavaScript one, vader-sentiment 1.1.3, does. For
 * one, negations and idioms count in lower case only, which makes a difference for texts that are not
 * normalised to lower case. */
#ifndef INFERONCE_ENGINE_VADER_H
#define INFERONCE_ENGINE_VADER_H

#include "inferonce/base/buffer.h"

struct vader_scores {
    double compound;                    /* -1 to 1, four decimals as published */
    double positive, neutral, negative; /* shares, three decimals; all 0 for a text without words */
};

/* Scores a UTF-8 text. Pure; allocates nothing; linear in the text's length. Bytes that are not UTF-8 belong
 * to words that no rule knows. */
void vader_score(struct bytes text, struct vader_scores *scores);

/* Appends {"sentiment":"positive|negative|neutral","confidence":c,"compound":x}: positive from 0.05, negative
 * from -0.05, the paper's thresholds; confidence is |compound| for these two and 1 - |compound| for neutral.
 */
void vader_append_result(const struct vader_scores *scores, struct buffer *buffer);

#endif
