/* Seeded texts that are JSON, or nearly: made of pieces that are likely to mean something together, or seeds
 * some of whose bytes are replaced. The same in every run. */
#ifndef INFERONCE_TESTS_RANDOM_JSON_H
#define INFERONCE_TESTS_RANDOM_JSON_H

#include <stddef.h>

#define RANDOM_JSON_MAX 512

/* Writes the next one; returns its length, below RANDOM_JSON_MAX. */
size_t random_json(char text[RANDOM_JSON_MAX]);

#endif
