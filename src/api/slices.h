/* Work on requests that is too long for one turn of the loop: it goes on in slices of at most a millisecond a
 * turn, all requests' together, so that nobody else waits for longer. Those who are at it take turns. */
#ifndef INFERONCE_API_SLICES_H
#define INFERONCE_API_SLICES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "inferonce/base/turn.h"

/* A body up to this long is worked on at once: whatever is in it, that takes less than a slice. */
#define SLICES_STRAIGHT_MAX (16u * 1024)

/* Embedded in what the work is on. */
struct slice {
    /* Goes on until `*budget` is spent, which is lowered by what was done, about ten nanoseconds each. True:
     * it is over, and the slice may be gone. */
    bool (*go_on)(struct slice *slice, size_t *budget);
    bool queued;
    TAILQ_ENTRY(slice) links;
};

struct slices;

/* Borrows the turn. Returns owned; NULL: no memory. */
struct slices *slices_create(struct turn *turn) MUST_CHECK;

/* When no work is left. */
void slices_destroy(struct slices **slices);

/* Goes on with `slice` from the loop's next turn, until it is over or forgotten. */
void slices_add(struct slices *slices, struct slice *slice);
void slices_forget(struct slices *slices, struct slice *slice);

#endif
