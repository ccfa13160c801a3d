/* Takes turns among requests that need more than one turn of the loop. */
#include "api/slices.h"

#include <stdlib.h>

/* Steps that are done in a turn, and the most of them for one request, of 10 to 30 nanoseconds. */
#define TURN_STEPS  16384
#define SHARE_STEPS 4096

struct slices {
    TAILQ_HEAD(queue, slice) queue;
    struct turn *turn;
    struct turn_task
        work; /* while somebody is in the queue; gives way to the loop's other work between turns */
};

static void on_turn(void *user) {
    struct slices *slices = user;
    size_t left = TURN_STEPS;
    while (left > 0 && !TAILQ_EMPTY(&slices->queue)) {
        struct slice *slice = TAILQ_FIRST(&slices->queue);
        size_t share = left < SHARE_STEPS ? left : SHARE_STEPS;
        left -= share;
        TAILQ_REMOVE(&slices->queue, slice, links);
        slice->queued = false;
        size_t unused = share;
        if (!slice->go_on(slice, &unused)) {
            TAILQ_INSERT_TAIL(&slices->queue, slice, links);
            slice->queued = true;
        }
    }
    if (!TAILQ_EMPTY(&slices->queue))
        turn_in_next(slices->turn, &slices->work);
}

struct slices *slices_create(struct turn *turn) {
    struct slices *slices = calloc(1, sizeof(*slices));
    if (!slices)
        return NULL;
    TAILQ_INIT(&slices->queue);
    slices->turn = turn;
    slices->work = (struct turn_task){.run = on_turn, .user = slices};
    return slices;
}

void slices_destroy(struct slices **slices) {
    if (!*slices)
        return;
    INVARIANT(TAILQ_EMPTY(&(*slices)->queue));
    turn_forget(&(*slices)->work);
    free(*slices);
    *slices = NULL;
}

void slices_add(struct slices *slices, struct slice *slice) {
    TAILQ_INSERT_TAIL(&slices->queue, slice, links);
    slice->queued = true;
    turn_in_next(slices->turn, &slices->work);
}

void slices_forget(struct slices *slices, struct slice *slice) {
    if (!slice->queued)
        return;
    TAILQ_REMOVE(&slices->queue, slice, links);
    slice->queued = false;
    if (TAILQ_EMPTY(&slices->queue))
        turn_forget(&slices->work);
}
