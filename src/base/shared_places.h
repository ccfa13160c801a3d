/* Claims on the places of a mapping that several masters may share: open-file-description locks on bytes of
 * its file. Byte p is the claim on place p, the byte behind them is set-up. Memory without a file has all its
 * places free. Private to the shared mapping. */
#ifndef INFERONCE_BASE_SHARED_PLACES_H
#define INFERONCE_BASE_SHARED_PLACES_H

#include "inferonce/base/shared.h"

/* From here to shared_setup_end nobody else passes this. False: errno tells why. */
bool shared_setup_begin(int descriptor) MUST_CHECK;
void shared_setup_end(int descriptor);

/* Whether no other master, and no worker that outlived one, holds any place. When that cannot be told
 * somebody does. With `wait` it waits for a pool that was killed a moment ago, at most 3 s. */
bool shared_places_are_free(int descriptor, bool wait);

/* Claims places until there are `workers`, beside those that it has. With `wait` it waits, at most 3 s, for
 * places of a pool that was killed a moment ago. False: error tells why; it may have some more than it had.
 */
bool shared_places_claim(struct shared *shared, unsigned workers, const char *path, bool wait,
                         struct error *error) MUST_CHECK;

/* Gives back all places but the first `kept` that were claimed, and their eventfds. */
void shared_places_give_back(struct shared *shared, unsigned kept);

#endif
