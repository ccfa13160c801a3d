/* The system's resolver, replaced for a test program: it knows the names that a test says, and counts who
 * asks. Numbers are what they are. */
#ifndef INFERONCE_TESTS_NAMES_H
#define INFERONCE_TESTS_NAMES_H

#include <stdbool.h>

/* From now on `name` has these addresses, separated by blanks; NULL: nobody knows it. Forgets other names. */
void names_set(const char *name, const char *addresses);

/* While they are silent whoever asks for a name waits. */
void names_silent(bool are_silent);

/* How often a name was asked for: by any thread, and by the first, which is the loop's. */
unsigned names_asked(void);
unsigned names_asked_by_loop(void);

#endif
