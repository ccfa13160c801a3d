/* Several texts in one request: {"texts": [...]}.
 *
 * Equal texts are asked for once. All are looked up together; each that misses joins a flight as a single
 * request would. The answer is sent when the last of them is there, in the order of the texts; one that fails
 * is an error in its place and fails no other. */
#ifndef INFERONCE_API_PREDICT_BATCH_H
#define INFERONCE_API_PREDICT_BATCH_H

#include "api/prediction.h"

/* Answers or parks the prediction. `texts` are normalised and stay where they are as long as it lives; `keys`
 * are theirs. */
void predict_batch_ask(struct prediction *prediction, const struct bytes *texts, const struct key *keys,
                       size_t n);

/* The client has left: forgets what is still asked for and frees prediction->batch. */
void predict_batch_abandoned(struct prediction *prediction);

#endif
